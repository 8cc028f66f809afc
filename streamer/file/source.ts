// The public reader of a file: iterates, seeks, follows, closes.

import { StreamerError } from "../../resp/errors.ts";
import { abortable } from "../model/abortable.ts";
import { type Check, FileCursor, WAIT } from "./cursor.ts";
import { openDisk } from "./disk/disk.ts";
import { refused } from "./error.ts";
import type { FileHeader } from "./format/layout.ts";
import type { FileMessage } from "./message.ts";
import type { FilePort, OpenFile } from "./disk/port.ts";
import { FileReading } from "./disk/reading.ts";
import { PollWait } from "./poll_wait.ts";
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

/**
 * Statistics of a {@linkcode MessageSource}.
 *
 * @category Files
 */
export interface MessageSourceStats {
  /** Returned messages. */
  readonly messages: number;
  /** Corrupt or truncated places. */
  readonly corrupt: number;
  /** Read requests to the system. */
  readonly reads: number;
  /** Bytes that were read. */
  readonly bytesRead: number;
}

/** The parts of a source. */
interface SourceParts {
  readonly port: FilePort;
  readonly reading: FileReading;
  readonly header: FileHeader;
  readonly settings: SourceSettings;
}

/**
 * Reads the messages of a SeaStreamer file (`.ss`) in the order of the file, for all of its streams.
 *
 * Reading ends at the mark of the end of the stream, or after the last complete message. A file that ends inside a message is
 * truncated: that is reported after all complete messages.
 *
 * The file is read in pages of 256 KiB. Memory holds the current page, or the current message if it is larger. No memory is
 * allocated for a message that claims to exceed the file or `maxPayload`.
 *
 * Source: the SeaStreamer file format, version 1; `MessageSource` of the Rust library.
 *
 * @example
 * ```ts
 * import { MessageSink, MessageSource } from "@sea/streamer-redis/file";
 *
 * const sink = await MessageSink.create("orders.ss");
 * await sink.write({ streamKey: "orders", shardId: 0, sequence: 1n, timestamp: new Date(), payload: "paid" });
 * await sink.close();
 *
 * await using source = await MessageSource.open("orders.ss");
 * await source.seek(new Date("2026-01-01"));
 * for await (const message of source) console.log(message.streamKey, message.sequence, message.text());
 * ```
 *
 * @category Files
 */
export class MessageSource implements AsyncIterable<FileMessage>, AsyncDisposable {
  readonly #port: FilePort;
  readonly #reading: FileReading;
  readonly #header: FileHeader;
  readonly #settings: SourceSettings;
  readonly #cursor: FileCursor;
  readonly #pollWait = new PollWait();
  #last: Promise<unknown> = Promise.resolve(); // the last call that uses the cursor; calls run one at a time
  #calls = 0; // calls that use the cursor or wait for it
  #closing: Promise<void> | undefined;

  /** @internal Use {@linkcode MessageSource.open}. */
  constructor({ port, reading, header, settings }: SourceParts) {
    this.#port = port;
    this.#reading = reading;
    this.#header = header;
    this.#settings = settings;
    this.#cursor = new FileCursor({ reading, interval: header.beaconInterval, settings });
  }

  /**
   * Opens a file and reads its header.
   *
   * @throws {FileError} `CONNECT` if the system refuses; `PROTOCOL` if the file is not a SeaStreamer file of version 1.
   * @throws {StreamerError} `INVALID_OPTION`. Rejects with the signal's reason if it is aborted.
   */
  static async open(path: string, options: MessageSourceOptions = {}): Promise<MessageSource> {
    return await openSource(openDisk, path, options);
  }

  /** The path with which it was opened. */
  get path(): string {
    return this.#reading.path;
  }

  /** The name in the header: the name of the file at its creation, without its folder. */
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

  /** Whether the mark of the end of the stream was reached. Data after the mark is not read. */
  get ended(): boolean {
    return this.#cursor.ended;
  }

  /** The current statistics. */
  stats(): MessageSourceStats {
    const { messages, corrupt } = this.#cursor;
    const { reads, bytesRead } = this.#reading;
    return { messages, corrupt, reads, bytesRead };
  }

  /**
   * Iterates over the messages from the current position.
   *
   * Leaving the loop ends only the loop: the next loop continues after the last message. Several loops share the messages. The
   * iteration is done at the end of the file, and after `close()`. If the file has grown since, the next loop continues.
   *
   * The iteration throws a `FileError`: `PROTOCOL` with the `offset` of invalid data, as `onCorrupt` specifies, and `DISCONNECTED`
   * if the system refuses. It throws the signal's reason if the signal is aborted.
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
        if (this.#calls === 0 && this.#closing === undefined) {
          const message = this.#cursor.step();
          if (message !== undefined) return result(message);
        }
        for (;;) {
          const { wakings } = this.#pollWait;
          const read = await this.#inOrder(() => this.#cursor.read());
          if (read !== WAIT) return result(read);
          // Outside of the order of calls, so that a seek can run meanwhile.
          await this.#pollWait.for(this.#settings.pollInterval, wakings, this.#settings.signal);
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
   * Moves to the first message after a time.
   *
   * The next message is the first one in the file whose time is later than `time`, and reading continues from there. A Date stands
   * for its whole millisecond. With `streamKey` and `shardId`, only messages of that shard are considered. Without such a message,
   * the source moves to the end of the file. If this rejects, the position is unchanged.
   *
   * A binary search over the beacons needs few reads. The search relies on the times of each shard being in order, as ids in Redis
   * are. It scans the file from its beginning in two cases:
   *
   * - `shardId` is left out, and the file has more shards than fit into a beacon (127 at the default interval).
   * - The beacon interval is below 1 KiB.
   *
   * The Rust library does not keep the existing shards in beacons when it appends to a file. Give `shardId` for such a file, unless
   * all of its messages are in the order of time.
   *
   * @throws {FileError} `PROTOCOL` for corrupt bytes during the search, as `onCorrupt` specifies. `DISCONNECTED` if the system
   * refuses.
   * @throws {StreamerError} `INVALID_OPTION`; `INVALID_STREAM_KEY`. `CONSUMER_ENDED` after `close()`. Rejects with the signal's
   * reason if it is aborted.
   */
  async seek(time: Date | bigint, options: FileSeekOptions = {}): Promise<void> {
    const wanted = wantedTime(time, options);
    await this.#move(options.signal, (check) => this.#cursor.toMessage(wanted, check));
  }

  /**
   * Moves to the beginning, to the end, or after a sequence.
   *
   * The end is after the last complete message. With a sequence, the next message is the first one whose sequence is higher. The
   * search works as in {@linkcode seek}. In the Rust library, the message with the given sequence is the next one.
   *
   * @throws {FileError} As in {@linkcode seek}.
   * @throws {StreamerError} As in {@linkcode seek}.
   */
  async rewind(position: FilePosition, options: FileSeekOptions = {}): Promise<void> {
    checkPosition(position);
    const wanted = wantedSequence(typeof position === "bigint" ? position : 0n, options);
    await this.#move(options.signal, async (check) => {
      if (position === "beginning") await this.#cursor.toBeginning(check);
      else if (position === "end") await this.#cursor.toEnd(check);
      else await this.#cursor.toMessage(wanted, check);
    });
  }

  /** Ends reading and closes the file. Loops finish without an error. A second call does nothing. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  /** Calls {@linkcode close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#cursor.close();
    this.#pollWait.end();
    await this.#last.catch(() => {}); // its caller gets the error
    try {
      await this.#port.close();
    } catch (cause) {
      throw refused(this.path, "read", cause);
    }
  }

  /** Runs calls in sequence. */
  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    this.#calls++;
    const result = this.#last.then(work).finally(() => this.#calls--);
    this.#last = result.catch(() => {}); // the caller gets the error
    return result;
  }

  /** Moves the cursor in the order of calls. The check throws if the caller no longer waits for the outcome. */
  async #move(signal: AbortSignal | undefined, move: (check: Check) => Promise<void>): Promise<void> {
    const { signal: own } = this.#settings;
    const check = () => {
      if (this.#closing !== undefined) throw closed();
      own?.throwIfAborted();
      signal?.throwIfAborted();
    };
    own?.throwIfAborted();
    signal?.throwIfAborted();
    const moving = this.#inOrder(async () => {
      check(); // earlier calls may have taken a while
      await move(check);
      this.#pollWait.wake(); // there may be something to read now
    });
    await abortable(abortable(moving, signal), own);
  }
}

/** Opens a source on a given disk. */
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
  return new StreamerError("CONSUMER_ENDED", "The source is closed");
}
