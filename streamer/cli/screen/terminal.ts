// Output for terminals: control characters of messages, names and server texts are escaped, since a terminal would execute
// them. Pipes and files get the bytes unchanged.

import { CONTROL_CHARACTERS, escapeControls } from "../../../resp/errors.ts";
import { ByteBuilder } from "../byte_builder.ts";
import type { Screen } from "../system.ts";

const NEWLINE = 10;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Writes a sentence and a newline; on a terminal, control characters are escaped. */
export function writeLine(screen: Screen, sentence: string): void {
  screen.write(`${screen.isTerminal ? escapeControls(sentence) : sentence}\n`);
}

/** Wraps a writer of lines for a terminal: its output is escaped except for the newline at the end. */
export function escapedWriter<T extends readonly unknown[]>(
  write: (out: ByteBuilder, ...rest: T) => void,
  escape: (bytes: Uint8Array) => Uint8Array,
): (out: ByteBuilder, ...rest: T) => void {
  const line = new ByteBuilder();
  return (out, ...rest) => {
    line.clear();
    write(line, ...rest);
    const { content } = line;
    const ended = content.at(-1) === NEWLINE;
    out.append(escape(ended ? content.subarray(0, -1) : content));
    if (ended) out.byte(NEWLINE);
  };
}

/** Bytes for a terminal: control characters and invalid UTF-8 become escapes such as `\x1b`. */
export function escapedText(bytes: Uint8Array): Uint8Array {
  if (isPlain(bytes)) return bytes;
  const text = decoded(bytes);
  return encoder.encode(text === undefined ? escapedPieces(bytes) : escapeControls(text));
}

/** JSON for a terminal: control characters become escapes such as `\u009b`, so that the JSON keeps its value. */
export function escapedJson(bytes: Uint8Array): Uint8Array {
  const text = decoded(bytes);
  if (text === undefined) return escapedText(bytes); // this program writes UTF-8 only
  // Outside strings, JSON contains newlines and tabs only, which are safe.
  const escape = (character: string) =>
    character === "\n" || character === "\t"
      ? character
      : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return encoder.encode(text.replace(CONTROL_CHARACTERS, escape));
}

function isPlain(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte >= 0x20 && byte < 0x7f);
}

function decoded(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Decodes character by character; a byte that starts no valid character becomes an escape. */
function escapedPieces(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at];
    const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    const character = decoded(bytes.subarray(at, at + length));
    text += character === undefined ? `\\x${first.toString(16)}` : escapeControls(character);
    at += character === undefined ? 1 : length;
  }
  return text;
}
