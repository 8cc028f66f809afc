// Reads the entries of a dump in either format.

import { type FileMessage, MessageSource } from "../../file/mod.ts";
import { idOfSequence } from "../../model/id.ts";
import { CommandError, UsageError } from "../failure.ts";
import { textOf } from "./json.ts";
import { lineOfJson, readLines } from "./lines.ts";
import { type Entry, parseEntry } from "./ndjson.ts";
import type { ProgressCounts } from "../screen/progress.ts";
import type { Input, System } from "../system.ts";

/** A source of entries, several at a time. */
export interface EntrySource extends AsyncIterable<readonly Entry[]>, AsyncDisposable {
  readonly kind: "ndjson" | "ss";
}

/** Options of {@linkcode openEntries}. */
export interface SourceOptions {
  /** The most bytes of a line. */
  readonly longest: number;
  /** From ss: the field for the payload. */
  readonly field: string;
  /** From ss: whether shard 0 has a key of its own even if it is the only shard. */
  readonly sharded: boolean;
  /** Receives the number of bytes read. */
  readonly counts: ProgressCounts;
}

/** Opens a file, or stdin for `-`, and detects its format. */
export async function openEntries(system: System, path: string, options: SourceOptions): Promise<EntrySource> {
  const input = path === "-" ? system.stdin : await system.openFile(path);
  const { counts } = options;
  counts.size = input.size;
  counts.read = 0;
  const beginning = await readBeginning(input, system.signal);
  const isFile = beginning.length === 3 && beginning[0] === 0x53 && beginning[1] === 0x73 && beginning[2] === 1;
  if (!isFile) return new LineEntries(system, input, { ...options, beginning });
  if (path === "-") throw new UsageError("A .ss dump cannot be read from stdin: name a file");
  await input.close();
  return await FileEntries.open(system, path, options);
}

async function readBeginning(input: Input, signal: AbortSignal): Promise<Uint8Array> {
  const bytes = new Uint8Array(3);
  let length = 0;
  while (length < bytes.length) {
    const count = await input.read(bytes.subarray(length), signal);
    if (count === 0) break;
    length += count;
  }
  return bytes.subarray(0, length);
}

/** Lines of JSON. */
class LineEntries implements EntrySource {
  readonly kind = "ndjson";
  readonly #system: System;
  readonly #input: Input;
  readonly #options: SourceOptions & { readonly beginning: Uint8Array };

  constructor(system: System, input: Input, options: SourceOptions & { readonly beginning: Uint8Array }) {
    this.#system = system;
    this.#input = input;
    this.#options = options;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Entry[]> {
    const { longest, counts, beginning: before } = this.#options;
    const { signal } = this.#system;
    const onBytes = (count: number) => counts.read = (counts.read ?? 0) + count;
    let number = 0;
    for await (const lines of readLines(this.#input, { longest, signal, onBytes, before })) {
      const entries: Entry[] = [];
      let failure: { readonly error: unknown } | undefined;
      for (const line of lines) {
        number++;
        const bare = lineOfJson(line);
        if (bare === undefined) continue;
        try {
          entries.push(parseEntry(textOf(bare), number));
        } catch (error) {
          failure = { error };
          break;
        }
      }
      yield entries; // those before the invalid line
      if (failure !== undefined) throw failure.error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close();
  }
}

/** Messages in one group. */
const SOME = 256;

/** A SeaStreamer file. */
class FileEntries implements EntrySource {
  readonly kind = "ss";
  readonly #system: System;
  readonly #source: MessageSource;
  readonly #options: SourceOptions;

  private constructor(system: System, source: MessageSource, options: SourceOptions) {
    this.#system = system;
    this.#source = source;
    this.#options = options;
  }

  static async open(system: System, path: string, options: SourceOptions): Promise<FileEntries> {
    return new FileEntries(system, await MessageSource.open(path, { signal: system.signal }), options);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Entry[]> {
    const source = this.#source;
    const sharded = await this.#shardedStreams();
    const { counts, field } = this.#options;
    let entries: Entry[] = [];
    for await (const message of source) {
      counts.read = message.offset;
      entries.push(entryOf(message, field, sharded.has(message.streamKey)));
      if (entries.length < SOME) continue;
      yield entries;
      entries = [];
    }
    yield entries;
    this.#system.signal.throwIfAborted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.close();
  }

  /** The streams with shards. The format does not distinguish a stream without shards from one with shard 0 only. */
  async #shardedStreams(): Promise<ReadonlySet<string>> {
    const streams = new Set<string>();
    const every = this.#options.sharded;
    for await (const { streamKey, shardId } of this.#source) {
      if (every || shardId !== 0) streams.add(streamKey);
    }
    await this.#source.rewind("beginning");
    return streams;
  }
}

function entryOf(message: FileMessage, field: string, sharded: boolean): Entry {
  const { streamKey: stream, shardId, sequence, payload } = message;
  const shard = Number(shardId);
  if (!Number.isSafeInteger(shard)) {
    throw new CommandError(`Cannot restore shard ${shardId} of ${stream}: the largest shard number is 2^53 - 1`);
  }
  const key = sharded ? `${stream}:${shard}` : stream;
  return { stream, shard, key, id: idOfSequence(sequence), fields: [field, payload] };
}
