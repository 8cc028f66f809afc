// Entries on their way into streams: so many at a time, each at its own id, and what is there already compared. It must not know
// where they come from.

import type { CommandLane } from "../../resp/connection/lane.ts";
import { isNotAbove, xaddAt } from "../commands/xadd_at.ts";
import { endOfStream, isBarred, lastEntryOfStream } from "../commands/last_id.ts";
import { xrange } from "../commands/xrange.ts";
import { abortable } from "../model/abortable.ts";
import type { MessageId } from "../model/id.ts";
import { commandLane, type RedisStreamer } from "../streamer.ts";
import { CommandError, sentence } from "./failure.ts";
import { bytesOf } from "./json.ts";
import type { Entry } from "./ndjson.ts";
import type { Tally } from "./progress.ts";
import { isBehind } from "./times.ts";

/** How entries are written. */
export interface WindowOptions {
  /** Whether entries that are there already, the same, are passed over. */
  readonly skipExisting: boolean;
  /** Counts what was restored. */
  readonly tally: Tally;
  /** Ends the waiting for answers. */
  readonly signal: AbortSignal;
}

/** Bytes and entries whose answers are awaited at most. */
const MAX_BYTES = 8 * 1024 * 1024;
const MAX_ENTRIES = 4_096;
/** What an entry costs beside its fields. */
const OVERHEAD = 100;

/** Writes entries, without waiting for each answer. */
export class RestoreWindow {
  readonly #lane: CommandLane;
  readonly #options: WindowOptions;
  /** Where each key ended before anything was written. */
  readonly #ends = new Map<string, MessageId>();
  #bytes = 0;
  #entries = 0;
  #failure: { readonly error: unknown } | undefined;
  #wake: PromiseWithResolvers<void> | undefined;
  /** Entries that were there already. */
  skipped = 0;

  constructor(streamer: RedisStreamer, options: WindowOptions) {
    this.#lane = commandLane(streamer);
    this.#options = options;
  }

  /** Sends an entry; gives a promise where more must wait. Throws, or rejects with, the first failure. */
  add(entry: Entry): Promise<void> | undefined {
    this.#throwFailure();
    const end = this.#ends.get(entry.key);
    if (end === undefined) return this.#addFirst(entry);
    this.#send(entry, end);
    return this.#bytes < MAX_BYTES && this.#entries < MAX_ENTRIES ? undefined : this.#room();
  }

  /** Resolves when all that was added is answered; rejects with the first failure. */
  async settled(): Promise<void> {
    while (this.#entries > 0) await this.#answered();
    this.#throwFailure();
  }

  async #addFirst(entry: Entry): Promise<void> {
    const end = await this.#endOf(entry.key);
    this.#ends.set(entry.key, end);
    // Nothing of a stream is written before it is known that what comes first can be.
    if (!this.#options.skipExisting && !isBehind(entry.id, end)) {
      throw refused(entry, `the stream goes to ${end} already; --skip-existing compares what is there`);
    }
    await this.add(entry);
  }

  async #endOf(key: string): Promise<MessageId> {
    const { signal } = this.#options;
    try {
      return (await endOfStream(key, (command) => this.#lane.run(command, { signal }))).id;
    } catch (error) {
      if (!isBarred(error)) throw error;
      return (await lastEntryOfStream(key, (command) => this.#lane.run(command, { signal }))).id;
    }
  }

  #send(entry: Entry, end: MessageId): void {
    const size = sizeOf(entry);
    this.#bytes += size;
    this.#entries++;
    const { tally } = this.#options;
    const done = () => this.#done(size);
    const isNew = isBehind(entry.id, end);
    this.#write(entry, isNew).then((written) => {
      if (written) {
        tally.count++;
        tally.bytes += size - OVERHEAD;
      } else {
        this.skipped++;
      }
      done();
    }, (error) => {
      this.#failure ??= { error };
      done();
    });
  }

  /** Whether it was written; false where it was there. */
  #write(entry: Entry, isNew: boolean): Promise<boolean> {
    if (!isNew) return this.#compare(entry).then(() => false);
    const { key: redisKey, id, fields } = entry;
    // Without a signal: thousands would listen to it. Who waits for answers does.
    return this.#lane.run(xaddAt({ redisKey, id, fields })).then(() => true, async (error) => {
      if (!isNotAbove(error)) throw refused(entry, sentence(error), error);
      // Sent twice since a connection was lost, it is there; else somebody else writes to this stream.
      await this.#compare(entry);
      return true;
    });
  }

  /** Resolves where the same entry is there. */
  async #compare(entry: Entry): Promise<void> {
    const { key: redisKey, id, fields } = entry;
    const page = await this.#lane.run(xrange({ redisKey, start: id, end: id, count: 1, reverse: false }));
    if (page.entries.length === 0) throw refused(entry, "the stream goes further already, without it");
    const { frame, entries: [at] } = page;
    // On the tape: the array of two, its id, the array of its fields, then each.
    const length = frame.lengthAt(at + 4);
    const same = length === fields.length &&
      fields.every((field, i) => areSame(bytesOf(field), frame.viewAt(at + 6 + i * 2)));
    if (!same) throw refused(entry, "another entry with this id is there");
  }

  #done(size: number): void {
    this.#bytes -= size;
    this.#entries--;
    this.#wake?.resolve();
    this.#wake = undefined;
  }

  async #room(): Promise<void> {
    while (this.#bytes > MAX_BYTES / 2 || this.#entries > MAX_ENTRIES / 2) await this.#answered();
    this.#throwFailure();
  }

  #answered(): Promise<void> {
    this.#wake ??= Promise.withResolvers();
    return abortable(this.#wake.promise, this.#options.signal);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

function sizeOf({ fields }: Entry): number {
  let size = OVERHEAD;
  for (const field of fields) size += field.length;
  return size;
}

function areSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, i) => byte === other[i]);
}

function refused({ key, id }: Entry, why: string, cause?: unknown): CommandError {
  return new CommandError(`Cannot restore ${id} of ${key} as ${why}`, cause === undefined ? {} : { cause });
}
