// The entries of a dump, whichever of the two formats it has. It must not know where they go.

import { type FileMessage, MessageSource } from "../file/mod.ts";
import { idOfSequence } from "../model/id.ts";
import { CommandError, UsageError } from "./failure.ts";
import { textOf } from "./json.ts";
import { readLines } from "./lines.ts";
import { type Entry, parseEntry } from "./ndjson.ts";
import type { Tally } from "./progress.ts";
import type { Input, System } from "./system.ts";

/** Entries, some at a time. */
export interface EntrySource extends AsyncIterable<readonly Entry[]>, AsyncDisposable {
  readonly kind: "ndjson" | "ss";
}

/** How a dump is read. */
export interface SourceOptions {
  /** Most bytes of a line. */
  readonly longest: number;
  /** From ss: the field that a payload becomes. */
  readonly field: string;
  /** From ss: whether shard 0 is a shard, also if it is the only one. */
  readonly sharded: boolean;
  /** Is told how far the file has been read. */
  readonly tally: Tally;
}

/** Opens a file, or stdin for `-`, and looks at how it begins. */
export async function openEntries(system: System, path: string, options: SourceOptions): Promise<EntrySource> {
  const input = path === "-" ? system.stdin : await system.openFile(path);
  const { tally } = options;
  tally.size = input.size;
  tally.read = 0;
  const beginning = await readBeginning(input, system.signal);
  const isFile = beginning.length === 3 && beginning[0] === 0x53 && beginning[1] === 0x73 && beginning[2] === 1;
  if (!isFile) return new LineEntries(system, input, { ...options, beginning });
  if (path === "-") throw new UsageError("Cannot restore .ss from stdin: name a file");
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
    const { longest, tally, beginning: before } = this.#options;
    const { signal } = this.#system;
    const onBytes = (count: number) => tally.read = (tally.read ?? 0) + count;
    let number = 0;
    for await (const lines of readLines(this.#input, { longest, signal, onBytes, before })) {
      const entries: Entry[] = [];
      let failure: { readonly error: unknown } | undefined;
      for (const line of lines) {
        number++;
        if (line.length === 0) continue;
        try {
          entries.push(parseEntry(textOf(line), number));
        } catch (error) {
          failure = { error };
          break;
        }
      }
      yield entries; // what stands in front of what is wrong
      if (failure !== undefined) throw failure.error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close();
  }
}

/** Messages that are handed on at once. */
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
    const { tally, field } = this.#options;
    let entries: Entry[] = [];
    for await (const message of source) {
      tally.read = message.offset;
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

  /** Which streams have shards. The format does not tell a stream without shards from one with the shard 0 alone. */
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
    throw new CommandError(`Cannot restore shard ${shardId} of ${stream} as it must be at most 2^53 - 1`);
  }
  const key = sharded ? `${stream}:${shard}` : stream;
  return { stream, shard, key, id: idOfSequence(sequence), fields: [field, payload] };
}
