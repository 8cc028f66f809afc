// A clock that a test advances and a wire that a test controls.

import type { Clock, Timer } from "../../../resp/connection/clock.ts";
import type { Transport, TransportSink } from "../../../resp/transport/transport.ts";

interface Alarm {
  readonly at: number;
  readonly run: () => void;
}

/** Time that passes on command, and a fixed random number. */
export class FakeClock implements Clock {
  /** The result of `random`. */
  chance = 0.5;
  #now = 1_000;
  readonly #alarms: Alarm[] = [];

  now(): number {
    return this.#now;
  }

  random(): number {
    return this.chance;
  }

  after(delay: number, run: () => void): Timer {
    const alarm = { at: this.#now + Math.max(0, delay), run };
    this.#alarms.push(alarm);
    return {
      stop: () => {
        const index = this.#alarms.indexOf(alarm);
        if (index >= 0) this.#alarms.splice(index, 1);
      },
    };
  }

  /** The number of running timers. */
  get running(): number {
    return this.#alarms.length;
  }

  /** Milliseconds until the next timer, if any. */
  get next(): number | undefined {
    const times = this.#alarms.map(({ at }) => at - this.#now);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Advances time: timers run in order, each at its time, and their effects are awaited. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      await this.settle();
      let due: Alarm | undefined; // the first of the earliest: a test may have thousands
      for (const alarm of this.#alarms) if (alarm.at <= end && alarm.at < (due?.at ?? Infinity)) due = alarm;
      if (due === undefined) break;
      this.#now = Math.max(this.#now, due.at);
      this.#alarms.splice(this.#alarms.indexOf(due), 1);
      due.run();
    }
    this.#now = end;
  }

  /** Runs everything that waits for no time. */
  settle(): Promise<void> {
    return settle();
  }

  /** The process was suspended: time has passed, and no timer ran. */
  jump(milliseconds: number): void {
    this.#now += milliseconds;
  }
}

/** Runs everything that waits for promises only. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

/** One end of a wire: records writes, and receives bytes on command. */
export class FakeWire implements Transport {
  /** Everything written, as text. */
  written = "";
  /** How many writes there were. */
  writes = 0;
  closed = false;
  /** While set, a write is not taken until {@linkcode drain}. */
  full = false;
  /** While set, a write is taken later, although there is space, as always on Deno. */
  later = false;
  #drain: (() => void) | undefined;
  readonly #sink: TransportSink;

  constructor(sink: TransportSink) {
    this.#sink = sink;
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    this.writes++;
    this.written += new TextDecoder().decode(bytes);
    if (!this.full) return this.later ? Promise.resolve() : undefined;
    return new Promise((resolve) => this.#drain = resolve);
  }

  close(): void {
    this.closed = true;
  }

  /** Takes waiting writes, and all later ones. */
  async drain(): Promise<void> {
    this.full = false;
    this.#drain?.();
    await settle();
  }

  /** The other side sends bytes. */
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
