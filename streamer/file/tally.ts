// What a file's beacons tell: for each shard of a stream the highest sequence and time so far. It grows with the number of
// shards and nothing else. It must not know bytes of files, beyond how a shard's name is written.

/** One shard of a stream. */
export interface TallyEntry {
  readonly streamKey: string;
  readonly shard: number | bigint;
  /** Its name as it stands at the beginning of messages and markers: the key's length, the key, the shard. */
  readonly prefix: Uint8Array;
  /** Whether anything was counted. */
  known: boolean;
  sequence: bigint;
  timestamp: bigint;
  running: number;
}

/** All shards, found by their name and walked in the order of their names. */
export class Tally {
  readonly #streams = new Map<string, Map<number | bigint, TallyEntry>>();
  #last: TallyEntry | undefined;
  #sorted: TallyEntry[] = [];
  #isSorted = true;

  /** How many there are. */
  get size(): number {
    return this.#sorted.length;
  }

  /** In the order of keys' bytes, then of shards. */
  get sorted(): readonly TallyEntry[] {
    if (!this.#isSorted) this.#sorted.sort(compare);
    this.#isSorted = true;
    return this.#sorted;
  }

  /** The entry of a shard, or `undefined`. */
  find(streamKey: string, shard: number | bigint): TallyEntry | undefined {
    const last = this.#last;
    if (last !== undefined && last.streamKey === streamKey && last.shard === shard) return last;
    const found = this.#streams.get(streamKey)?.get(shard);
    if (found !== undefined) this.#last = found;
    return found;
  }

  /** Makes the entry of a shard that has none. */
  add(streamKey: string, shard: number | bigint): TallyEntry {
    const prefix = new Uint8Array(1 + streamKey.length + 8);
    prefix[0] = streamKey.length;
    for (let i = 0; i < streamKey.length; i++) prefix[1 + i] = streamKey.charCodeAt(i);
    new DataView(prefix.buffer).setBigUint64(1 + streamKey.length, BigInt(shard));
    const entry = { streamKey, shard, prefix, known: false, sequence: 0n, timestamp: 0n, running: 0xffff };
    const shards = this.#streams.get(streamKey);
    if (shards === undefined) this.#streams.set(streamKey, new Map([[shard, entry]]));
    else shards.set(shard, entry);
    this.#sorted.push(entry);
    this.#isSorted = false;
    return this.#last = entry;
  }

  /** Takes back an entry that was made for nothing. */
  remove(entry: TallyEntry): void {
    const shards = this.#streams.get(entry.streamKey);
    shards?.delete(entry.shard);
    if (shards?.size === 0) this.#streams.delete(entry.streamKey);
    this.#sorted = this.#sorted.filter((one) => one !== entry);
    if (this.#last === entry) this.#last = undefined;
  }
}

function compare(a: TallyEntry, b: TallyEntry): number {
  if (a.streamKey !== b.streamKey) return a.streamKey < b.streamKey ? -1 : 1;
  return a.shard < b.shard ? -1 : a.shard > b.shard ? 1 : 0;
}

/** Counts a message. */
export function count(entry: TallyEntry, sequence: bigint, timestamp: bigint): void {
  if (!entry.known || sequence > entry.sequence) entry.sequence = sequence;
  if (!entry.known || timestamp > entry.timestamp) entry.timestamp = timestamp;
  entry.known = true;
}
