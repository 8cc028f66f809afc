// Encodes a message as the arguments of XADD, for entries that are stored by other means than the producer's own connection.

import type { RespArgument } from "../../../resp/encoder.ts";
import type { Codec } from "../../model/codec.ts";
import { shardRedisKey } from "../../model/key.ts";
import { checkNames, invalidOption } from "../../model/options.ts";
import { NanosecondClock, UNSTAMPED } from "../messages/nanosecond_clock.ts";
import { isPayload, type SendOptions } from "../options.ts";
import { chooseShard, type Sharder } from "../sharding/sharder.ts";
import type { EntryEncoder } from "./entry_encoder.ts";
import { EncodedFields, encodeValue, type EntryFields, entryFields, NO_HEADERS, sendHeaders } from "./entry_fields.ts";

/** An entry that a producer would store. */
export interface PreparedEntry {
  /** The key of the stream, or of the shard that the sharder has chosen. */
  readonly redisKey: string;
  /** The arguments of XADD after the key. They contain the payload as it was given, not a copy. */
  readonly args: readonly RespArgument[];
  /** The index of the id in `args` if this machine's clock chose it, so that it may be raised above the last id of the stream. */
  readonly raises: number | undefined;
}

/** The parts of a producer that decide what it stores. */
export interface EntrySource {
  readonly codec: Codec<unknown> | undefined;
  readonly sharder: Sharder | undefined;
  readonly encoder: Pick<EntryEncoder, "field" | "timestampFormat" | "trim" | "time">;
}

const NAMES: readonly string[] = ["timestamp", "key", "headers"] satisfies (keyof SendOptions)[];

const clock = new NanosecondClock();

/**
 * Encodes a message. The caller's code runs here: codec, sharder, and iterators of headers.
 *
 * @throws {StreamerError} `INVALID_OPTION`
 */
export function prepareEntry(
  { codec, sharder, encoder }: EntrySource,
  { streamKey, value, options }: {
    readonly streamKey: string;
    readonly value: unknown;
    readonly options?: SendOptions | undefined;
  },
): PreparedEntry {
  const isPlain = options === undefined && codec === undefined && sharder === undefined && isPayload(value);
  if (isPlain) return entryOf(streamKey, encoder, { field: encoder.field, value, headers: NO_HEADERS });
  const content: unknown = codec === undefined ? value : encodeValue(codec, value);
  checkNames("options of send", options ?? {}, NAMES);
  const { timestamp, headers, key } = options ?? {};
  if (key !== undefined && typeof key !== "string") throw invalidOption("key", key, "a string");
  const given = headers === undefined ? NO_HEADERS : sendHeaders(headers, encoder.field);
  if (!isPayload(content) && !(content instanceof EncodedFields)) {
    throw invalidOption("payload", content, "a string or a Uint8Array");
  }
  const fields = entryFields(content, encoder.field, given);
  const redisKey = sharder === undefined
    ? streamKey
    : shardRedisKey(streamKey, chooseShard(sharder, { streamKey, payload: fields.payload, key }));
  return entryOf(redisKey, encoder, fields, timestamp === undefined ? undefined : `${encoder.time(timestamp)}-*`);
}

function entryOf(
  redisKey: string,
  encoder: EntrySource["encoder"],
  { field, value, headers }: Pick<EntryFields, "field" | "value" | "headers">,
  id?: string,
): PreparedEntry {
  const args: RespArgument[] = [...encoder.trim()];
  const chosen = id === undefined && encoder.timestampFormat === "nanoseconds";
  const raises = chosen ? args.length : undefined;
  args.push(id ?? (chosen ? `${stamp()}-*` : "*"), field, value);
  for (const [name, header] of headers) args.push(name, header);
  return { redisKey, args, raises };
}

/** The next time of this machine's clock in nanoseconds. */
function stamp(): string {
  const digits = new TextEncoder().encode(UNSTAMPED);
  clock.stamp(digits, 0);
  return new TextDecoder().decode(digits);
}
