// The streams of a consumer without entries and shards, as far as is known: their shards are looked for more often.

import { areTogether, countThere, type KeyServers } from "../../../cluster/shards.ts";
import { MOST_KEYS, withEntries } from "./shard_news.ts";
import { Turns } from "./turns.ts";

/** Most streams whose lengths are queried at a time, if they are in one slot. */
const ASKED_FOR_ENTRIES = 20;
/** Most streams that are asked for at a time, if they are in many slots. */
const MOST_SCATTERED = 4;

/** The streams of one consumer that are empty. */
export class BareStreams {
  readonly #bare: Set<string>;
  readonly #entries = new Turns();
  readonly #missing = new Turns();

  /** Begins with the streams that were empty, as far as is known. */
  constructor(streamKeys: readonly string[]) {
    this.#bare = new Set(streamKeys);
  }

  has(streamKey: string): boolean {
    return this.#bare.has(streamKey);
  }

  /** Asks some of these streams whether they have entries now, in turn. */
  async askForEntries(streamKeys: readonly string[], servers: KeyServers): Promise<void> {
    const isOne = areTogether(streamKeys, servers.slotOf);
    if (isOne && (streamKeys.length === 0 || await countThere(streamKeys, servers, MOST_KEYS) === 0)) return;
    const some = this.#entries.take(streamKeys, isOne ? ASKED_FOR_ENTRIES : MOST_SCATTERED);
    for (const streamKey of await withEntries(some, servers.run)) this.#bare.delete(streamKey);
  }

  /** Looks whether any of these plain keys were deleted. If so, they count as empty until their lengths are queried again. */
  async lookForMissing(streamKeys: readonly string[], servers: KeyServers): Promise<void> {
    const plain = streamKeys.filter((streamKey) => !this.#bare.has(streamKey));
    if (areTogether(plain, servers.slotOf)) return await this.#lookAt(plain, servers);
    const some = this.#missing.take(plain, MOST_SCATTERED);
    await Promise.all(some.map((streamKey) => this.#lookAt([streamKey], servers)));
  }

  /** A count does not tell which keys are missing: then all of them count as empty. */
  async #lookAt(plain: readonly string[], servers: KeyServers): Promise<void> {
    if (plain.length === 0) return;
    const there = await countThere(plain, servers, MOST_KEYS);
    if (there !== undefined && there < plain.length) { for (const streamKey of plain) this.#bare.add(streamKey); }
  }
}
