// Tests the clock's long delays: no timer of a runtime holds more than some 24 days, and a longer one would end at
// once.

import { assert, assertEquals } from "@std/assert";
import { longTimer, systemClock } from "../../../resp/connection/clock.ts";
import { test } from "../../support/runner.ts";

const DAY = 86_400_000;
const LONGEST = 2 ** 31 - 1;

/** Timers that end on command. */
class Timers {
  readonly delays: number[] = [];
  #run: (() => void) | undefined;

  set(run: () => void, delay: number): number {
    this.delays.push(delay);
    this.#run = run;
    return this.delays.length;
  }

  clear(id: unknown): void {
    assertEquals(id, this.delays.length, "the timer that runs is the one that is stopped");
    this.#run = undefined;
  }

  /** Whether one is running. */
  get running(): boolean {
    return this.#run !== undefined;
  }

  /** Ends the running one. */
  end(): void {
    const run = this.#run;
    this.#run = undefined;
    run?.();
  }
}

for (
  const [delay, turns] of [
    [0, [0]],
    [-5, [0]],
    [DAY, [DAY]],
    [LONGEST, [LONGEST]],
    [LONGEST + 1, [LONGEST, 1]],
    [40 * DAY, [LONGEST, 40 * DAY - LONGEST]],
    [365 * DAY, [...Array(14).fill(LONGEST), 365 * DAY - 14 * LONGEST]],
  ] as const
) {
  test(`a delay of ${delay} ms takes ${turns.length} turns, and ends once`, () => {
    const timers = new Timers();
    let runs = 0;
    longTimer(timers, delay, () => runs++);
    for (const _ of turns) {
      assertEquals(runs, 0);
      timers.end();
    }
    assertEquals([timers.delays, runs, timers.running], [[...turns], 1, false]);
  });
}

test("an endless delay never ends, and can be stopped in any of its turns", () => {
  const timers = new Timers();
  const timer = longTimer(timers, Infinity, () => assert(false, "it has ended"));
  for (let turn = 0; turn < 100; turn++) timers.end();
  assertEquals([new Set(timers.delays), timers.running], [new Set([LONGEST]), true]);
  timer.stop();
  assertEquals(timers.running, false);
});

test("the system's clock gives no timer a delay that it cannot hold", async () => {
  const { setTimeout: own } = globalThis;
  const delays: (number | undefined)[] = [];
  // A checked border: only the delay is looked at, and the timers are stopped below.
  const spy = (run: () => void, delay?: number) => (delays.push(delay), own(run, delay));
  globalThis.setTimeout = spy as typeof setTimeout;
  try {
    for (const delay of [40 * DAY, Infinity, 5]) {
      await new Promise<void>((resolve) => {
        const timer = systemClock.after(delay, resolve);
        if (delay === 5) return;
        timer.stop();
        resolve();
      });
    }
  } finally {
    globalThis.setTimeout = own;
  }
  assertEquals(delays, [LONGEST, LONGEST, 5]);
});
