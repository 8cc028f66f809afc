// Writes a dump as a SeaStreamer file, and handles entries that do not fit into one.

import { MessageSink } from "../../file/mod.ts";
import { parseId, type TimestampFormat } from "../../model/id.ts";
import { type DumpEntry, type DumpTarget, lossRemarks } from "./dump_target.ts";
import { CommandError, EXIT } from "../failure.ts";
import { payloadAt } from "./message_line.ts";
import type { NewFile, System } from "../system.ts";

/** Options of {@linkcode SsDump}. */
export interface SsOptions {
  /** Whether fields and entries that do not fit are dropped and counted. */
  readonly lossy: boolean;
  /** Whether the end of the stream is marked. */
  readonly endOfStream: boolean;
  /** The name of the field that holds the payload. */
  readonly field: Uint8Array;
  readonly timestampFormat: TimestampFormat;
}

const FILE_KEY = /^[A-Za-z0-9._-]{1,249}$/;
const MAX_SECOND = 65_535n;
const SEQUENCE_BITS = 16n;
const MAX_FIRST = 2n ** 48n - 1n;

/** Writes a file. */
export class SsDump implements DumpTarget {
  readonly #made: NewFile;
  readonly #sink: MessageSink;
  readonly #options: SsOptions;
  readonly #losses = new Map<string, number>();
  #closed = false;

  private constructor(made: NewFile, sink: MessageSink, options: SsOptions) {
    this.#made = made;
    this.#sink = sink;
    this.#options = options;
  }

  /** Creates the file, with the name from the path in its header. */
  static async create(system: System, path: string, options: SsOptions): Promise<SsDump> {
    const made = await system.newFile(path);
    try {
      const { endOfStream } = options;
      const fileName = (path.split(/[\\/]/).pop() ?? "").replace(/[^\x20-\x7e]/gu, "_").slice(0, 111);
      const sink = await MessageSink.create(made.path, { overwrite: true, endOfStream, fileName });
      return new SsDump(made, sink, options);
    } catch (error) {
      await made.discard();
      throw error;
    }
  }

  get remarks(): readonly string[] {
    return lossRemarks(this.#losses);
  }

  add({ message, id, fields }: DumpEntry): boolean | Promise<boolean> {
    const { timestampFormat, field } = this.#options;
    const { streamKey, shardId } = message;
    if (!FILE_KEY.test(streamKey)) return this.#leaveOut(id, `with the stream key ${streamKey}`);
    if (timestampFormat === "nanoseconds") return this.#leaveOut(id, "with nanoseconds in the id");
    const halves = parseId(id);
    if (halves === undefined || halves.second > MAX_SECOND || halves.first > MAX_FIRST) {
      return this.#leaveOut(id, "with an id above 64 bits");
    }
    const at = payloadAt(fields, field);
    if (at < 0) return this.#leaveOut(id, "without a payload");
    if (fields.length > 2) {
      if (!this.#options.lossy) throw unfit(id, "with more fields than the payload");
      this.#count("lost other fields");
    }
    const { first, second } = halves;
    const sequence = first << SEQUENCE_BITS | second;
    const full = this.#sink.write({ streamKey, shardId, sequence, timestamp: first, payload: fields[at + 1] });
    return full === undefined || full.then(() => true);
  }

  async finish(): Promise<void> {
    await this.#sink.close();
    this.#closed = true;
    await this.#made.commit();
  }

  async abandon(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#sink.close({ sync: false }).catch(() => {}); // the file is removed in any case
    await this.#made.discard();
  }

  #leaveOut(id: string, what: string): boolean {
    if (!this.#options.lossy) throw unfit(id, what);
    this.#count(`${what} skipped`);
    return true;
  }

  #count(what: string): void {
    this.#losses.set(what, (this.#losses.get(what) ?? 0) + 1);
  }
}

function unfit(id: string, what: string): CommandError {
  return new CommandError(`Entry ${id} does not fit into a .ss file: an entry ${what}. --lossy drops such data`, {
    exitCode: EXIT.unfit,
  });
}
