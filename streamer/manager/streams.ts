// Lists the streams of a server, or of several primaries one after the other.

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

/**
 * The next streams from a cursor on. Several primaries are scanned in the order of their names, and a cursor names its primary:
 * `"17@host:port"`, unless there is no other. If that primary is gone, or is one of several by now and not named, the scan
 * restarts at the first one: the primary that has its streams now may have a name that the scan has passed.
 */
export async function scanPrimaries(
  primaries: readonly Primary[],
  cursor: string,
  { signal, ...options }: ScanRequest,
): Promise<ScannedStreams> {
  const { cursor: from, name } = placeOf(cursor);
  const sorted = [...primaries].sort(({ name: one }, { name: other }) => one < other ? -1 : one > other ? 1 : 0);
  const found = name === undefined && sorted.length === 1 ? 0 : sorted.findIndex((primary) => primary.name === name);
  const index = Math.max(0, found);
  const primary = sorted[index];
  if (primary === undefined) return { cursor: "0", streams: [] };
  const page = await primary.run(scanStreams(found < 0 ? "0" : from, options), { signal });
  const streams = [...page.keys];
  if (sorted.length === 1) return { cursor: page.cursor, streams };
  if (page.cursor !== "0") return { cursor: `${page.cursor}@${primary.name}`, streams };
  const next = sorted[index + 1];
  return { cursor: next === undefined ? "0" : `0@${next.name}`, streams };
}

/** The server's own cursor, and the name of its primary if the cursor contains one. */
function placeOf(cursor: unknown): { readonly cursor: string; readonly name: string | undefined } {
  if (cursor === "") return { cursor: "0", name: undefined };
  const match = typeof cursor === "string" ? /^(\d{1,20})(?:@(.+))?$/s.exec(cursor) : null;
  if (match === null) throw invalidOption("cursor", cursor, `"0" or a cursor that scan has returned`);
  return { cursor: match[1], name: match[2] };
}

/** All streams. A repeated name is skipped, unless very many others were returned in between. */
export class StreamNames implements PageSource<string> {
  readonly #primaries: () => readonly Primary[];
  readonly #match: string | undefined;
  readonly #signal: AbortSignal;
  readonly #closing = new AbortController();
  #cursor: string | undefined = "0";
  #names: string[] = [];
  #at = 0;
  #seen = new Set<string>();
  #seenBefore: ReadonlySet<string> = new Set();

  constructor(primaries: () => readonly Primary[], match: string | undefined, signal: AbortSignal | undefined) {
    this.#primaries = primaries;
    this.#match = match;
    this.#signal = signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
  }

  take(): string | undefined {
    return this.#signal.aborted ? undefined : this.#names[this.#at++];
  }

  async more(): Promise<boolean> {
    const options = { match: this.#match, count: SCAN_COUNT, signal: this.#signal };
    while (this.#cursor !== undefined) {
      this.#signal.throwIfAborted();
      const page = await scanPrimaries(this.#primaries(), this.#cursor, options);
      this.#cursor = page.cursor === "0" ? undefined : page.cursor;
      this.#names = page.streams.filter((name) => this.#isNew(name));
      this.#at = 0;
      if (this.#names.length > 0) return true;
    }
    return false;
  }

  close(): void {
    this.#closing.abort(new DOMException("The loop was left", "AbortError"));
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
