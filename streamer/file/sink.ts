// What a program holds to write a file: accepting messages, flushing, closing. It must not know how bytes are laid out.

import { StreamerError } from "../../resp/errors.ts";
import { abortable } from "../model/abortable.ts";
import { invalidOption } from "../model/options.ts";
import { ChunkQueue } from "./chunks.ts";
import { openDisk } from "./disk.ts";
import { FileEncoder } from "./encoder.ts";
import { FileError, flawed, refused } from "./error.ts";
import {
  encodeHeader,
  END_OF_STREAM,
  type FileHeader,
  FRAME_BYTES,
  HEADER_BYTES,
  INTERNAL_KEY,
  startsLikeHeader,
} from "./layout.ts";
import { checkFileKey, checkSequence, checkShard, checkTime, type FileRecord } from "./message.ts";
import type { FilePort, OpenFile } from "./port.ts";
import { FileReading } from "./reading.ts";
import { findEnd } from "./recovery.ts";
import {
  appendSettings,
  type AppendSinkOptions,
  createSettings,
  type CreateSinkOptions,
  type SinkSettings,
} from "./sink_options.ts";
import { Tally, type TallyEntry } from "./tally.ts";
import { FileWriting } from "./writing.ts";

/** Numbers of what a sink has done; sizes are in bytes. */
export interface MessageSinkStats {
  /** Messages accepted. */
  readonly messages: number;
  /** How long the file is with all that was accepted. */
  readonly bytes: number;
  /** Bytes accepted and not yet written. */
  readonly buffered: number;
  /** Shards of streams that beacons can tell of. */
  readonly shards: number;
}

/** A piece of a message or beacon that was cut off the end of a file. */
export interface TornEnd {
  /** The byte at which it began: behind the last whole message. */
  readonly offset: number;
  /** How many bytes there were. */
  readonly bytes: number;
}

/** What a sink is made of. */
interface SinkParts {
  readonly port: FilePort;
  readonly path: string;
  readonly header: FileHeader;
  readonly settings: SinkSettings;
  /** Where it goes on; 0 where there is no header yet. */
  readonly offset: number;
  readonly tally: Tally;
  readonly torn?: TornEnd;
  readonly now: () => number;
}

/** What a sink is opened with beside its options. */
export interface SinkPorts {
  readonly open: OpenFile;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const PORTS: SinkPorts = { open: openDisk, now: Date.now };
/** Texts up to a third of this are encoded without a piece of memory for each. */
const SCRATCH_BYTES = 64 * 1024;
const MAX_PAYLOAD = 2 ** 32 - 1;
const utf8 = new TextEncoder();

/**
 * Writes a SeaStreamer file (`.ss`): messages one behind the other, of any number of streams and shards, and beacons
 * between them, by which readers find a time or a sequence.
 *
 * What is accepted is written in the order of the calls, within a few milliseconds or as soon as 256 KiB have come
 * together; what the system has is safe from the end of the process, what was flushed with `sync` from that of the machine.
 * Memory is bounded by `maxBuffered`, and a note of about 200 bytes for each shard of a stream that was ever written to. One
 * sink at a time may write to a file: nothing prevents a second one, and the file would be lost.
 *
 * After a failure of the system nothing more is written, and everything rejects with it. What has reached the file by then
 * may end inside of a message, which {@linkcode MessageSink.append} can cut off.
 *
 * Source: the SeaStreamer file format, version 1; upstream `MessageSink`.
 *
 * @example
 * ```ts no-eval
 * import { MessageSink } from "@sea/streamer-redis/file";
 *
 * await using sink = await MessageSink.create("orders.ss", { endOfStream: true });
 * for (let i = 0n; i < 1_000_000n; i++) {
 *   const timestamp = new Date();
 *   const full = sink.write({ streamKey: "orders", shardId: 0, sequence: i, timestamp, payload: `order ${i}` });
 *   if (full) await full;
 * }
 * ```
 */
export class MessageSink implements AsyncDisposable {
  /** What was cut off the end of the file when it was opened with `onTorn: "truncate"`; else `undefined`. */
  readonly torn: TornEnd | undefined;
  readonly #path: string;
  readonly #header: FileHeader;
  readonly #settings: SinkSettings;
  readonly #port: FilePort;
  readonly #now: () => number;
  readonly #tally: Tally;
  readonly #out = new ChunkQueue();
  readonly #writing: FileWriting;
  readonly #encoder: FileEncoder;
  readonly #scratch = new Uint8Array(SCRATCH_BYTES);
  #messages = 0;
  #isTold = false; // whether somebody has been told of the failure
  #closing: Promise<void> | undefined;

  /** @internal Made by {@linkcode MessageSink.create} and {@linkcode MessageSink.append}. */
  constructor({ port, path, header, settings, offset, tally, torn, now }: SinkParts) {
    this.torn = torn;
    this.#path = path;
    this.#header = header;
    this.#settings = settings;
    this.#port = port;
    this.#now = now;
    this.#tally = tally;
    this.#writing = new FileWriting(this.#out, { port, path, offset, highWaterMark: settings.highWaterMark });
    if (offset === 0) this.#out.append(encodeHeader(header));
    const interval = header.beaconInterval;
    this.#encoder = new FileEncoder(this.#out, { interval, offset: Math.max(offset, HEADER_BYTES), tally });
  }

  /**
   * Makes a new file; its header is written when this resolves. Where it rejects, no new file is left behind.
   *
   * @throws {FileError} `CONNECT` where the system refuses, or a file is there already and `overwrite` is not set;
   * `SEND_FAILED` where the header cannot be written.
   * @throws {StreamerError} `INVALID_OPTION`; the signal's reason.
   */
  static async create(path: string, options: CreateSinkOptions = {}): Promise<MessageSink> {
    return await createSink(PORTS, path, createSettings(path, options));
  }

  /**
   * Goes on with a file behind its last whole message, in the file's own `beaconInterval`; a message that ends the stream is
   * taken away. A file that is missing or empty is made. What stands behind the last beacon is read, and not more.
   *
   * Where the file had more shards than a beacon has room for, its further beacons tell only of those that were among the
   * last markers or are written to again.
   *
   * @throws {FileError} `CONNECT` where the system refuses; `PROTOCOL` where it is no such file, or bytes behind its last
   * beacon are corrupt or, unless `onTorn` says otherwise, torn: then the file is as it was. `SEND_FAILED` where it cannot
   * be written.
   * @throws {StreamerError} `INVALID_OPTION`; the signal's reason.
   */
  static async append(path: string, options: AppendSinkOptions = {}): Promise<MessageSink> {
    return await appendSink(PORTS, path, appendSettings(path, options));
  }

  /** The path it was opened by. */
  get path(): string {
    return this.#path;
  }

  /** The name that stands in the header. */
  get fileName(): string {
    return this.#header.fileName;
  }

  /** When the file was made; outside of Date's range an Invalid Date. */
  get createdAt(): Date {
    return new Date(Number(this.#header.createdAt));
  }

  /** Bytes between beacons. */
  get beaconInterval(): number {
    return this.#header.beaconInterval;
  }

  /** What has been done so far. */
  stats(): MessageSinkStats {
    return {
      messages: this.#messages,
      bytes: this.#encoder.offset,
      buffered: this.#out.buffered,
      shards: this.#tally.size,
    };
  }

  /**
   * Accepts a message. The bytes are taken at the call: changing the array afterwards changes nothing that is written.
   *
   * Gives nothing while less than `highWaterMark` is buffered; else a promise that resolves when that is so again. Whoever does
   * not wait for it may go on until `maxBuffered`; it never raises an unhandled rejection. A message that is larger than
   * that is accepted when nothing else is buffered.
   *
   * @throws {FileError} `BUFFER_FULL` of kind `"limit"` where the file would become longer than `maxBytes`: nothing of the
   * message is written, and a shorter one may still fit. `SEND_FAILED` after a failure of the system; with that the promise
   * rejects, too.
   * @throws {StreamerError} `INVALID_STREAM_KEY`, `INVALID_OPTION`; `BUFFER_FULL` past `maxBuffered`; `PRODUCER_ENDED` after
   * `close()`. The promise rejects with the signal's reason, the message being accepted nevertheless.
   */
  write(message: FileRecord, options: { readonly signal?: AbortSignal } = {}): void | Promise<void> {
    if (this.#closing !== undefined) throw closed();
    this.#throwFailure();
    const { streamKey, shardId } = message;
    const sequence = checkSequence(message.sequence);
    const timestamp = checkTime(message);
    const payload = this.#bytesOf(message.payload);
    const entry = this.#tally.find(streamKey, shardId);
    if (entry !== undefined) this.#checkRoom(entry, payload.length);
    this.#encoder.write(entry ?? this.#enter(streamKey, shardId, payload.length), sequence, timestamp, payload);
    this.#messages++;
    const full = this.#writing.more(this.#encoder.offset);
    if (full === undefined) return undefined;
    const waiting = abortable(full, options.signal);
    waiting.catch(() => {}); // whoever does not wait for it is told by the next call
    return waiting;
  }

  /**
   * Resolves when all that was accepted before is with the system; with `sync`, when it is on the disk (fsync).
   *
   * @throws {FileError} `SEND_FAILED` where the system refuses.
   * @throws {StreamerError} `PRODUCER_ENDED` after `close()`; the signal's reason.
   */
  async flush(options: { readonly sync?: boolean; readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.#closing !== undefined) throw closed();
    options.signal?.throwIfAborted();
    await abortable(this.#flush(options.sync === true), options.signal);
  }

  /**
   * Writes what is left and, with `endOfStream`, the message that ends the stream, brings it to the disk (fsync, unless
   * `sync` is false), and gives the file back, also if any of that fails. A second call waits for the first, and does nothing.
   *
   * @throws {FileError} `SEND_FAILED` where the system refuses, now or before; `BUFFER_FULL` where `maxBytes` leaves no room for
   * the end of the stream in a file that was appended to: all else is written then.
   * @throws {StreamerError} The signal's reason, with which only the waiting ends.
   */
  async close(options: { readonly sync?: boolean; readonly signal?: AbortSignal } = {}): Promise<void> {
    const { sync = true, signal } = options;
    const earlier = this.#closing;
    if (earlier !== undefined) return await abortable(earlier.catch(() => {}), signal); // its caller has been told
    this.#closing = this.#close(sync);
    await abortable(this.#closing, signal);
  }

  /** The same as {@linkcode close}; a failure that a call has thrown before is not thrown again. */
  async [Symbol.asyncDispose](): Promise<void> {
    const isTold = this.#isTold;
    try {
      await this.close();
    } catch (error) {
      if (!isTold) throw error;
    }
  }

  async #flush(sync: boolean): Promise<void> {
    try {
      await this.#writing.flush(this.#encoder.offset, sync);
    } catch (error) {
      this.#isTold = true;
      throw error;
    }
  }

  async #close(sync: boolean): Promise<void> {
    let refusal: unknown;
    try {
      if (this.#settings.endOfStream && this.#writing.failure === undefined) this.#writeEnd();
    } catch (error) {
      refusal = error; // what was accepted is written all the same
    }
    try {
      await this.#writing.flush(this.#encoder.offset, sync);
    } finally {
      await this.#writing.close();
    }
    if (refusal !== undefined) throw refusal;
  }

  #writeEnd(): void {
    const { offset } = this.#encoder;
    this.#checkEnd(offset, this.#encoder.endRoom(offset));
    const entry = this.#tally.find(INTERNAL_KEY, 0) ?? this.#tally.add(INTERNAL_KEY, 0);
    this.#encoder.write(entry, 0n, BigInt(this.#now()), END_OF_STREAM);
  }

  #throwFailure(): void {
    const { failure } = this.#writing;
    if (failure === undefined) return;
    this.#isTold = true;
    throw failure;
  }

  /** The entry of a shard that was not written to before, if the message can be accepted. */
  #enter(streamKey: string, shardId: number | bigint, payloadBytes: number): TallyEntry {
    const [key, shard] = [checkFileKey(streamKey), checkShard(shardId)];
    const known = this.#tally.find(key, shard);
    const entry = known ?? this.#tally.add(key, shard);
    try {
      this.#checkRoom(entry, payloadBytes);
    } catch (error) {
      if (known === undefined) this.#tally.remove(entry);
      throw error;
    }
    return entry;
  }

  #checkRoom(entry: TallyEntry, payloadBytes: number): void {
    const { maxBuffered, maxBytes, endOfStream } = this.#settings;
    const { buffered } = this.#out;
    if (buffered > 0 && buffered + FRAME_BYTES + entry.streamKey.length + payloadBytes > maxBuffered) {
      const rule = `at most ${maxBuffered} bytes may be buffered: current value is ${buffered}`;
      throw new StreamerError("BUFFER_FULL", `Cannot write a message as ${rule}`, { outcome: "not-written" });
    }
    if (maxBytes === Infinity) return;
    const end = this.#encoder.offset + this.#encoder.growth(entry, payloadBytes);
    this.#checkEnd(end, endOfStream ? this.#encoder.endRoom(end) : 0);
  }

  #checkEnd(end: number, reserve: number): void {
    const { maxBytes } = this.#settings;
    if (end + reserve <= maxBytes) return;
    const needs = `it would have ${end}${reserve === 0 ? "" : `, and ${reserve} for the end of the stream`}`;
    const rule = `the file must not become longer than ${maxBytes} bytes: ${needs}`;
    const { offset } = this.#encoder;
    throw new FileError("limit", `Cannot write a message as ${rule}`, {
      path: this.#path,
      code: "BUFFER_FULL",
      offset,
    });
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

/** Makes a sink of a new file on a disk of one's own. */
export async function createSink({ open, now }: SinkPorts, path: string, settings: SinkSettings): Promise<MessageSink> {
  settings.signal?.throwIfAborted();
  const port = await opened(open, path, settings.overwrite ? "replace" : "new");
  try {
    return await started(port, { path, settings, now, header: settings, offset: 0, tally: new Tally() });
  } catch (error) {
    // It would be in the way of the next try. What was there to be overwritten is gone already: that one stays.
    if (!settings.overwrite) await port.remove().catch(() => {}); // the first error counts
    throw error;
  }
}

/** Makes a sink that goes on with a file on a disk of one's own. */
export async function appendSink({ open, now }: SinkPorts, path: string, settings: SinkSettings): Promise<MessageSink> {
  settings.signal?.throwIfAborted();
  const port = await opened(open, path, "append");
  let parts: Omit<SinkParts, "port">;
  try {
    parts = await partsOf(port, { path, settings, now });
    settings.signal?.throwIfAborted();
    if (parts.torn !== undefined || parts.offset > 0) await truncated(port, path, parts.offset);
  } catch (error) {
    await port.close().catch(() => {}); // the first error counts
    throw error;
  }
  return await started(port, parts);
}

/** Looks where a file ends, and changes nothing. */
async function partsOf(
  port: FilePort,
  given: Pick<SinkParts, "path" | "settings" | "now">,
): Promise<Omit<SinkParts, "port">> {
  const { path, settings } = given;
  const reading = new FileReading(port, path);
  const size = await reading.size();
  const cuts = settings.onTorn === "truncate";
  const fresh = { ...given, header: settings, offset: 0, tally: new Tally() };
  if (size === 0) return fresh;
  if (size < HEADER_BYTES && cuts && startsLikeHeader(await reading.beginning(size))) {
    return { ...fresh, torn: { offset: 0, bytes: size } };
  }
  const header = await reading.header();
  const { offset, tally, torn } = await findEnd(reading, { size, interval: header.beaconInterval });
  if (torn !== undefined && !cuts) throw flawed(path, torn);
  return { ...given, header, offset, tally, ...(torn === undefined ? {} : { torn: { offset, bytes: size - offset } }) };
}

/** Makes the sink and brings its first bytes to the file, so that a failure shows at once. */
async function started(port: FilePort, parts: Omit<SinkParts, "port">): Promise<MessageSink> {
  const sink = new MessageSink({ port, ...parts });
  try {
    await sink.flush();
    parts.settings.signal?.throwIfAborted();
    return sink;
  } catch (error) {
    await sink[Symbol.asyncDispose]().catch(() => {}); // the first error counts
    throw error;
  }
}

async function opened(open: OpenFile, path: string, mode: "new" | "replace" | "append"): Promise<FilePort> {
  try {
    return await open(path, mode);
  } catch (cause) {
    throw refused(path, "open", cause);
  }
}

async function truncated(port: FilePort, path: string, length: number): Promise<void> {
  try {
    await port.truncate(length);
  } catch (cause) {
    throw refused(path, "write", cause);
  }
}

function closed(): StreamerError {
  return new StreamerError("PRODUCER_ENDED", "Cannot use a sink that is closed", { outcome: "not-written" });
}
