// The public writer of a file: accepts messages, flushes, closes.

import { StreamerError } from "../../resp/errors.ts";
import { abortable } from "../model/abortable.ts";
import { invalidOption } from "../model/options.ts";
import { WriteQueue } from "./format/write_queue.ts";
import { openDisk } from "./disk/disk.ts";
import { FileEncoder } from "./format/encoder.ts";
import { encodeHeader, END_OF_STREAM, type FileHeader, HEADER_BYTES, INTERNAL_KEY } from "./format/layout.ts";
import { checkFileKey, checkSequence, checkShard, checkTime, type FileRecord } from "./message.ts";
import { openNew, openToAppend, type SinkParts, type SinkPorts, type TornEnd } from "./sink_opening.ts";
import { SinkCapacity } from "./sink_capacity.ts";
import {
  appendSettings,
  type AppendSinkOptions,
  createSettings,
  type CreateSinkOptions,
  type SinkSettings,
} from "./sink_options.ts";
import type { BeaconSummary, BeaconSummaryEntry } from "./format/beacon_summary.ts";
import { FileWriting } from "./disk/writing.ts";

/**
 * Statistics of a {@linkcode MessageSink}. Sizes are in bytes.
 *
 * @category Files
 */
export interface MessageSinkStats {
  /** Messages accepted. */
  readonly messages: number;
  /** The size of the file including buffered messages. */
  readonly bytes: number;
  /** Accepted bytes that are not written yet. */
  readonly buffered: number;
  /** Shards of streams that beacons can describe. */
  readonly shards: number;
}

const PORTS: SinkPorts = { open: openDisk, now: Date.now };
/** Texts of up to a third of this size are encoded without an allocation. */
const SCRATCH_BYTES = 64 * 1024;
const MAX_PAYLOAD = 2 ** 32 - 1;
const utf8 = new TextEncoder();

/**
 * Writes a SeaStreamer file (`.ss`): messages of any number of streams and shards, with beacons between them.
 *
 * Messages are written in the order of the calls, after at most a few milliseconds or once 256 KiB are buffered. A written message
 * survives the end of the process. A message that was flushed with `sync` survives the end of the machine.
 *
 * Only one sink may write to a file at a time. Nothing prevents a second one, which would destroy the file.
 *
 * After a system failure, nothing more is written, and every call rejects with that failure. The file may then end inside a message.
 * {@linkcode MessageSink.append} can remove the incomplete part.
 *
 * Memory use is bounded by `maxBuffered`, plus about 200 bytes for each shard that was ever written to.
 *
 * Source: the SeaStreamer file format, version 1; `MessageSink` of the Rust library.
 *
 * @example
 * ```ts
 * import { MessageSink } from "@sea/streamer-redis/file";
 *
 * await using sink = await MessageSink.create("orders.ss", { endOfStream: true });
 * for (let i = 0n; i < 1_000_000n; i++) {
 *   const timestamp = new Date();
 *   const full = sink.write({ streamKey: "orders", shardId: 0, sequence: i, timestamp, payload: `order ${i}` });
 *   if (full) await full;
 * }
 * ```
 *
 * @category Files
 */
export class MessageSink implements AsyncDisposable {
  /** The part that `onTorn: "truncate"` removed from the end of the file; `undefined` if nothing was removed. */
  readonly torn: TornEnd | undefined;
  readonly #path: string;
  readonly #header: FileHeader;
  readonly #settings: SinkSettings;
  readonly #now: () => number;
  readonly #summary: BeaconSummary;
  readonly #out = new WriteQueue();
  readonly #writing: FileWriting;
  readonly #encoder: FileEncoder;
  readonly #capacity: SinkCapacity;
  readonly #scratch = new Uint8Array(SCRATCH_BYTES);
  #messages = 0;
  #isThrown = false; // whether a call has thrown the failure
  #closing: Promise<void> | undefined;

  /** @internal Use {@linkcode MessageSink.create} or {@linkcode MessageSink.append}. */
  constructor({ port, path, header, settings, offset, summary, torn, now }: SinkParts) {
    this.torn = torn;
    this.#path = path;
    this.#header = header;
    this.#settings = settings;
    this.#now = now;
    this.#summary = summary;
    this.#writing = new FileWriting(this.#out, { port, path, offset, highWaterMark: settings.highWaterMark });
    if (offset === 0) this.#out.append(encodeHeader(header));
    const interval = header.beaconInterval;
    this.#encoder = new FileEncoder(this.#out, { interval, offset: Math.max(offset, HEADER_BYTES), summary });
    this.#capacity = new SinkCapacity({ path, settings, out: this.#out, encoder: this.#encoder });
  }

  /**
   * Creates a file.
   *
   * Its header is written when this resolves. If this rejects, no new file remains.
   *
   * @throws {FileError} `CONNECT` if the system refuses, or if the file exists and `overwrite` is not set; `SEND_FAILED` if the
   * header cannot be written.
   * @throws {StreamerError} `INVALID_OPTION`. Rejects with the signal's reason if it is aborted.
   */
  static async create(path: string, options: CreateSinkOptions = {}): Promise<MessageSink> {
    return await createSink(PORTS, path, createSettings(path, options));
  }

  /**
   * Opens a file for appending after its last complete message.
   *
   * The file keeps its `beaconInterval`. A mark of the end of the stream is removed. A missing or empty file is created. Only the
   * part after the last beacon is read.
   *
   * If the file has more shards than fit into a beacon, later beacons describe only shards of the last markers, and shards that are
   * written to again.
   *
   * @throws {FileError} `CONNECT` if the system refuses; `SEND_FAILED` if the file cannot be written. `PROTOCOL` if the file is not a
   * SeaStreamer file, is corrupt after its last beacon, or is truncated while `onTorn` is `"fail"`. The file is unchanged then.
   * @throws {StreamerError} `INVALID_OPTION`. Rejects with the signal's reason if it is aborted.
   */
  static async append(path: string, options: AppendSinkOptions = {}): Promise<MessageSink> {
    return await appendSink(PORTS, path, appendSettings(path, options));
  }

  /** The path with which it was opened. */
  get path(): string {
    return this.#path;
  }

  /** The name in the header. */
  get fileName(): string {
    return this.#header.fileName;
  }

  /** The creation time in the header; an Invalid Date if it is outside of Date's range. */
  get createdAt(): Date {
    return new Date(Number(this.#header.createdAt));
  }

  /** Bytes between beacons. */
  get beaconInterval(): number {
    return this.#header.beaconInterval;
  }

  /** The current statistics. */
  stats(): MessageSinkStats {
    return {
      messages: this.#messages,
      bytes: this.#encoder.offset,
      buffered: this.#out.buffered,
      shards: this.#summary.size,
    };
  }

  /**
   * Accepts a message.
   *
   * Returns `undefined` while fewer than `highWaterMark` bytes are buffered, otherwise a promise that resolves once that is the case
   * again. A caller that does not await the promise may write until `maxBuffered` is reached. The promise never causes an unhandled
   * rejection. A message larger than `maxBuffered` is accepted if the buffer is empty.
   *
   * The payload is copied: later changes to the array have no effect.
   *
   * @throws {FileError} `BUFFER_FULL` of kind `"limit"` if the file would exceed `maxBytes`; a smaller message may still fit.
   * `SEND_FAILED` after a system failure; the promise rejects with it too.
   * @throws {StreamerError} `INVALID_STREAM_KEY`; `INVALID_OPTION`. `BUFFER_FULL` above `maxBuffered`. `PRODUCER_ENDED` after
   * `close()`. If the signal is aborted, the promise rejects with its reason, and the message remains accepted.
   */
  write(message: FileRecord, options: { readonly signal?: AbortSignal } = {}): void | Promise<void> {
    if (this.#closing !== undefined) throw closed();
    this.#throwFailure();
    const { streamKey, shardId } = message;
    const sequence = checkSequence(message.sequence);
    const timestamp = checkTime(message);
    const payload = this.#bytesOf(message.payload);
    const entry = this.#summary.find(streamKey, shardId);
    if (entry !== undefined) this.#capacity.check(entry, payload.length);
    this.#encoder.write(entry ?? this.#enter(streamKey, shardId, payload.length), sequence, timestamp, payload);
    this.#messages++;
    const full = this.#writing.more(this.#encoder.offset);
    if (full === undefined) return undefined;
    const waiting = abortable(full, options.signal);
    waiting.catch(() => {}); // a caller that does not wait gets the error from the next call
    return waiting;
  }

  /**
   * Writes all accepted messages.
   *
   * Resolves once the operating system has all messages that were accepted before the call. With `sync`, resolves once they are on
   * the disk (fsync).
   *
   * @throws {FileError} `SEND_FAILED` if the system refuses.
   * @throws {StreamerError} `PRODUCER_ENDED` after `close()`. Rejects with the signal's reason if it is aborted.
   */
  async flush(options: { readonly sync?: boolean; readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.#closing !== undefined) throw closed();
    options.signal?.throwIfAborted();
    await abortable(this.#flush(options.sync === true), options.signal);
  }

  /**
   * Writes all buffered messages and closes the file.
   *
   * With `endOfStream`, the mark of the end is written last. The data is flushed to the disk (fsync) unless `sync` is `false`. The
   * file is closed even if a step fails. A second call only waits for the first one.
   *
   * Rejects with the signal's reason if it is aborted; closing continues then.
   *
   * @throws {FileError} `SEND_FAILED` if the system refuses, or has refused before. `BUFFER_FULL` if `maxBytes` leaves no space for
   * the end of the stream in an existing file; everything else is written then.
   */
  async close(options: { readonly sync?: boolean; readonly signal?: AbortSignal } = {}): Promise<void> {
    const { sync = true, signal } = options;
    const earlier = this.#closing;
    if (earlier !== undefined) return await abortable(earlier.catch(() => {}), signal); // the first caller gets the error
    this.#closing = this.#close(sync);
    await abortable(this.#closing, signal);
  }

  /** Calls {@linkcode close}. A failure that another call has thrown already is not thrown again. */
  async [Symbol.asyncDispose](): Promise<void> {
    const isThrown = this.#isThrown;
    try {
      await this.close();
    } catch (error) {
      if (!isThrown) throw error;
    }
  }

  async #flush(sync: boolean): Promise<void> {
    try {
      await this.#writing.flush(this.#encoder.offset, sync);
    } catch (error) {
      this.#isThrown = true;
      throw error;
    }
  }

  async #close(sync: boolean): Promise<void> {
    let refusal: unknown;
    try {
      if (this.#settings.endOfStream && this.#writing.failure === undefined) this.#writeEnd();
    } catch (error) {
      refusal = error; // accepted messages are written all the same
    }
    try {
      await this.#writing.flush(this.#encoder.offset, sync);
    } finally {
      await this.#writing.close();
    }
    if (refusal !== undefined) throw refusal;
  }

  #writeEnd(): void {
    this.#capacity.checkEnd();
    const entry = this.#summary.find(INTERNAL_KEY, 0) ?? this.#summary.add(INTERNAL_KEY, 0);
    this.#encoder.write(entry, 0n, BigInt(this.#now()), END_OF_STREAM);
  }

  #throwFailure(): void {
    const { failure } = this.#writing;
    if (failure === undefined) return;
    this.#isThrown = true;
    throw failure;
  }

  /** The entry of a shard without messages so far, if the message can be accepted. */
  #enter(streamKey: string, shardId: number | bigint, payloadBytes: number): BeaconSummaryEntry {
    const [key, shard] = [checkFileKey(streamKey), checkShard(shardId)];
    const known = this.#summary.find(key, shard);
    const entry = known ?? this.#summary.add(key, shard);
    try {
      this.#capacity.check(entry, payloadBytes);
    } catch (error) {
      if (known === undefined) this.#summary.remove(entry);
      throw error;
    }
    return entry;
  }

  #bytesOf(payload: unknown): Uint8Array {
    if (typeof payload === "string") {
      if (payload.length * 3 > SCRATCH_BYTES) return utf8.encode(payload);
      return this.#scratch.subarray(0, utf8.encodeInto(payload, this.#scratch).written);
    }
    if (!(payload instanceof Uint8Array)) throw invalidOption("payload", payload, "a string or a Uint8Array");
    if (payload.length > MAX_PAYLOAD) {
      throw invalidOption("payload", payload.length, `of at most ${MAX_PAYLOAD} bytes`);
    }
    return payload;
  }
}

/** Creates a sink for a new file. */
export async function createSink(ports: SinkPorts, path: string, settings: SinkSettings): Promise<MessageSink> {
  const parts = await openNew(ports, path, settings);
  try {
    return await started(parts);
  } catch (error) {
    // A new file would fail the next attempt. The content of an overwritten file is gone already: that file stays.
    if (!settings.overwrite) await parts.port.remove().catch(() => {}); // the first error counts
    throw error;
  }
}

/** Creates a sink that appends to a file. */
export async function appendSink(ports: SinkPorts, path: string, settings: SinkSettings): Promise<MessageSink> {
  return await started(await openToAppend(ports, path, settings));
}

/** Creates the sink and writes its first bytes, so that a failure is reported at once. */
async function started(parts: SinkParts): Promise<MessageSink> {
  const sink = new MessageSink(parts);
  try {
    await sink.flush();
    parts.settings.signal?.throwIfAborted();
    return sink;
  } catch (error) {
    await sink[Symbol.asyncDispose]().catch(() => {}); // the first error counts
    throw error;
  }
}

function closed(): StreamerError {
  return new StreamerError("PRODUCER_ENDED", "The sink is closed", { outcome: "not-written" });
}
