// Which beacon to begin at, by what beacons tell. Pure decisions over a function that reads one. It must not know files.

import { type Beacon, END_BYTES, type Marker, markersPerBeacon, shardOf } from "./layout.ts";

/** Beacons looked at in a row for a marker of the wanted shard; they take turns where there are more shards than fit. */
const RUN = 128;

/** The point behind which to go on, and whose messages count. */
export interface Wanted {
  /** Of all streams where left out. */
  readonly streamKey?: string;
  /** Of all shards where left out. */
  readonly shardId?: number | bigint;
  readonly by: "sequence" | "timestamp";
  /** Messages above this are looked for. */
  readonly above: bigint;
}

/** The beacons of a file. */
export interface Beacons {
  readonly interval: number;
  /** Where the last one can be, as a multiple of the interval; 0 where there is none. */
  readonly last: number;
  /** Reads one; `undefined` where it cannot be read. */
  read(number: number): Promise<Beacon | undefined>;
}

/**
 * The last beacon of which it is known that no wanted message begins before it, as a multiple of the interval; 0 for the
 * beginning of the file. A logarithm of the number of beacons is read.
 *
 * A beacon holds some shards' highest sequence and time up to it. Where the wanted shard is not among them nothing is known,
 * and the next beacons are looked at; what stays unknown counts as too late, which costs time and is never wrong. For
 * several shards, a beacon with room for more holds all of them.
 */
export async function findBeacon(beacons: Beacons, wanted: Wanted): Promise<number> {
  let low = 0;
  let high = beacons.last + 1;
  while (high - low > 1) {
    const middle = low + Math.floor((high - low) / 2);
    const known = await judge(beacons, middle, { high, wanted });
    if (known === undefined) high = middle;
    else low = known;
  }
  return low;
}

/** A beacon, from `middle` on and before `high`, before which there is nothing wanted; `undefined` where that is not known. */
async function judge(
  beacons: Beacons,
  middle: number,
  { high, wanted }: { readonly high: number; readonly wanted: Wanted },
): Promise<number | undefined> {
  const perBeacon = markersPerBeacon(beacons.interval);
  if (perBeacon === 0) return undefined;
  const one = wanted.streamKey !== undefined && wanted.shardId !== undefined;
  for (let number = middle; number < Math.min(high, middle + RUN); number++) {
    const beacon = await beacons.read(number);
    if (beacon === undefined) return undefined;
    const markers = beacon.markers.filter((marker) => isWanted(marker, wanted));
    if (markers.some((marker) => marker[wanted.by] > wanted.above)) return undefined;
    const all = beacon.markers.length > 0 && beacon.markers.length < perBeacon;
    if (one ? markers.length > 0 : all) return number;
    if (!one || all) return undefined;
  }
  return undefined;
}

function isWanted({ streamKey, shard }: Marker, wanted: Wanted): boolean {
  return (wanted.streamKey === undefined || wanted.streamKey === streamKey) &&
    (wanted.shardId === undefined || wanted.shardId === shardOf(shard));
}

/**
 * The last beacon from which on everything to the end of the file, of this `size`, can be read, as a multiple of the interval;
 * 0 for the beginning of the file. What the beacon interrupts ends within the file, and is not what ends the stream.
 */
export async function lastBeginning(beacons: Beacons, size: number): Promise<number> {
  const { interval, last } = beacons;
  for (let number = last; number > 0; number--) {
    const beacon = await beacons.read(number);
    if (beacon === undefined) continue;
    const begins = number * interval + beacon.size + beacon.remaining;
    if (begins > Math.min(size, (number + 1) * interval)) continue;
    if (begins < size || beacon.remaining > END_BYTES) return number;
  }
  return 0;
}
