// The streams there are, on one primary after the other. It must not know what they are for.

import { type ScanOptions, scanStreams } from "../commands/scan.ts";
import { invalidOption } from "../model/options.ts";
import type { ScannedStreams } from "./options.ts";
import type { PageSource } from "./page_iterator.ts";
import type { Primary } from "./shard_keys.ts";

/** Keys that a server looks at in one go, about: well below a millisecond of its time. */
const SCAN_COUNT = 1_000;

/** Names that are remembered at least, so that one which is listed again soon comes once. */
const REMEMBERED = 65_536;

/** What is looked at. */
export interface ScanRequest extends ScanOptions {
  readonly signal: AbortSignal | undefined;
}

/**
 * The next streams from a cursor on. Where there are several primaries they are asked in the order of their names, and a
 * cursor says whose it is: `"17@host:port"`. If that one is gone since, all are begun anew: who has its streams now may have a
 * name that was passed already.
 */
export async function scanPrimaries(
  primaries: readonly Primary[],
  cursor: string,
  { signal, ...options }: ScanRequest,
): Promise<ScannedStreams> {
  const { cursor: from, name } = placeOf(cursor);
  const sorted = [...primaries].sort(({ name: one }, { name: other }) => one < other ? -1 : one > other ? 1 : 0);
  const found = name === undefined ? 0 : sorted.findIndex((primary) => primary.name === name);
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

/** Whose cursor it is, if it says so, and the server's own. */
function placeOf(cursor: unknown): { readonly cursor: string; readonly name: string | undefined } {
  if (cursor === "") return { cursor: "0", name: undefined };
  const match = typeof cursor === "string" ? /^(\d{1,20})(?:@(.+))?$/s.exec(cursor) : null;
  if (match === null) throw invalidOption("cursor", cursor, `"0", or what scan has given`);
  return { cursor: match[1], name: match[2] };
}

/** Checks that a cursor is one. */
export function checkCursor(cursor: unknown): void {
  placeOf(cursor);
}

/** All streams. A name that a server lists again is left out, unless very many others came in between. */
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
