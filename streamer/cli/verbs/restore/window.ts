// Writes entries into streams with their own ids, many at a time. Existing entries are compared.

import type { Router } from "../../../cluster/router.ts";
import { isNotAbove, xaddAt } from "../../../commands/xadd_at.ts";
import { endOfStream, isBarred, lastEntryOfStream } from "../../../commands/last_id.ts";
import { xrange } from "../../../commands/xrange.ts";
import { abortable } from "../../../model/abortable.ts";
import { isAfter, type MessageId } from "../../../model/id.ts";
import { type RedisStreamer, routerFor } from "../../../streamer.ts";
import { CommandError, sentence } from "../../failure.ts";
import { bytesOf } from "../../formats/json.ts";
import type { Entry } from "../../formats/ndjson.ts";
import { KeyWriter } from "./key_writer.ts";
import type { ProgressCounts } from "../../screen/progress.ts";

/** How entries are written. */
export interface WindowOptions {
  /** Whether existing equal entries are skipped. */
  readonly skipExisting: boolean;
  /** Counts restored entries. */
  readonly counts: ProgressCounts;
  /** Ends the wait for replies. */
  readonly signal: AbortSignal;
}

/** The most bytes and entries in flight. */
const MAX_BYTES = 8 * 1024 * 1024;
const MAX_ENTRIES = 4_096;
/** The cost of an entry in addition to its fields, in bytes. */
const OVERHEAD = 100;

/** A key that entries are written to. */
interface Restored {
  /** The last id before the restore. */
  readonly end: MessageId;
  readonly writer: KeyWriter;
}

/** Writes entries without waiting for each reply. */
export class RestoreWindow {
  readonly #router: Router;
  readonly #options: WindowOptions;
  readonly #keys = new Map<string, Restored>();
  #bytes = 0;
  #entries = 0;
  #failure: { readonly error: unknown } | undefined;
  #wake: PromiseWithResolvers<void> | undefined;
  /** The number of entries that existed already. */
  skipped = 0;

  constructor(streamer: RedisStreamer, options: WindowOptions) {
    this.#router = routerFor(streamer);
    this.#options = options;
  }

  /** Sends an entry. Returns a promise if the caller must wait before the next one. Throws, or rejects with, the first failure. */
  add(entry: Entry): Promise<void> | undefined {
    this.#throwFailure();
    const key = this.#keys.get(entry.key);
    if (key === undefined) return this.#addFirst(entry);
    this.#send(entry, key);
    return this.#bytes < MAX_BYTES && this.#entries < MAX_ENTRIES ? undefined : this.#space();
  }

  /** Resolves when all entries are settled; rejects with the first failure. */
  async settled(): Promise<void> {
    while (this.#entries > 0) await this.#answered();
    this.#throwFailure();
  }

  async #addFirst(entry: Entry): Promise<void> {
    const end = await this.#endOf(entry.key);
    const writer = new KeyWriter(entry.key, { router: this.#router, signal: this.#options.signal });
    this.#keys.set(entry.key, { end, writer });
    // Nothing is written to a stream unless its first entry can be.
    if (!this.#options.skipExisting && !isAfter(entry.id, end)) {
      throw refused(entry, `the stream has entries up to ${end}. --skip-existing compares existing entries`);
    }
    await this.add(entry);
  }

  async #endOf(key: string): Promise<MessageId> {
    const { signal } = this.#options;
    try {
      return (await endOfStream(key, (command) => this.#router.run(command, { signal }))).id;
    } catch (error) {
      if (!isBarred(error)) throw error;
      return (await lastEntryOfStream(key, (command) => this.#router.run(command, { signal }))).id;
    }
  }

  #send(entry: Entry, { end, writer }: Restored): void {
    const size = sizeOf(entry);
    this.#bytes += size;
    this.#entries++;
    const { counts } = this.#options;
    const done = () => this.#done(size);
    const isNew = isAfter(entry.id, end);
    const written = isNew ? this.#write(entry, writer) : this.#compare(entry).then(() => false);
    written.then((written) => {
      if (written) {
        counts.count++;
        counts.bytes += size - OVERHEAD;
      } else {
        this.skipped++;
      }
      done();
    }, (error) => {
      this.#failure ??= { error };
      done();
    });
  }

  async #write(entry: Entry, writer: KeyWriter): Promise<true> {
    const { key: redisKey, id, fields } = entry;
    try {
      await writer.write(xaddAt({ redisKey, id, fields }));
    } catch (error) {
      if (!isNotAbove(error)) throw refused(entry, sentence(error), error);
      // The entry exists if it was resent after a lost connection. Otherwise another client writes to this stream.
      await this.#compare(entry);
    }
    return true;
  }

  /** Resolves if an equal entry exists. */
  async #compare(entry: Entry): Promise<void> {
    const { key: redisKey, id, fields } = entry;
    const page = await this.#router.run(xrange({ redisKey, start: id, end: id, count: 1, reverse: false }));
    if (page.entries.length === 0) throw refused(entry, "the stream has newer entries, and not this one");
    const { frame, entries: [at] } = page;
    // On the tape: the array of two, the id, the array of fields, then each field.
    const length = frame.lengthAt(at + 4);
    const same = length === fields.length &&
      fields.every((field, i) => areSame(bytesOf(field), frame.viewAt(at + 6 + i * 2)));
    if (!same) throw refused(entry, "another entry has this id");
  }

  #done(size: number): void {
    this.#bytes -= size;
    this.#entries--;
    this.#wake?.resolve();
    this.#wake = undefined;
  }

  async #space(): Promise<void> {
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
  return new CommandError(`Cannot restore ${id} of ${key}: ${why}`, cause === undefined ? {} : { cause });
}
