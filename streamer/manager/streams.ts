// Lists the streams of a server, or of several primaries one after the other.

import { NodeLeftError, type NodeName } from "../cluster/router.ts";
import type { ScanRounds } from "../cluster/scanning/scan_rounds.ts";
import { type ScanOptions, scanStreams } from "../commands/scan.ts";
import { invalidOption } from "../model/options.ts";
import type { ScannedStreams } from "./options.ts";
import type { PageSource } from "./page_iterator.ts";
import type { Primary } from "./shard_keys.ts";

/** Approximate number of keys that a server examines in one command. It takes well below a millisecond. */
const SCAN_COUNT = 1_000;

/** Minimum number of names that are remembered, so that a repeated name is returned once. */
const REMEMBERED = 65_536;

/** Options of a scan. */
export interface ScanRequest extends ScanOptions {
  readonly signal: AbortSignal | undefined;
}

/** The primaries of now. */
export type Primaries = () => readonly Primary[];

/**
 * The next streams from a cursor on. Several primaries are scanned in the order of their names, and a cursor names its primary:
 * `"17@host:port"`, unless there is no other. If that primary is gone, also while the page is requested, or is one of several by now
 * and not named, the scan restarts at the first one: the primary that has its streams now may have a name that the scan has passed.
 */
export async function scanPrimaries(
  primaries: Primaries,
  cursor: string,
  { signal, ...options }: ScanRequest,
): Promise<ScannedStreams> {
  for (let { cursor: from, name } = placeOf(cursor);; name = "") {
    const sorted = [...primaries()].sort(({ name: one }, { name: other }) => one < other ? -1 : one > other ? 1 : 0);
    const found = name === undefined && sorted.length === 1 ? 0 : sorted.findIndex((primary) => primary.name === name);
    const index = Math.max(0, found);
    const primary = sorted[index];
    if (primary === undefined) return { cursor: "0", streams: [] };
    try {
      const page = await primary.run(scanStreams(found < 0 ? "0" : from, options), { signal });
      const streams = [...page.keys];
      if (sorted.length === 1) return { cursor: page.cursor, streams };
      if (page.cursor !== "0") return { cursor: `${page.cursor}@${primary.name}`, streams };
      const next = sorted[index + 1];
      return { cursor: next === undefined ? "0" : `0@${next.name}`, streams };
    } catch (error) {
      if (!(error instanceof NodeLeftError)) throw error;
    }
  }
}

/** The server's own cursor, and the name of its primary if the cursor contains one. */
function placeOf(cursor: unknown): { readonly cursor: string; readonly name: string | undefined } {
  if (cursor === "") return { cursor: "0", name: undefined };
  const match = typeof cursor === "string" ? /^(\d{1,20})(?:@(.+))?$/s.exec(cursor) : null;
  if (match === null) throw invalidOption("cursor", cursor, `"0" or a cursor that scan has returned`);
  return { cursor: match[1], name: match[2] };
}

/** What the names of all streams are requested with. */
export interface StreamNamesOptions {
  /** Begins a scan: which primaries are scanned, and scanned again. */
  readonly rounds: (signal: AbortSignal) => Pick<ScanRounds, "next" | "close">;
  /** A primary by its name. */
  readonly primary: (name: NodeName) => Primary;
  readonly match?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * All streams. Primaries that get slots during the scan are scanned again. A repeated name is skipped, unless very many others were
 * returned in between.
 */
export class StreamNames implements PageSource<string> {
  readonly #options: StreamNamesOptions;
  readonly #signal: AbortSignal;
  readonly #closing = new AbortController();
  readonly #rounds: Pick<ScanRounds, "next" | "close">;
  #left: NodeName[] = []; // of this round
  #cursor = "0"; // of the first of them
  #names: string[] = [];
  #at = 0;
  #seen = new Set<string>();
  #seenBefore: ReadonlySet<string> = new Set();

  constructor(options: StreamNamesOptions) {
    const { signal } = options;
    this.#options = options;
    this.#signal = signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
    this.#rounds = options.rounds(this.#signal);
  }

  take(): string | undefined {
    return this.#signal.aborted ? undefined : this.#names[this.#at++];
  }

  async more(): Promise<boolean> {
    for (;;) {
      this.#signal.throwIfAborted();
      if (this.#left.length === 0) this.#left = [...await this.#rounds.next()];
      const [node] = this.#left;
      if (node === undefined) return false;
      this.#names = (await this.#page(node)).filter((name) => this.#isNew(name));
      this.#at = 0;
      if (this.#names.length > 0) return true;
    }
  }

  close(): void {
    this.#closing.abort(new DOMException("The loop was left", "AbortError"));
    this.#rounds.close();
  }

  /** The next page of a primary. If the primary is gone, others have got its slots, and are scanned in the next round. */
  async #page(node: NodeName): Promise<readonly string[]> {
    const { primary, match } = this.#options;
    try {
      const command = scanStreams(this.#cursor, { match, count: SCAN_COUNT });
      const page = await primary(node).run(command, { signal: this.#signal });
      this.#cursor = page.cursor;
      if (page.cursor === "0") this.#left = this.#left.slice(1);
      return page.keys;
    } catch (error) {
      if (!(error instanceof NodeLeftError)) throw error;
      this.#cursor = "0";
      this.#left = this.#left.slice(1);
      return [];
    }
  }

  #isNew(name: string): boolean {
    if (this.#seen.has(name) || this.#seenBefore.has(name)) return false;
    this.#seen.add(name);
    if (this.#seen.size >= REMEMBERED) {
      this.#seenBefore = this.#seen;
      this.#seen = new Set();
    }
    return true;
  }
}
