// A message to write to a file, and a message that was read from one.

import { StreamerError } from "../../resp/errors.ts";
import { shown, unitsOf } from "../model/id.ts";
import { invalidOption } from "../model/options.ts";
import { type PayloadJson, payloadJson, printAs, shownBytes, timeText } from "../model/printing.ts";
import { INTERNAL_KEY } from "./format/layout.ts";

/**
 * A message to write to a file. A {@linkcode FileMessage} is one too, so that messages can be copied.
 *
 * @category Files
 */
export interface FileRecord {
  /** The stream: 1 to 249 characters of `A–Z a–z 0–9 . _ -`. This is stricter than for a stream in Redis. */
  readonly streamKey: string;
  /** The shard, from 0; a bigint above 2^53 − 1. */
  readonly shardId: number | bigint;
  /** The sequence: 64 bits, unsigned. */
  readonly sequence: bigint;
  /** The time: a Date, or milliseconds since 1970. */
  readonly timestamp: Date | bigint;
  /** The time in milliseconds since 1970; takes precedence over `timestamp`. @default {undefined} */
  readonly timestampMs?: bigint;
  /** Text, which is encoded as UTF-8, or bytes; at most 4,294,967,295 bytes. */
  readonly payload: string | Uint8Array;
}

/**
 * A message that was read from a file.
 *
 * @category Files
 */
export interface FileMessage {
  /** The stream. */
  readonly streamKey: string;
  /** The shard; a bigint only above 2^53 − 1. */
  readonly shardId: number | bigint;
  /** The sequence. */
  readonly sequence: bigint;
  /** The time; an Invalid Date if it is outside of Date's range. */
  readonly timestamp: Date;
  /** The time in milliseconds since 1970. */
  readonly timestampMs: bigint;
  /**
   * The payload, a view of the page that it was read into. The library never writes to that page again. A retained payload retains
   * its whole page of 256 KiB, or the size of a larger message. `payload.slice()` makes an independent copy.
   */
  readonly payload: Uint8Array;
  /** The byte offset of the message in the file. */
  readonly offset: number;
  /** The payload as text; invalid UTF-8 becomes U+FFFD. */
  text(): string;
  /** The message for `JSON.stringify`: bigints as text, and a payload that is not valid UTF-8 as Base64. */
  toJSON(): FileMessageJson;
}

/**
 * The JSON form of a {@linkcode FileMessage}. It has either `payload` or, if the payload is not valid UTF-8, `payloadBase64`.
 *
 * @category Files
 */
export type FileMessageJson = {
  /** The stream. */
  readonly streamKey: string;
  /** The shard. It is a text above 2^53 − 1. */
  readonly shardId: number | string;
  /** The sequence in decimal. */
  readonly sequence: string;
  /** The time in the format of `Date.toISOString`, or `null` if it is outside of Date's range. */
  readonly timestamp: string | null;
  /** The byte offset of the message in the file. */
  readonly offset: number;
} & PayloadJson;

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** A message of a source. */
export class FrameMessage implements FileMessage {
  static {
    printAs(this.prototype, "FileMessage", ({ streamKey, shardId, sequence, timestamp, payload, offset }) => {
      return { streamKey, shardId, sequence, timestamp, payload: shownBytes(payload), offset };
    });
  }

  readonly streamKey: string;
  readonly shardId: number | bigint;
  readonly sequence: bigint;
  readonly timestampMs: bigint;
  readonly payload: Uint8Array;
  readonly offset: number;

  constructor(
    fields: Pick<FileMessage, "streamKey" | "shardId" | "sequence" | "timestampMs" | "payload" | "offset">,
  ) {
    this.streamKey = fields.streamKey;
    this.shardId = fields.shardId;
    this.sequence = fields.sequence;
    this.timestampMs = fields.timestampMs;
    this.payload = fields.payload;
    this.offset = fields.offset;
  }

  get timestamp(): Date {
    return new Date(Number(this.timestampMs));
  }

  text(): string {
    return utf8.decode(this.payload);
  }

  toJSON(): FileMessageJson {
    const { streamKey, shardId, sequence, timestamp, payload, offset } = this;
    return {
      streamKey,
      shardId: typeof shardId === "bigint" ? String(shardId) : shardId,
      sequence: String(sequence),
      timestamp: timeText(timestamp),
      offset,
      ...payloadJson(payload),
    };
  }
}

const MAX = 2n ** 64n - 1n;
const ALLOWED = /^[A-Za-z0-9._-]{1,249}$/;
/** The Rust library's name for all streams; no stream has this name. */
const WILDCARD = "SEA_STREAMER_WILDCARD";

/** Checks a stream key for a file. */
export function checkFileKey(key: unknown): string {
  if (typeof key !== "string" || !ALLOWED.test(key) || key === INTERNAL_KEY || key === WILDCARD) {
    throw new StreamerError(
      "INVALID_STREAM_KEY",
      `Cannot use a stream key in a file: it must be 1 to 249 characters of A–Z a–z 0–9 . _ - and not ${INTERNAL_KEY} or ` +
        `${WILDCARD}, got ${shown(key)}`,
    );
  }
  return key;
}

/** Checks a shard; returns a number up to 2^53 − 1. */
export function checkShard(shard: unknown): number | bigint {
  if (typeof shard === "number" && Number.isSafeInteger(shard) && shard >= 0) return shard;
  if (typeof shard === "bigint" && shard >= 0n && shard <= MAX) {
    return shard <= Number.MAX_SAFE_INTEGER ? Number(shard) : shard;
  }
  throw invalidOption("shardId", shard, "a whole number from 0, as a bigint above 2^53 - 1, and at most 64 bits");
}

/** Checks a sequence. */
export function checkSequence(sequence: unknown): bigint {
  if (typeof sequence === "bigint" && sequence >= 0n && sequence <= MAX) return sequence;
  throw invalidOption("sequence", sequence, "a bigint of 64 bits");
}

/** Checks a time; returns milliseconds. */
export function checkTime(record: Pick<FileRecord, "timestamp" | "timestampMs">): bigint {
  return unitsOf(record.timestampMs ?? record.timestamp, "milliseconds");
}
