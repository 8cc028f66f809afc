// Writes a dump as lines of JSON, to stdout or into a file.

import { ByteBuilder } from "../byte_builder.ts";
import type { DumpEntry, DumpTarget } from "./dump_target.ts";
import { EntryWriter } from "./ndjson.ts";
import { escapedJson } from "../screen/terminal.ts";
import type { FileOutput, NewFile, Output, System } from "../system.ts";

/** Bytes that are written at once. */
const PIECE = 256 * 1024;

/** Where the lines go. */
interface Destination {
  readonly output: Output;
  readonly file?: { readonly made: NewFile; readonly output: FileOutput };
}

/** Writes lines. One piece is written while the next one is assembled. */
export class NdjsonDump implements DumpTarget {
  readonly remarks: readonly string[] = [];
  readonly #destination: Destination;
  readonly #signal: AbortSignal;
  readonly #writers = new Map<string, EntryWriter>();
  #buffer = new ByteBuilder(2 * PIECE);
  #spare = new ByteBuilder(2 * PIECE);
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
    try {
      const output = await system.writeFile(made.path);
      return new NdjsonDump({ output, file: { made, output } }, system.signal);
    } catch (error) {
      await made.discard();
      throw error;
    }
  }

  add({ message: { streamKey, shardId }, id, fields, redisKey }: DumpEntry): boolean | Promise<boolean> {
    let writer = this.#writers.get(redisKey);
    if (writer === undefined) {
      writer = new EntryWriter({ stream: streamKey, shard: shardId, key: redisKey });
      this.#writers.set(redisKey, writer);
    }
    writer.write(this.#buffer, id, fields);
    return this.#buffer.length < PIECE || this.#writeOut();
  }

  async finish(): Promise<void> {
    const { file } = this.#destination;
    const whole = await this.#writeOut() && await this.#written();
    if (file === undefined || !whole) return;
    this.#closed = true;
    await file.output.close();
    await file.made.commit();
  }

  async abandon(): Promise<void> {
    const { file } = this.#destination;
    await this.#writing?.catch(() => {}); // reported by the call that waited for it
    if (file === undefined || this.#closed) return;
    this.#closed = true;
    await file.output.close().catch(() => {}); // the file is removed in any case
    await file.made.discard();
  }

  /** Starts writing the buffer once the previous piece has been written. */
  async #writeOut(): Promise<boolean> {
    if (!await this.#written()) return false;
    const full = this.#buffer;
    if (full.length === 0) return true;
    this.#buffer = this.#spare;
    this.#buffer.clear();
    this.#spare = full;
    const { output } = this.#destination;
    const bytes = output.isTerminal ? escapedJson(full.content) : full.content;
    this.#writing = output.write(bytes, this.#signal).then((taken) => taken === bytes.length);
    this.#writing.catch(() => {}); // reported by the call that waits for it
    return true;
  }

  async #written(): Promise<boolean> {
    return await this.#writing ?? true;
  }
}
