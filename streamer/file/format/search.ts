// Chooses the beacon to start from, by the markers of beacons. Pure decisions over a function that reads one beacon.

import { type Beacon, END_BYTES, type Marker, markersPerBeacon, shardOf } from "./layout.ts";

/** Consecutive beacons to read for a marker of the wanted shard. If the shards do not fit into one beacon, they alternate. */
const RUN = 128;

/** The message to find. */
export interface Wanted {
  /** All streams if left out. */
  readonly streamKey?: string;
  /** All shards if left out. */
  readonly shardId?: number | bigint;
  readonly by: "sequence" | "timestamp";
  /** The message must be above this value. */
  readonly above: bigint;
}

/** The beacons of a file. */
export interface Beacons {
  readonly interval: number;
  /** The number of the last beacon: its offset divided by the interval. 0 if there is none. */
  readonly last: number;
  /** Reads a beacon; `undefined` if it is unreadable. */
  read(number: number): Promise<Beacon | undefined>;
}

/**
 * The number of the last beacon before which no wanted message begins; 0 for the beginning of the file. It reads a number of beacons
 * that is logarithmic in all of them.
 *
 * A beacon has the highest sequence and time of some shards. If the wanted shard is not among them, the next beacons are read. A beacon
 * without an answer counts as too late: that costs time, and is never wrong. For several shards, a beacon with space for more markers
 * describes all of them.
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

/** A beacon from `middle` to before `high`, before which no wanted message begins; `undefined` if that is unknown. */
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
 * The number of the last beacon from which a file of this `size` can be read to its end; 0 for the beginning of the file. The message
 * around that beacon ends within the file, and does not mark the end of the stream.
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
