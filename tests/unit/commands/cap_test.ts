// Tests how a bound falls and rises again.

import { assertEquals } from "@std/assert";
import { calmCap, type Cap, firstCap, lowerCap } from "../../../streamer/commands/cap.ts";
import { test } from "../../support/runner.ts";

/** Rounds at the bound until a higher one is tried. */
function roundsUntilTrial(state: Cap, most: number): number {
  const { cap } = state;
  for (let rounds = 1; rounds < 100_000; rounds++) {
    state = calmCap(state, { full: true, most });
    if (state.cap !== cap) return rounds;
  }
  return Infinity;
}

function trialOf(state: Cap, most: number): Cap {
  const { cap } = state;
  while (state.cap === cap) state = calmCap(state, { full: true, most });
  return state;
}

test("a bound that was never reached stays, and so does one that is not fully used", () => {
  const first = firstCap(100);
  assertEquals(calmCap(first, { full: true, most: 100 }), first);
  const lowered = lowerCap(first, 50);
  assertEquals(lowered.cap, 50);
  assertEquals(calmCap(lowered, { full: false, most: 100 }), lowered);
});

test("after 64 full rounds twice as much is tried, up to the maximum", () => {
  const lowered = lowerCap(firstCap(100), 30);
  assertEquals(roundsUntilTrial(lowered, 100), 64);
  const tried = trialOf(lowered, 100);
  assertEquals(tried.cap, 60);
  assertEquals(trialOf(tried, 100).cap, 100);
});

test("each failed trial doubles the rounds until the next one, up to 4096", () => {
  let state = lowerCap(firstCap(1_000), 10);
  const rounds: number[] = [];
  for (let i = 0; i < 9; i++) {
    rounds.push(roundsUntilTrial(state, 1_000));
    state = lowerCap(trialOf(state, 1_000), 10);
  }
  assertEquals(rounds, [64, 128, 256, 512, 1024, 2048, 4096, 4096, 4096]);
});

test("after a successful trial the next one is as near as the first", () => {
  let state = lowerCap(firstCap(1_000), 10);
  state = lowerCap(trialOf(state, 1_000), 10);
  assertEquals(roundsUntilTrial(state, 1_000), 128);
  state = trialOf(trialOf(state, 1_000), 1_000);
  assertEquals([state.cap, roundsUntilTrial(state, 1_000)], [40, 64]);
});
