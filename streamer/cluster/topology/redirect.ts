// MOVED and ASK: parsed strictly, since they decide where messages and credentials go. Redis 3.0.

import { SLOTS } from "./slot.ts";

/** What a redirect says. */
export interface ServerRedirect {
  /** `"moved"`: the node owns the slot. `"ask"`: this one command goes there, after an ASKING. */
  readonly kind: "moved" | "ask";
  readonly slot: number;
  /** `undefined` if the server does not know it: then it is the host that has answered. */
  readonly host: string | undefined;
  readonly port: number;
}

/** Names, IPv4 and IPv6 addresses, the latter without brackets and perhaps with a zone. At most as long as DNS allows. */
const HOST = /^[A-Za-z0-9._:%-]{1,255}$/;

/** Parses the text of a MOVED or ASK error. `undefined` if it is neither, or malformed: nobody may follow it then. */
export function parseRedirect(text: string): ServerRedirect | undefined {
  const match = /^(MOVED|ASK) ([0-9]{1,5}) ([^ ]*):([0-9]{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, code, slotText, host, portText] = match;
  const slot = Number(slotText);
  const port = Number(portText);
  if (slot >= SLOTS || !isPort(port)) return undefined;
  const unknown = host === "" || host === "?";
  if (!unknown && !isHost(host)) return undefined;
  return { kind: code === "MOVED" ? "moved" : "ask", slot, host: unknown ? undefined : host, port };
}

/** Whether a text can be a host that is dialled. */
export function isHost(text: string): boolean {
  return HOST.test(text);
}

/** Whether a number can be a port that is dialled. */
export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}
