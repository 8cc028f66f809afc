// The content of a file's beacons: the highest sequence and time of each shard so far. It grows only with the number of shards.

/** One shard of a stream. */
export interface BeaconSummaryEntry {
  readonly streamKey: string;
  readonly shard: number | bigint;
  /** The bytes at the beginning of its messages and markers: the length of the key, the key, the shard. */
  readonly prefix: Uint8Array;
  /** Whether anything was counted. */
  known: boolean;
  sequence: bigint;
  timestamp: bigint;
  running: number;
}

/** All shards, accessible by name and in the order of their names. */
export class BeaconSummary {
  readonly #streams = new Map<string, Map<number | bigint, BeaconSummaryEntry>>();
  #last: BeaconSummaryEntry | undefined;
  #sorted: BeaconSummaryEntry[] = [];
  #isSorted = true;

  /** The number of shards. */
  get size(): number {
    return this.#sorted.length;
  }

  /** In the order of the bytes of their keys, then of their numbers. */
  get sorted(): readonly BeaconSummaryEntry[] {
    if (!this.#isSorted) this.#sorted.sort(compare);
    this.#isSorted = true;
    return this.#sorted;
  }

  /** The entry of a shard, or `undefined`. */
  find(streamKey: string, shard: number | bigint): BeaconSummaryEntry | undefined {
    const last = this.#last;
    if (last !== undefined && last.streamKey === streamKey && last.shard === shard) return last;
    const found = this.#streams.get(streamKey)?.get(shard);
    if (found !== undefined) this.#last = found;
    return found;
  }

  /** Creates the entry of a new shard. */
  add(streamKey: string, shard: number | bigint): BeaconSummaryEntry {
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

  /** Removes an entry that is not needed after all. */
  remove(entry: BeaconSummaryEntry): void {
    const shards = this.#streams.get(entry.streamKey);
    shards?.delete(entry.shard);
    if (shards?.size === 0) this.#streams.delete(entry.streamKey);
    this.#sorted = this.#sorted.filter((one) => one !== entry);
    if (this.#last === entry) this.#last = undefined;
  }
}

function compare(a: BeaconSummaryEntry, b: BeaconSummaryEntry): number {
  if (a.streamKey !== b.streamKey) return a.streamKey < b.streamKey ? -1 : 1;
  return a.shard < b.shard ? -1 : a.shard > b.shard ? 1 : 0;
}

/** Counts a message. */
export function count(entry: BeaconSummaryEntry, sequence: bigint, timestamp: bigint): void {
  if (!entry.known || sequence > entry.sequence) entry.sequence = sequence;
  if (!entry.known || timestamp > entry.timestamp) entry.timestamp = timestamp;
  entry.known = true;
}
