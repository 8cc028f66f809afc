// The figures of one direction: count, bytes, hash, latencies.

import { createHash } from "node:crypto";

/** The figures of the messages that were sent, or received. */
export class Tally {
  count = 0;
  bytes = 0;
  /** The time of the last message, on the clock of `performance.now()`. */
  endedAt = 0;
  readonly latencies: Latencies = new Latencies();
  readonly #digest = new LineDigest();
  #hash: string | undefined;

  /** Counts one message. */
  add(payload: Uint8Array): void {
    this.count++;
    this.bytes += payload.length;
    this.#digest.add(payload);
  }

  /** SHA-256 over all messages in their order. After this, no message can be added. */
  get hash(): string {
    return this.#hash ??= this.#digest.end();
  }
}

/** SHA-256 over the length and the bytes of each message, so that a moved boundary changes the hash. It hashes whole buffers. */
class LineDigest {
  readonly #hash = createHash("sha256");
  readonly #buffer = new Uint8Array(64 * 1024);
  readonly #view = new DataView(this.#buffer.buffer);
  #used = 0;

  add(line: Uint8Array): void {
    if (this.#used + 4 + line.length > this.#buffer.length) this.#empty();
    this.#view.setUint32(this.#used, line.length);
    this.#used += 4;
    if (line.length > this.#buffer.length - 4) {
      this.#empty();
      this.#hash.update(line);
    } else {
      this.#buffer.set(line, this.#used);
      this.#used += line.length;
    }
  }

  end(): string {
    this.#empty();
    return this.#hash.digest("hex");
  }

  #empty(): void {
    this.#hash.update(this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }
}

/** A uniform sample of latencies in bounded memory (reservoir sampling), in milliseconds. */
export class Latencies {
  readonly #kept = new Float64Array(16_384);
  #seen = 0;

  get size(): number {
    return Math.min(this.#seen, this.#kept.length);
  }

  add(latency: number): void {
    const at = this.#seen < this.#kept.length ? this.#seen : Math.floor(Math.random() * (this.#seen + 1));
    if (at < this.#kept.length) this.#kept[at] = latency;
    this.#seen++;
  }

  /** A percentile, by a share from 0 to 1; `undefined` without samples. */
  percentile(share: number): number | undefined {
    const sorted = this.#kept.slice(0, this.size).sort();
    return sorted.at(Math.max(0, Math.ceil(sorted.length * share) - 1));
  }
}
