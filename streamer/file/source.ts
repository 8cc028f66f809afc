// What a program holds to read a file: iterating, seeking, following, closing. It must not know how bytes are laid out.

import { StreamerError } from "../../resp/errors.ts";
import { abortable } from "../model/abortable.ts";
import { FileDecoder, STEP } from "./decoder.ts";
import { openDisk } from "./disk.ts";
import { type Flaw, flawed, refused } from "./error.ts";
import type { FileHeader } from "./layout.ts";
import type { FileMessage } from "./message.ts";
import type { FilePort, OpenFile } from "./port.ts";
import { FileReading } from "./reading.ts";
import { type Beacons, findBeacon, lastBeginning, type Wanted } from "./search.ts";
import {
  checkPosition,
  type FilePosition,
  type FileSeekOptions,
  type MessageSourceOptions,
  type SourceSettings,
  sourceSettings,
  wantedSequence,
  wantedTime,
} from "./source_options.ts";
import { Pause } from "./waiting.ts";

/** Numbers of what a source has done. */
export interface MessageSourceStats {
  /** Messages handed out. */
  readonly messages: number;
  /** Places where bytes were wrong or missing. */
  readonly corrupt: number;
  /** Times that the system was asked for bytes. */
  readonly reads: number;
  /** Bytes that came. */
  readonly bytesRead: number;
}

/** What a read came to at the end of a file that is followed. */
const WAIT = Symbol();

/** What a source is made of. */
interface SourceParts {
  readonly port: FilePort;
  readonly reading: FileReading;
  readonly header: FileHeader;
  readonly settings: SourceSettings;
}

/**
 * Reads a SeaStreamer file (`.ss`), message after message in their order in the file, of all streams that it holds.
 *
 * It is read in pages of 256 KiB; no more is held than the page at hand and, where one is larger, the message at hand. The
 * file ends where its writer said so, or, which is no error, where a message ends; inside of a message it is torn, which is
 * told after all that stands before. What claims to be longer than the file, or than `maxPayload`, is never made room for.
 *
 * Source: the SeaStreamer file format, version 1; upstream `MessageSource`.
 *
 * @example
 * ```ts no-eval
 * import { MessageSource } from "@sea/streamer-redis/file";
 *
 * await using source = await MessageSource.open("orders.ss");
 * await source.seek(new Date("2026-01-01"));
 * for await (const message of source) console.log(message.streamKey, message.sequence, message.text());
 * ```
 */
export class MessageSource implements AsyncIterable<FileMessage>, AsyncDisposable {
  readonly #port: FilePort;
  readonly #reading: FileReading;
  readonly #header: FileHeader;
  readonly #settings: SourceSettings;
  readonly #decoder: FileDecoder;
  readonly #pause = new Pause();
  #turns: Promise<unknown> = Promise.resolve(); // one reads or moves at a time
  #waiting = 0; // those who do or will
  #messages = 0;
  #corrupt = 0;
  #ended = false;
  #tornAt = -1; // where a torn message was told of
  #closing: Promise<void> | undefined;

  /** @internal Made by {@linkcode MessageSource.open}. */
  constructor({ port, reading, header, settings }: SourceParts) {
    this.#port = port;
    this.#reading = reading;
    this.#header = header;
    this.#settings = settings;
    this.#decoder = new FileDecoder({ interval: header.beaconInterval, maxPayload: settings.maxPayload });
  }

  /**
   * Opens a file and reads its header.
   *
   * @throws {FileError} `CONNECT` where the system refuses; `PROTOCOL` where it is no such file, or of another version.
   * @throws {StreamerError} `INVALID_OPTION`; the signal's reason.
   */
  static async open(path: string, options: MessageSourceOptions = {}): Promise<MessageSource> {
    return await openSource(openDisk, path, options);
  }

  /** The path it was opened by. */
  get path(): string {
    return this.#reading.path;
  }

  /** The name that stands in the header: that of the file when it was made, without its folder. */
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

  /** Whether the message that ends the stream was met. What stands behind it, if anything, is not read. */
  get ended(): boolean {
    return this.#ended;
  }

  /** What has been done so far. */
  stats(): MessageSourceStats {
    const { reads, bytesRead } = this.#reading;
    return { messages: this.#messages, corrupt: this.#corrupt, reads, bytesRead };
  }

  /**
   * Iterates from where the source stands. Leaving the loop ends only the loop: the next one goes on behind. Several loops
   * share the messages. After the end of the file, or `close()`, it is done; a file that has grown since is gone on with by the
   * next loop.
   *
   * While iterating it throws a `FileError`, as `onCorrupt` says: `PROTOCOL`, with the `offset` of what is wrong, and
   * `DISCONNECTED` where the system refuses; and the signal's reason.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<FileMessage> {
    let done = false;
    const end = { value: undefined, done: true } as const;
    const result = (message: FileMessage | undefined): IteratorResult<FileMessage, undefined> => {
      if (message !== undefined) return { value: message, done: false };
      done = true;
      return end;
    };
    const iterator: AsyncIterableIterator<FileMessage> = {
      next: async () => {
        if (done) return end;
        if (this.#waiting === 0 && this.#closing === undefined) {
          const message = this.#step();
          if (message !== undefined) return result(message);
        }
        for (;;) {
          const { wakings } = this.#pause;
          const read = await this.#inTurn(() => this.#read());
          if (read !== WAIT) return result(read);
          // Not in turn, so that it can be moved meanwhile.
          await this.#pause.for(this.#settings.pollInterval, wakings, this.#settings.signal);
        }
      },
      return: () => {
        done = true;
        return Promise.resolve(end);
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  /**
   * Goes on with the first message of the file whose time is behind this one, the whole of its millisecond for a Date, and
   * with all that stand after it in the file; with `streamKey` and `shardId` it is the first of that shard. Where there is
   * none, at the end of the file.
   *
   * The beacons are searched, with a logarithm of their number in reads, and then what stands behind one of them. That takes
   * for granted that the times of each shard ascend, as ids in Redis do. Without `shardId` it takes a file that holds fewer
   * shards than a beacon has room for (127 at the default interval); of a file with more, everything before is
   * read. So it is where the interval is below 1 KiB. (The original library forgets, when it appends to a file, what was in it
   * before: such a file is expected to be in the order of time as a whole, or to be asked with `shardId`.)
   *
   * @throws {FileError} `PROTOCOL` where corrupt bytes are on the way, as `onCorrupt` says; then, and where it rejects
   * otherwise, nothing has changed. `DISCONNECTED` where the system refuses.
   * @throws {StreamerError} `INVALID_OPTION`, `INVALID_STREAM_KEY`, `CONSUMER_ENDED`; the signal's reason.
   */
  async seek(time: Date | bigint, options: FileSeekOptions = {}): Promise<void> {
    const wanted = wantedTime(time, options);
    await this.#move(options.signal, (check) => this.#find(wanted, check));
  }

  /**
   * Goes on at the beginning, at the end (behind the last whole message), or with the first message of the file whose
   * sequence is above this one; everything else as of {@linkcode seek}. (The original library goes on *with* the sequence.)
   *
   * @throws {FileError} As of {@linkcode seek}.
   * @throws {StreamerError} As of {@linkcode seek}.
   */
  async rewind(position: FilePosition, options: FileSeekOptions = {}): Promise<void> {
    checkPosition(position);
    const wanted = wantedSequence(typeof position === "bigint" ? position : 0n, options);
    await this.#move(options.signal, async (check) => {
      if (position === "beginning") this.#decoder.moveToBeacon(0);
      else if (position === "end") await this.#toEnd(check);
      else await this.#find(wanted, check);
    });
  }

  /** Ends reading and gives the file back; loops finish quietly. A second call does nothing. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  /** The same as {@linkcode close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#pause.end();
    await this.#turns.catch(() => {}); // who reads is told
    try {
      await this.#port.close();
    } catch (cause) {
      throw refused(this.path, "read", cause);
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting++;
    const turn = this.#turns.then(work).finally(() => this.#waiting--);
    this.#turns = turn.catch(() => {}); // told to whoever asked
    return turn;
  }

  /** The next message if it is in memory. */
  #step(): FileMessage | undefined {
    const decoder = this.#decoder;
    this.#settings.signal?.throwIfAborted();
    while (!this.#ended) {
      const step = decoder.locate();
      if (step === STEP.need) return undefined;
      if (step === STEP.flaw) {
        this.#report(decoder.flaw);
        continue;
      }
      const { special } = decoder;
      const message = decoder.take();
      if (message === undefined) this.#report(decoder.flaw);
      else if (special === "end") this.#ended = true;
      else if (special === undefined) {
        this.#messages++;
        return message;
      }
    }
    return undefined;
  }

  /** The next message; `undefined` at the end, `WAIT` where more may come. */
  async #read(): Promise<FileMessage | typeof WAIT | undefined> {
    while (this.#closing === undefined) {
      const message = this.#step();
      if (message !== undefined) return message;
      if (this.#ended) return undefined;
      if (await this.#reading.fill(this.#decoder, this.#decoder.need)) continue;
      if (await this.#isContradicted()) continue;
      const { position, page } = this.#decoder;
      const size = await this.#reading.size();
      if (this.#settings.follow) {
        if (size < position && position <= this.#reading.furthest) {
          const why = "a file that is followed must not become shorter";
          throw flawed(this.path, { kind: "torn", offset: size, why });
        }
        page.drop(position); // to be read anew: who appends to the file cuts off a torn end first
        return WAIT;
      }
      if (position >= size || position === this.#tornAt) return undefined;
      this.#tornAt = position;
      this.#report({ kind: "torn", offset: position, why: "the file must not end inside of a message or beacon" });
      return undefined;
    }
    return undefined;
  }

  /** Whether the message that seems to go past the end of the file is not as long as it says; then it is passed over. */
  async #isContradicted(): Promise<boolean> {
    const { expected } = this.#decoder;
    if (expected === undefined) return false;
    const beacon = await this.#reading.beacon(expected.boundary, this.beaconInterval);
    if (beacon === undefined || beacon.remaining === expected.remaining) return false;
    this.#decoder.giveUp();
    this.#report(this.#decoder.flaw);
    return true;
  }

  #report(flaw: Flaw): void {
    this.#corrupt++;
    const { onCorrupt } = this.#settings;
    if (onCorrupt === "skip") return;
    const error = flawed(this.path, flaw);
    if (onCorrupt === "fail") throw error;
    onCorrupt(error);
  }

  /** Moves in turn; `find` calls `check` before it reads, which throws where nobody waits for the outcome any more. */
  async #move(signal: AbortSignal | undefined, find: (check: () => void) => Promise<void>): Promise<void> {
    const { signal: own } = this.#settings;
    const check = () => {
      if (this.#closing !== undefined) throw closed();
      own?.throwIfAborted();
      signal?.throwIfAborted();
    };
    own?.throwIfAborted();
    signal?.throwIfAborted();
    const moving = this.#inTurn(async () => {
      check(); // while others had their turn
      const { state } = this.#decoder;
      const ended = this.#ended;
      try {
        this.#ended = false;
        await find(check);
        check();
        this.#tornAt = -1;
        this.#pause.wake(); // there may be something to read now
      } catch (error) {
        this.#decoder.restore(state);
        this.#ended = ended;
        throw error;
      }
    });
    await abortable(abortable(moving, signal), own);
  }

  async #beacons(check: () => void): Promise<Beacons> {
    const interval = this.beaconInterval;
    const size = await this.#reading.size();
    return {
      interval,
      last: Math.max(0, Math.floor((size - 1) / interval)),
      read: async (number) => {
        check();
        return await this.#reading.beacon(number * interval, interval);
      },
    };
  }

  async #find(wanted: Wanted, check: () => void): Promise<void> {
    const decoder = this.#decoder;
    decoder.moveToBeacon(this.beaconInterval * await findBeacon(await this.#beacons(check), wanted));
    await this.#scan(check, () =>
      (wanted.streamKey === undefined || wanted.streamKey === decoder.streamKey) &&
      (wanted.shardId === undefined || wanted.shardId === decoder.shardId) &&
      decoder[wanted.by] > wanted.above);
    // What the last beacon interrupts is torn: to go on where it begins, as who appends cuts it off.
    const { resync, skip, position } = decoder.state;
    if (resync || skip > 0 || position > await this.#reading.size()) await this.#toEnd(check);
  }

  async #toEnd(check: () => void): Promise<void> {
    const last = await lastBeginning(await this.#beacons(check), await this.#reading.size());
    this.#decoder.moveToBeacon(this.beaconInterval * last);
    await this.#scan(check, () => false);
  }

  /** Passes over messages until one is found; that one, or the end, is then the next. */
  async #scan(check: () => void, isFound: () => boolean): Promise<void> {
    const decoder = this.#decoder;
    for (;;) {
      const step = decoder.locate();
      if (step === STEP.flaw) this.#report(decoder.flaw);
      else if (step === STEP.frame) {
        const { special } = decoder;
        if (special === "end" || (special === undefined && isFound())) return;
        decoder.pass();
      } else {
        check();
        if (!await this.#reading.fill(decoder, decoder.need) && !await this.#isContradicted()) return;
      }
    }
  }
}

/** Opens a source on a disk of one's own. */
export async function openSource(
  open: OpenFile,
  path: string,
  options: MessageSourceOptions = {},
): Promise<MessageSource> {
  const settings = sourceSettings(options);
  settings.signal?.throwIfAborted();
  let port: FilePort;
  try {
    port = await open(path, "read");
  } catch (cause) {
    throw refused(path, "open", cause);
  }
  try {
    const reading = new FileReading(port, path);
    const header = await reading.header();
    settings.signal?.throwIfAborted();
    return new MessageSource({ port, reading, header, settings });
  } catch (error) {
    await port.close().catch(() => {}); // the first error counts
    throw error;
  }
}

function closed(): StreamerError {
  return new StreamerError("CONSUMER_ENDED", "Cannot use a source that is closed");
}
