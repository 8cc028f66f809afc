// Checks whether a message fits: into the buffer of a sink, and into the largest size of its file.

import { StreamerError } from "../../resp/errors.ts";
import { FileError } from "./error.ts";
import type { BeaconSummaryEntry } from "./format/beacon_summary.ts";
import type { FileEncoder } from "./format/encoder.ts";
import { FRAME_BYTES } from "./format/layout.ts";
import type { WriteQueue } from "./format/write_queue.ts";
import type { SinkSettings } from "./sink_options.ts";

/** The path, the settings and the output of a sink. */
export interface SinkCapacityParts {
  readonly path: string;
  readonly settings: SinkSettings;
  readonly out: WriteQueue;
  readonly encoder: FileEncoder;
}

/** The free space of one sink. */
export class SinkCapacity {
  readonly #path: string;
  readonly #settings: SinkSettings;
  readonly #out: WriteQueue;
  readonly #encoder: FileEncoder;

  constructor({ path, settings, out, encoder }: SinkCapacityParts) {
    this.#path = path;
    this.#settings = settings;
    this.#out = out;
    this.#encoder = encoder;
  }

  /** Checks that a message fits into the buffer and the file; throws `BUFFER_FULL` otherwise. */
  check(entry: BeaconSummaryEntry, payloadBytes: number): void {
    const { maxBuffered, maxBytes, endOfStream } = this.#settings;
    const { buffered } = this.#out;
    if (buffered > 0 && buffered + FRAME_BYTES + entry.streamKey.length + payloadBytes > maxBuffered) {
      const text = `The buffer of the sink is full (${buffered} bytes): await the promise that write returns`;
      throw new StreamerError("BUFFER_FULL", text, { outcome: "not-written" });
    }
    if (maxBytes === Infinity) return;
    const end = this.#encoder.offset + this.#encoder.growth(entry, payloadBytes);
    this.#checkSize(end, endOfStream ? this.#encoder.endSpace(end) : 0);
  }

  /** Checks that the end-of-stream message fits into the file. */
  checkEnd(): void {
    const { offset } = this.#encoder;
    this.#checkSize(offset, this.#encoder.endSpace(offset));
  }

  #checkSize(end: number, reserve: number): void {
    const { maxBytes } = this.#settings;
    if (end + reserve <= maxBytes) return;
    const needs = `${end} bytes${reserve === 0 ? "" : `, and ${reserve} for the end of the stream`}`;
    const { offset } = this.#encoder;
    throw new FileError("limit", `The file would become longer than maxBytes (${maxBytes}): it would have ${needs}`, {
      path: this.#path,
      code: "BUFFER_FULL",
      offset,
    });
  }
}
