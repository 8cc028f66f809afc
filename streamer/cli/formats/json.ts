// Bytes as JSON and back: a string if they are UTF-8, otherwise `{"base64": …}`.

import type { ByteBuilder } from "../byte_builder.ts";

const QUOTE = 34;
const BACKSLASH = 92;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Writes bytes as a JSON value. Plain ASCII is copied: decoding and encoding it costs ten times as much. */
export function writeValue(out: ByteBuilder, value: Uint8Array): void {
  const { length } = value;
  out.reserve(length + 2);
  const { bytes } = out;
  let at = out.length;
  bytes[at++] = QUOTE;
  let i = 0;
  for (; i < length; i++) {
    const byte = value[i];
    if (byte < 0x20 || byte > 0x7e || byte === QUOTE || byte === BACKSLASH) break;
    bytes[at++] = byte;
  }
  if (i === length) {
    bytes[at++] = QUOTE;
    out.length = at;
    return;
  }
  const text = textOf(value);
  if (text === undefined) out.ascii(`{"base64":"${toBase64(value)}"}`);
  else out.text(JSON.stringify(text));
}

/** Bytes as text; `undefined` if they are not UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Reads a value that {@linkcode writeValue} has written; `undefined` for any other value. */
export function readValue(value: unknown): string | Uint8Array | undefined {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null || !("base64" in value)) return undefined;
  return typeof value.base64 === "string" && Object.keys(value).length === 1 ? fromBase64(value.base64) : undefined;
}

/** A value as bytes. */
export function bytesOf(value: string | Uint8Array): Uint8Array {
  return typeof value === "string" ? encoder.encode(value) : value;
}

/** Bytes that are converted at once: the number of arguments of a call is limited. */
const STEP = 0x6000;

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += STEP) {
    text += btoa(String.fromCharCode(...bytes.subarray(at, at + STEP)));
  }
  return text;
}

function fromBase64(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  try {
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  } catch {
    return undefined;
  }
}
