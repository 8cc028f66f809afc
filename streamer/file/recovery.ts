// Finds where a file is to be gone on with, and what its beacons would tell there. It reads what stands behind the last beacon
// and changes nothing. It must not know how it is gone on.

import { FileDecoder, STEP } from "./decoder.ts";
import { recount } from "./encoder.ts";
import { type Flaw, flawed } from "./error.ts";
import { type Beacon, INTERNAL_KEY, shardOf } from "./layout.ts";
import type { FileReading } from "./reading.ts";
import { lastBeginning } from "./search.ts";
import { Tally } from "./tally.ts";

/** How a file ends. */
export interface FileEnd {
  /** Behind the last whole message, before the one that ends the stream. */
  readonly offset: number;
  /** Of what is written from there on. */
  readonly tally: Tally;
  /** What there is of a message or beacon that is not whole. */
  readonly torn: Flaw | undefined;
}

/**
 * Finds the end of a file of this `size`.
 *
 * @throws {FileError} `PROTOCOL` where bytes behind the last beacon are not of the format.
 */
export async function findEnd(reading: FileReading, { size, interval }: {
  readonly size: number;
  readonly interval: number;
}): Promise<FileEnd> {
  const last = Math.floor((size - 1) / interval);
  const read = (number: number) => reading.beacon(number * interval, interval);
  const start = await lastBeginning({ interval, last, read }, size);
  const tally = new Tally();
  // What the original library forgets when it appends: a beacon with room for more markers holds all shards, so that with
  // what comes behind it all is known.
  const onBeacon = ({ markers }: Beacon) => {
    for (const { streamKey, shard, sequence, timestamp, running } of markers) {
      const shardId = shardOf(shard);
      // What is known was counted on since; what ends the stream will be gone.
      if (streamKey === INTERNAL_KEY || tally.find(streamKey, shardId) !== undefined) continue;
      Object.assign(tally.add(streamKey, shardId), { known: true, sequence, timestamp, running });
    }
  };
  const decoder = new FileDecoder({ interval, maxPayload: 2 ** 32 - 1, onBeacon });
  decoder.moveToBeacon(start * interval);
  for (;;) {
    const step = decoder.locate();
    if (step === STEP.flaw) throw flawed(reading.path, decoder.flaw);
    if (step === STEP.need) {
      if (await reading.fill(decoder, decoder.need)) continue;
      const { position: offset, expected } = decoder;
      if (offset >= size) return { offset, tally, torn: undefined };
      if (expected !== undefined) {
        const beacon = await reading.beacon(expected.boundary, interval);
        if (beacon !== undefined && beacon.remaining !== expected.remaining) {
          decoder.giveUp();
          throw flawed(reading.path, decoder.flaw);
        }
      }
      const why = "the file must not end inside of a message or beacon";
      return { offset, tally, torn: { kind: "torn", offset, why } };
    }
    const { special, position, streamKey, shardId, sequence, timestamp, checksum, frameEnd } = decoder;
    if (special === "end") return await judgeEnd(reading, { position, frameEnd, size, interval, tally });
    recount(tally.find(streamKey, shardId) ?? tally.add(streamKey, shardId), sequence, timestamp, checksum);
    decoder.pass();
  }
}

interface StreamEnd {
  readonly position: number;
  readonly frameEnd: number;
  readonly size: number;
  readonly interval: number;
  readonly tally: Tally;
}

/** Behind the message that ends the stream nothing but a beacon may stand: whatever else it is, it is not ours to cut. */
async function judgeEnd(reading: FileReading, end: StreamEnd): Promise<FileEnd> {
  const { position, frameEnd, size, interval, tally } = end;
  const beacon = frameEnd % interval === 0 ? await reading.beacon(frameEnd, interval) : undefined;
  if (frameEnd + (beacon?.size ?? 0) !== size) {
    const why = "nothing must stand behind the end of the stream";
    throw flawed(reading.path, { kind: "corrupt", offset: frameEnd, why });
  }
  return { offset: position, tally, torn: undefined };
}
