// A dump as lines of JSON, to stdout or into a file. It must not know where entries come from.

import { Chunk } from "./chunk.ts";
import type { DumpEntry, DumpTarget } from "./dump_target.ts";
import { EntryWriter } from "./ndjson.ts";
import type { FileOutput, NewFile, Output, System } from "./system.ts";

/** Bytes that are written at once. */
const PIECE = 256 * 1024;

/** Where it goes. */
interface Destination {
  readonly output: Output;
  readonly file?: { readonly made: NewFile; readonly output: FileOutput };
}

/** Writes lines. One piece is written while the next is put together. */
export class NdjsonDump implements DumpTarget {
  readonly remarks: readonly string[] = [];
  readonly #destination: Destination;
  readonly #signal: AbortSignal;
  readonly #writers = new Map<string, EntryWriter>();
  #chunk = new Chunk(2 * PIECE);
  #spare = new Chunk(2 * PIECE);
  #writing: Promise<boolean> | undefined;
  #closed = false;

  private constructor(destination: Destination, signal: AbortSignal) {
    this.#destination = destination;
    this.#signal = signal;
  }

  /** Opens the file, or takes stdout for `-`. */
  static async create(system: System, path: string): Promise<NdjsonDump> {
    if (path === "-") return new NdjsonDump({ output: system.stdout }, system.signal);
    const made = await system.newFile(path);
    const output = await system.writeFile(made.path);
    return new NdjsonDump({ output, file: { made, output } }, system.signal);
  }

  add({ message: { streamKey, shardId }, id, fields, redisKey }: DumpEntry): boolean | Promise<boolean> {
    let writer = this.#writers.get(redisKey);
    if (writer === undefined) {
      writer = new EntryWriter({ stream: streamKey, shard: shardId, key: redisKey });
      this.#writers.set(redisKey, writer);
    }
    writer.write(this.#chunk, id, fields);
    return this.#chunk.length < PIECE || this.#turn();
  }

  async finish(): Promise<void> {
    const { file } = this.#destination;
    const whole = await this.#turn() && await this.#written();
    if (file === undefined || !whole) return;
    this.#closed = true;
    await file.output.close();
    await file.made.commit();
  }

  async abandon(): Promise<void> {
    const { file } = this.#destination;
    await this.#writing?.catch(() => {}); // told by what waited for it, or of no account any more
    if (file === undefined || this.#closed) return;
    this.#closed = true;
    await file.output.close().catch(() => {}); // it is taken away in any case
    await file.made.discard();
  }

  /** Has what is there written, once what was before has been. */
  async #turn(): Promise<boolean> {
    if (!await this.#written()) return false;
    const full = this.#chunk;
    if (full.length === 0) return true;
    this.#chunk = this.#spare;
    this.#chunk.clear();
    this.#spare = full;
    const bytes = full.taken;
    this.#writing = this.#destination.output.write(bytes, this.#signal).then((taken) => taken === bytes.length);
    this.#writing.catch(() => {}); // heard by who waits for it
    return true;
  }

  async #written(): Promise<boolean> {
    return await this.#writing ?? true;
  }
}
