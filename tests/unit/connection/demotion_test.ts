// Tests the pure decisions about servers that turn out to be replicas, and which connections are closed.

import { assert, assertEquals } from "@std/assert";
import { Demotions, type DemotionState, judgeDemotion } from "../../../resp/connection/reconnect/demotion.ts";
import { test } from "../../support/runner.ts";
import { FakeClock } from "./fakes.ts";

const options = { initialDelay: 50, maxDelay: 2_000, maxAttempts: Infinity };
const random = 0.5; // no jitter

const ROWS: readonly (readonly [string, DemotionState | undefined, number, boolean, number])[] = [
  ["nothing was known", undefined, 1_000, true, 0],
  ["it was found a moment ago", { since: 1_000, last: 1_000 }, 1_001, false, 50],
  ["it has been one for 5 s", { since: 1_000, last: 5_500 }, 6_000, false, 500],
  ["it has been one for a minute", { since: 1_000, last: 59_000 }, 61_000, false, 2_000],
  ["it was one long ago", { since: 1_000, last: 5_000 }, 15_001, true, 0],
];

for (const [what, known, now, first, delay] of ROWS) {
  test(`if ${what}, a refused connection is given up ${delay === 0 ? "at once" : `after ${delay} ms`}`, () => {
    const verdict = judgeDemotion(known, options, { now, random });
    assertEquals([verdict.first, verdict.delay], [first, delay]);
    assertEquals(verdict.state, { since: first ? now : known?.since ?? NaN, last: now });
  });
}

test("with long delays a change is remembered for longer than the pause between two refusals", () => {
  const slow = { ...options, maxDelay: 60_000 };
  assertEquals(judgeDemotion({ since: 0, last: 0 }, slow, { now: 200_000, random }).first, false);
});

test("a permanent replica is dialled ever less often, in the end every two seconds", () => {
  let now = 0;
  let state: DemotionState | undefined;
  const dials = [0, 0, 0]; // by the minute
  while (now < 180_000) {
    const verdict = judgeDemotion(state, options, { now, random });
    state = verdict.state;
    dials[Math.floor(now / 60_000)]++;
    now += Math.max(1, verdict.delay);
  }
  assert(dials[0] < 80 && dials[1] <= 30 && dials[2] <= 30, dials.join());
});

test("all connections of a node are closed at the first refusal, and not at later ones", () => {
  const clock = new FakeClock();
  const demotions = new Demotions(options, clock);
  const calls: string[] = [];
  const stop = demotions.watch(({ cause }) => calls.push(`a ${cause}`));
  demotions.watch(({ cause }) => calls.push(`b ${cause}`));
  assertEquals(demotions.refused("one"), 0);
  assertEquals(demotions.refused("two"), 50);
  assertEquals(calls, ["a one", "b one"]);
  stop();
  clock.jump(60_000);
  demotions.refused("three");
  assertEquals(calls.slice(2), ["b three"]);
});
