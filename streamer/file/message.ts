// A message as it goes into a file and as it comes out of one. It must not know how it is laid out there.

import { StreamerError } from "../../resp/errors.ts";
import { shown, unitsOf } from "../model/id.ts";
import { invalidOption } from "../model/options.ts";
import { INTERNAL_KEY } from "./layout.ts";

/** A message to be written into a file. A {@linkcode FileMessage} is one, too, so that messages can be copied. */
export interface FileRecord {
  /** Its stream: 1 to 249 characters of `A–Z a–z 0–9 . _ -`, which is less than a stream in Redis may be called. */
  readonly streamKey: string;
  /** Its shard, from 0; above 2^53 − 1 a bigint. */
  readonly shardId: number | bigint;
  /** Its sequence, of 64 bits. */
  readonly sequence: bigint;
  /** Its time: a Date, or milliseconds since 1970. */
  readonly timestamp: Date | bigint;
  /** Its time in milliseconds since 1970; where it is given, `timestamp` does not count. @default {undefined} */
  readonly timestampMs?: bigint;
  /** Text, written as UTF-8, or bytes; at most 4,294,967,295 of them. */
  readonly payload: string | Uint8Array;
}

/** A message that was read from a file. */
export interface FileMessage {
  /** Its stream. */
  readonly streamKey: string;
  /** Its shard: a number, as everywhere; a bigint only above 2^53 − 1, where no number is exact. */
  readonly shardId: number | bigint;
  /** Its sequence. */
  readonly sequence: bigint;
  /** Its time; outside of Date's range an Invalid Date. */
  readonly timestamp: Date;
  /** Its time in milliseconds since 1970. */
  readonly timestampMs: bigint;
  /**
   * Its payload, a view of the page it was read in, which is never written again. A payload that is kept keeps that page,
   * of 256 KiB or the size of a larger message; `payload.slice()` does not.
   */
  readonly payload: Uint8Array;
  /** The byte of the file at which it begins. */
  readonly offset: number;
  /** Its payload as text; what is not UTF-8 becomes U+FFFD. */
  text(): string;
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** A message as the source gives it. */
export class FrameMessage implements FileMessage {
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
}

const MAX = 2n ** 64n - 1n;
const ALLOWED = /^[A-Za-z0-9._-]{1,249}$/;
/** To subscribe to every stream; no stream is called so. */
const WILDCARD = "SEA_STREAMER_WILDCARD";

/** A stream key that a file can hold. */
export function checkFileKey(key: unknown): string {
  if (typeof key !== "string" || !ALLOWED.test(key) || key === INTERNAL_KEY || key === WILDCARD) {
    throw new StreamerError(
      "INVALID_STREAM_KEY",
      `Cannot write a stream key into a file as it must be 1 to 249 characters of A–Z a–z 0–9 . _ - and not ${INTERNAL_KEY} or ` +
        `${WILDCARD}: current value is ${shown(key)}`,
    );
  }
  return key;
}

/** A shard, as a number where it is exact as one. */
export function checkShard(shard: unknown): number | bigint {
  if (typeof shard === "number" && Number.isSafeInteger(shard) && shard >= 0) return shard;
  if (typeof shard === "bigint" && shard >= 0n && shard <= MAX) {
    return shard <= Number.MAX_SAFE_INTEGER ? Number(shard) : shard;
  }
  throw invalidOption("shardId", shard, "a whole number from 0, a bigint above 2^53 - 1, of at most 64 bits");
}

/** A sequence of 64 bits. */
export function checkSequence(sequence: unknown): bigint {
  if (typeof sequence === "bigint" && sequence >= 0n && sequence <= MAX) return sequence;
  throw invalidOption("sequence", sequence, "a bigint of 64 bits");
}

/** A time in milliseconds. */
export function checkTime(record: Pick<FileRecord, "timestamp" | "timestampMs">): bigint {
  return unitsOf(record.timestampMs ?? record.timestamp, "milliseconds");
}
