// Reads the beacons of a SeaStreamer file separately from its messages.

import { openDisk } from "../../file/disk/disk.ts";
import { type Beacon, HEADER_BYTES, type Marker } from "../../file/format/layout.ts";
import type { FilePort } from "../../file/disk/port.ts";
import { FileReading } from "../../file/disk/reading.ts";

/** A beacon to print. */
export interface BeaconLine {
  /** Its byte offset. */
  readonly offset: number;
  /** Its markers as JSON. */
  readonly markers: string;
}

/** Reads beacons. */
export class BeaconReader implements AsyncDisposable {
  readonly #port: FilePort;
  readonly #reading: FileReading;
  readonly #interval: number;

  private constructor(port: FilePort, path: string, interval: number) {
    this.#port = port;
    this.#reading = new FileReading(port, path);
    this.#interval = interval;
  }

  static async open(path: string, interval: number): Promise<BeaconReader> {
    return new BeaconReader(await openDisk(path, "read"), path, interval);
  }

  /** The valid beacons from one byte offset to before another. */
  async between(from: number, before: number): Promise<BeaconLine[]> {
    const first = Math.max(1, Math.ceil(from / this.#interval));
    const last = Math.ceil(
      Math.min(before, before === Infinity ? await this.#reading.size() : before) / this.#interval,
    );
    const lines: BeaconLine[] = [];
    for (let number = first; number < last; number++) {
      const offset = number * this.#interval;
      const beacon = offset < HEADER_BYTES ? undefined : await this.#reading.beacon(offset, this.#interval);
      if (beacon !== undefined) lines.push({ offset, markers: textOf(beacon) });
    }
    return lines;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#port.close();
  }
}

function textOf({ markers }: Beacon): string {
  return `[${markers.map(markerText).join(",")}]`;
}

/** Formatted by hand, since a sequence has more digits than a number keeps. */
function markerText({ streamKey, shard, sequence, timestamp, running }: Marker): string {
  const date = new Date(Number(timestamp));
  const time = Number.isFinite(date.getTime()) ? date.toISOString() : `${timestamp}`;
  const header = `{"stream_key":"${streamKey}","shard_id":${shard},"sequence":${sequence},"timestamp":"${time}"}`;
  return `{"header":${header},"running_checksum":${running}}`;
}
