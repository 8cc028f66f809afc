// Replies as text, for scripted servers. Must not use the library under test.

/** A reply: numbers, nothing, lists, and what the functions below make. */
export type RespReply = number | null | { readonly text: string } | readonly RespReply[];

const encoder = new TextEncoder();

/** A bulk string. */
export function bulk(text: string): RespReply {
  return { text: `$${encoder.encode(text).length}\r\n${text}\r\n` };
}

/** A map of texts. */
export function map(entries: Readonly<Record<string, string>>): RespReply {
  const pairs = Object.entries(entries);
  return { text: `%${pairs.length}\r\n${pairs.flat().map((text) => resp(bulk(text))).join("")}` };
}

/** The bytes of a reply, in RESP3. */
export function resp(reply: RespReply): string {
  if (reply === null) return "_\r\n";
  if (typeof reply === "number") return `:${reply}\r\n`;
  if ("text" in reply) return reply.text;
  return `*${reply.length}\r\n${reply.map(resp).join("")}`;
}
