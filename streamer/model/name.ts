// Names of groups and consumers. They are bytes on the wire: valid UTF-8 is text, and other names are escaped for display.

import { type RespValue, textOf } from "../../resp/value.ts";

/** A name as it is sent: text, or bytes that are not valid UTF-8. */
export type WireName = string | Uint8Array;

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The name in a reply, or `undefined` if the value is not a string. */
export function nameOf(value: RespValue | undefined): WireName | undefined {
  return value instanceof Uint8Array ? wireName(value) : textOf(value);
}

/** Converts bytes to a name. The array itself is returned if it is not valid UTF-8. */
export function wireName(bytes: Uint8Array): WireName {
  try {
    return strict.decode(bytes);
  } catch {
    return bytes;
  }
}

/**
 * A name as it is shown to programs and users. In a name that is not valid UTF-8, each backslash and each byte that is not
 * printable ASCII becomes `\x` and two hexadecimal digits. Different names have different escaped forms.
 */
export function shownName(name: WireName): string {
  if (typeof name === "string") return name;
  return Array.from(name, (byte) => isPlain(byte) ? String.fromCharCode(byte) : `\\x${hex(byte)}`).join("");
}

/** The invalid UTF-8 name whose escaped form, from {@linkcode shownName}, is this text. `undefined` if there is none. */
export function bytesShownAs(text: string): Uint8Array | undefined {
  if (!/^(?:[\x20-\x5b\x5d-\x7e]|\\x[0-9a-f]{2})+$/.test(text)) return undefined;
  const bytes = Uint8Array.from(
    text.match(/\\x..|./g) ?? [],
    (part) => part.length > 1 ? Number.parseInt(part.slice(2), 16) : part.charCodeAt(0),
  );
  return typeof wireName(bytes) === "string" || shownName(bytes) !== text ? undefined : bytes;
}

/** A name as the key of a map. Keys of escaped names start with a lone surrogate, which UTF-8 text cannot contain. */
export function nameKey(name: WireName): string {
  return typeof name === "string" ? name : `\ud800${shownName(name)}`;
}

/** A printable character of ASCII other than the backslash. */
function isPlain(byte: number): boolean {
  return byte >= 0x20 && byte <= 0x7e && byte !== 0x5c;
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
