// Owns a clock that a test turns and a wire that a test speaks on. Must not know what is tested with them.

import type { Clock, Timer } from "../../../resp/connection/clock.ts";
import type { Transport, TransportSink } from "../../../resp/transport/transport.ts";

interface Alarm {
  readonly at: number;
  readonly run: () => void;
}

/** Time that passes only when told to; chance that is what it was told to be. */
export class FakeClock implements Clock {
  /** What `random` gives. */
  chance = 0.5;
  #now = 1_000;
  #alarms: Alarm[] = [];

  now(): number {
    return this.#now;
  }

  random(): number {
    return this.chance;
  }

  after(delay: number, run: () => void): Timer {
    const alarm = { at: this.#now + Math.max(0, delay), run };
    this.#alarms.push(alarm);
    return { stop: () => void (this.#alarms = this.#alarms.filter((other) => other !== alarm)) };
  }

  /** How many timers run. */
  get running(): number {
    return this.#alarms.length;
  }

  /** Milliseconds until the next timer, if any. */
  get next(): number | undefined {
    const times = this.#alarms.map(({ at }) => at - this.#now);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Lets time pass: timers run in their order, each at its time, and what they cause is awaited. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      await settle();
      const due = this.#alarms.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#now = Math.max(this.#now, due.at);
      this.#alarms = this.#alarms.filter((other) => other !== due);
      due.run();
    }
    this.#now = end;
  }

  /** The process slept: time has passed, and no timer ran. */
  jump(milliseconds: number): void {
    this.#now += milliseconds;
  }
}

/** Lets everything that is only waiting for promises happen. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

/** One end of a wire: keeps what is written, gives what it is told to. */
export class FakeWire implements Transport {
  /** Everything written, as text. */
  written = "";
  /** How many writes there were. */
  writes = 0;
  closed = false;
  /** While set, a write is not taken until {@linkcode drain}. */
  full = false;
  #drain: (() => void) | undefined;
  readonly #sink: TransportSink;

  constructor(sink: TransportSink) {
    this.#sink = sink;
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    this.writes++;
    this.written += new TextDecoder().decode(bytes);
    if (!this.full) return undefined;
    return new Promise((resolve) => this.#drain = resolve);
  }

  close(): void {
    this.closed = true;
  }

  /** Takes what waited, and all later writes. */
  async drain(): Promise<void> {
    this.full = false;
    this.#drain?.();
    await settle();
  }

  /** The other side says something. */
  say(text: string): void {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) {
      const room = this.#sink.space();
      const count = Math.min(room.length, bytes.length - at);
      room.set(bytes.subarray(at, at + count));
      this.#sink.received(count);
      at += count;
    }
  }

  /** The other side ends. */
  end(cause?: unknown): void {
    this.#sink.closed(cause);
  }
}
