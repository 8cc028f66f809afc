// Finds the end of a file to append to, and the content of the beacons there. Reads the part after the last beacon, and changes
// nothing.

import { FileDecoder, STEP } from "../format/decoder.ts";
import { recount } from "../format/encoder.ts";
import { type Flaw, flawed } from "../error.ts";
import { type Beacon, ENDS_INSIDE, INTERNAL_KEY, shardOf } from "../format/layout.ts";
import type { FileReading } from "./reading.ts";
import { lastBeginning } from "../format/search.ts";
import { BeaconSummary } from "../format/beacon_summary.ts";

/** The end of a file. */
export interface FileEnd {
  /** The byte offset after the last complete message, before the mark of the end of the stream. */
  readonly offset: number;
  /** The content of the beacons that are written from there. */
  readonly summary: BeaconSummary;
  /** The incomplete message or beacon at the end, if any. */
  readonly torn: Flaw | undefined;
}

/**
 * Finds the end of a file of this `size`.
 *
 * @throws {FileError} `PROTOCOL` if bytes after the last beacon violate the format.
 */
export async function findEnd(reading: FileReading, { size, interval }: {
  readonly size: number;
  readonly interval: number;
}): Promise<FileEnd> {
  const last = Math.floor((size - 1) / interval);
  const read = (number: number) => reading.beacon(number * interval, interval);
  const start = await lastBeginning({ interval, last, read }, size);
  const summary = new BeaconSummary();
  // A beacon with space for more markers describes all shards. Together with the messages after it, all shards are known. The
  // Rust library does not do this when it appends.
  const onBeacon = ({ markers }: Beacon) => {
    for (const { streamKey, shard, sequence, timestamp, running } of markers) {
      const shardId = shardOf(shard);
      // Known entries have counted later messages. The mark of the end of the stream will be removed.
      if (streamKey === INTERNAL_KEY || summary.find(streamKey, shardId) !== undefined) continue;
      Object.assign(summary.add(streamKey, shardId), { known: true, sequence, timestamp, running });
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
      if (offset >= size) return { offset, summary, torn: undefined };
      if (expected !== undefined) {
        const beacon = await reading.beacon(expected.boundary, interval);
        if (beacon !== undefined && beacon.remaining !== expected.remaining) {
          decoder.giveUp();
          throw flawed(reading.path, decoder.flaw);
        }
      }
      return { offset, summary, torn: { kind: "torn", offset, why: ENDS_INSIDE } };
    }
    const { position, frame } = decoder;
    if (frame.special === "end") {
      return await judgeEnd(reading, { position, frameEnd: frame.end, size, interval, summary });
    }
    const { streamKey, shardId, sequence, timestamp, checksum } = frame;
    recount(summary.find(streamKey, shardId) ?? summary.add(streamKey, shardId), sequence, timestamp, checksum);
    decoder.pass();
  }
}

interface StreamEnd {
  readonly position: number;
  readonly frameEnd: number;
  readonly size: number;
  readonly interval: number;
  readonly summary: BeaconSummary;
}

/** Only a beacon may follow the mark of the end of the stream. Other data is never removed. */
async function judgeEnd(reading: FileReading, end: StreamEnd): Promise<FileEnd> {
  const { position, frameEnd, size, interval, summary } = end;
  const beacon = frameEnd % interval === 0 ? await reading.beacon(frameEnd, interval) : undefined;
  if (frameEnd + (beacon?.size ?? 0) !== size) {
    const why = "data follows the end of the stream";
    throw flawed(reading.path, { kind: "corrupt", offset: frameEnd, why });
  }
  return { offset: position, summary, torn: undefined };
}
