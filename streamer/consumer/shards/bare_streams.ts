// The streams of a consumer without entries and shards, as far as is known: their shards are looked for more often.

import { countThere, type KeyServers } from "../../cluster/shards.ts";
import { MOST_KEYS, withEntries } from "./shard_news.ts";

/** Most streams whose lengths are queried at a time. */
const ASKED_FOR_ENTRIES = 20;

/** The streams of one consumer that are empty. */
export class BareStreams {
  readonly #bare: Set<string>;
  #turn = 0; // which stream is queried next

  /** Begins with the streams that were empty, as far as is known. */
  constructor(streamKeys: readonly string[]) {
    this.#bare = new Set(streamKeys);
  }

  has(streamKey: string): boolean {
    return this.#bare.has(streamKey);
  }

  /** Asks some of these streams whether they have entries now, in turn. */
  async askForEntries(streamKeys: readonly string[], servers: KeyServers): Promise<void> {
    if (streamKeys.length === 0 || await countThere(streamKeys, servers, MOST_KEYS) === 0) return;
    const from = this.#turn % streamKeys.length;
    const some = [...streamKeys.slice(from), ...streamKeys.slice(0, from)].slice(0, ASKED_FOR_ENTRIES);
    this.#turn = from + some.length;
    for (const streamKey of await withEntries(some, servers.run)) this.#bare.delete(streamKey);
  }

  /** If some of these plain keys were deleted, all of them count as empty until their lengths are queried again. */
  async lookForMissing(streamKeys: readonly string[], servers: KeyServers): Promise<void> {
    const plain = streamKeys.filter((streamKey) => !this.#bare.has(streamKey));
    if (plain.length === 0) return;
    const there = await countThere(plain, servers, MOST_KEYS);
    if (there !== undefined && there < plain.length) { for (const streamKey of plain) this.#bare.add(streamKey); }
  }
}
