// How objects are shown by `console.log` on every runtime, and the parts of their JSON forms.

import { decodeText } from "../../resp/value.ts";
import { type MessageId, sequenceOf } from "./id.ts";

/** A hook of `console.log` on Deno, Bun and Node. */
const INSPECT = Symbol.for("nodejs.util.inspect.custom");
/** Deno's own hook, which takes precedence. Deno's EventTarget has another one that hides properties of subclasses. */
const DENO_INSPECT = Symbol.for("Deno.customInspect");

type Inspect = (value: unknown, options?: unknown) => string;

/**
 * Shows objects as `<name> { … }`, with the properties that `describe` returns. Pass the prototype of a class, or one object.
 * `describe` must not throw.
 */
export function printAs<T extends object>(
  target: T,
  nameOf: string | ((self: T) => string),
  describe: (self: T) => object,
): void {
  const print = (self: T, inspect: Inspect, options: unknown): string => {
    const name = typeof nameOf === "string" ? nameOf : nameOf(self);
    return `${name} ${inspect(describe(self), options)}`.trimStart();
  };
  Object.defineProperty(target, INSPECT, {
    configurable: true,
    writable: true,
    value(this: T, depth: number, options: unknown, inspect: Inspect): string {
      if (depth >= 0) return print(this, inspect, options);
      return `[${typeof nameOf === "string" ? nameOf : nameOf(this)}]`;
    },
  });
  if (!(target instanceof EventTarget)) return;
  Object.defineProperty(target, DENO_INSPECT, {
    configurable: true,
    writable: true,
    value(this: T, inspect: Inspect, options: unknown): string {
      return print(this, inspect, options);
    },
  });
}

/** A text that is shown without quotes. */
class Raw {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  static {
    Object.defineProperty(this.prototype, INSPECT, {
      value(this: Raw): string {
        return this.text;
      },
    });
  }
}

/** Characters of a text that are shown at most, and the bytes that are decoded for them. */
const SHOWN_TEXT = { characters: 200, bytes: 1_024 };

/** Bytes for display: text if they are valid UTF-8, cut if it is long, and otherwise their number. */
export function shownBytes(bytes: Uint8Array): unknown {
  const text = textStart(bytes);
  if (text === undefined) return new Raw(`<${bytes.length} bytes>`);
  if (bytes.length <= SHOWN_TEXT.bytes && text.length <= SHOWN_TEXT.characters) return text;
  const start = text.slice(0, SHOWN_TEXT.characters).toWellFormed();
  return new Raw(`${JSON.stringify(`${start}…`)} <${bytes.length} bytes>`);
}

function textStart(bytes: Uint8Array): string | undefined {
  const isCut = bytes.length > SHOWN_TEXT.bytes;
  try {
    const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return utf8.decode(bytes.subarray(0, SHOWN_TEXT.bytes), { stream: isCut }); // the last character may be cut, too
  } catch {
    return undefined;
  }
}

/** Headers that are shown at most. */
const SHOWN_HEADERS = 20;

/** Headers for display. Repeated names are shown with all of their values, and a large number of headers is cut. */
export function shownHeaders(headers: Iterable<[string, Uint8Array]> & { readonly size: number }): object {
  const values = new Map<string, unknown[]>();
  let left = SHOWN_HEADERS;
  for (const [name, value] of headers) {
    if (left-- === 0) break;
    const same = values.get(name);
    if (same === undefined) values.set(name, [shownBytes(value)]);
    else same.push(shownBytes(value));
  }
  const shown = [...values].map(([name, all]): [string, unknown] => [name, all.length === 1 ? all[0] : all]);
  if (headers.size > SHOWN_HEADERS) shown.push(["…", new Raw(`<${headers.size - SHOWN_HEADERS} more>`)]);
  return Object.fromEntries(shown);
}

/** The sequence of an id in decimal, or `null` if it has none. */
export function sequenceText(id: MessageId): string | null {
  try {
    return String(sequenceOf(id));
  } catch {
    return null;
  }
}

/** A time in the format of `Date.toISOString`, or `null` for an Invalid Date. */
export function timeText(time: Date): string | null {
  return Number.isNaN(time.getTime()) ? null : time.toISOString();
}

/**
 * A payload in JSON: text, or Base64 if it is not valid UTF-8.
 *
 * @category Consuming
 */
export type PayloadJson = { readonly payload: string } | { readonly payloadBase64: string };

/** Bytes as a payload in JSON. */
export function payloadJson(bytes: Uint8Array): PayloadJson {
  try {
    return { payload: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    return { payloadBase64: base64(bytes) };
  }
}

/** Bytes that `String.fromCharCode` takes at once. */
const PIECE = 8_192;

function base64(bytes: Uint8Array): string {
  const pieces: string[] = [];
  for (let at = 0; at < bytes.length; at += PIECE) {
    pieces.push(String.fromCharCode(...bytes.subarray(at, at + PIECE)));
  }
  return btoa(pieces.join(""));
}

/** Headers in JSON: names and values as text, in stored order. */
export function headersJson(headers: Iterable<[string, Uint8Array]>): [string, string][] {
  return Array.from(headers, ([name, value]): [string, string] => [name, decodeText(value)]);
}
