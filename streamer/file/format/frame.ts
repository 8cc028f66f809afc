// The message that the decoder found last: the places of its parts, and their values, read in place.

import {
  END_OF_STREAM,
  FIXED_BYTES,
  INTERNAL_KEY,
  isStreamKey,
  KEY_RULE,
  MARK,
  PULSE,
  shardOf,
  TRAILER_BYTES,
} from "./layout.ts";

/** The place of a message: `at` is its index in the given bytes, `end` the byte offset after it in the file. */
export interface FramePlace {
  readonly at: number;
  /** Bytes of its stream key. */
  readonly key: number;
  /** Bytes of its payload. */
  readonly size: number;
  readonly end: number;
}

/** A message in one piece. The decoder moves it from message to message. */
export class FileFrame {
  readonly #keys: ({ readonly bytes: Uint8Array; readonly text: string } | undefined)[] = new Array(256);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #at = 0;
  #key = 0;
  #size = 0;

  /** The bytes that contain the message. */
  bytes: Uint8Array = new Uint8Array(0);
  /** The byte of the file after the message. */
  end = 0;

  /** Moves to a message. Returns the reason if its key or its end is invalid. */
  move(bytes: Uint8Array, view: DataView, { at, key, size, end }: FramePlace): string | undefined {
    this.bytes = bytes;
    this.#view = view;
    this.#at = at;
    this.#key = key;
    this.#size = size;
    this.end = end;
    if (this.#knownKey() === undefined) return KEY_RULE;
    return bytes[this.payloadEnd + TRAILER_BYTES - 1] === MARK ? undefined : "a message does not end with its mark";
  }

  get streamKey(): string {
    return this.#knownKey() ?? "";
  }
  get shardId(): number | bigint {
    return shardOf(this.#view.getBigUint64(this.#at + 1 + this.#key));
  }
  get sequence(): bigint {
    return this.#view.getBigUint64(this.#at + 9 + this.#key);
  }
  get timestamp(): bigint {
    return this.#view.getBigUint64(this.#at + 17 + this.#key);
  }
  /** The checksum after its payload. */
  get checksum(): number {
    return this.#view.getUint16(this.payloadEnd);
  }
  /** The index at which its payload begins. */
  get payloadStart(): number {
    return this.#at + 1 + this.#key + FIXED_BYTES;
  }
  /** The index at which its payload ends. */
  get payloadEnd(): number {
    return this.payloadStart + this.#size;
  }

  /** Whether it is a control message: the end of the stream, or a pulse. */
  get special(): "end" | "pulse" | undefined {
    if (this.#key !== INTERNAL_KEY.length || (this.#size !== 3 && this.#size !== 5)) return undefined;
    if (this.streamKey !== INTERNAL_KEY) return undefined;
    const from = this.payloadStart;
    const is = (payload: Uint8Array) =>
      payload.length === this.#size && payload.every((byte, i) => byte === this.bytes[from + i]);
    return is(END_OF_STREAM) ? "end" : is(PULSE) ? "pulse" : undefined;
  }

  /** The key as text; `undefined` if it is invalid. It is cached, since most files have few keys. */
  #knownKey(): string | undefined {
    const { bytes } = this;
    const from = this.#at + 1;
    const to = from + this.#key;
    const slot = (this.#key * 31 + bytes[from] * 7 + bytes[to - 1]) & 0xff;
    const known = this.#keys[slot];
    if (known !== undefined && isSame(known.bytes, bytes, from, to)) return known.text;
    if (!isStreamKey(bytes, from, to)) return undefined;
    const key = bytes.slice(from, to);
    const text = String.fromCharCode(...key);
    this.#keys[slot] = { bytes: key, text };
    return text;
  }
}

function isSame(known: Uint8Array, bytes: Uint8Array, from: number, to: number): boolean {
  if (known.length !== to - from) return false;
  for (let i = 0; i < known.length; i++) if (known[i] !== bytes[from + i]) return false;
  return true;
}
