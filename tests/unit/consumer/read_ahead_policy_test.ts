// Tests how far a group consumer reads ahead, as decisions.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import {
  MAX_DEPTH,
  mayRead,
  nextDepth,
  type ReadAhead,
  SOON,
  soonStarted,
} from "../../../streamer/consumer/group/read_ahead_policy.ts";
import { Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";

const idle: ReadAhead = {
  inFlight: 0,
  depth: 1,
  pages: 0,
  queued: 0,
  prefetch: 1,
  asked: false,
  shared: false,
  pace: undefined,
  requested: 0,
};

test("the depth grows while full pages are awaited, and no further than its bound", () => {
  const depths: number[] = [];
  for (let depth = 1, i = 0; i < 5; i++) {
    depths.push(depth = nextDepth(depth, { full: true, starving: true, pages: 1 }));
  }
  assertEquals(depths, [2, 4, MAX_DEPTH, MAX_DEPTH, MAX_DEPTH]);
});

test("a page that is not full ends the backlog: one read is enough", () => {
  for (let depth = 1; depth <= MAX_DEPTH; depth++) {
    for (const starving of [true, false]) assertEquals(nextDepth(depth, { full: false, starving, pages: 1 }), 1);
  }
});

test("if pages accumulate the depth falls one by one, and never below 1", () => {
  assertEquals(nextDepth(3, { full: true, starving: false, pages: 5 }), 2);
  assertEquals(nextDepth(1, { full: true, starving: false, pages: 9 }), 1);
  assertEquals(nextDepth(3, { full: true, starving: false, pages: 2 }), 3);
});

test("without prefetch a page is read only for a waiting call, one at a time", () => {
  const none = { ...idle, prefetch: 0 };
  assertEquals(mayRead(none), false);
  assertEquals(mayRead({ ...none, asked: true }), true);
  assertEquals(mayRead({ ...none, asked: true, inFlight: 1 }), false);
  assertEquals(mayRead({ ...none, asked: true, pages: 1, queued: 3 }), false);
  assertEquals(mayRead({ ...none, depth: MAX_DEPTH }), false);
});

test("a resumable consumer reads a page ahead before any call", () => {
  assertEquals(mayRead(idle), true);
  assertEquals(mayRead({ ...idle, pages: 1, queued: 10 }), true);
  assertEquals(mayRead({ ...idle, pages: 2, queued: 20 }), false);
  assertEquals(mayRead({ ...idle, inFlight: 1 }), false);
});

test("in a shared group nothing is prefetched while its pace is unknown, or slow", () => {
  const shared = { ...idle, shared: true };
  assertEquals(mayRead(shared), false);
  assertEquals(mayRead({ ...shared, asked: true }), true);
  assertEquals(mayRead({ ...shared, pages: 1, queued: 1 }), false);
  assertEquals(
    mayRead({ ...shared, pages: 1, queued: 1, pace: 2_000 }),
    false,
    "two seconds for the one that is there",
  );
  assertEquals(mayRead({ ...shared, pages: 1, queued: 1, pace: 0.01 }), true, "the next one is wanted soon");
});

test("in a shared group messages in flight count like prefetched ones", () => {
  const shared = { ...idle, shared: true, depth: MAX_DEPTH, inFlight: 1, pace: 1 };
  assertEquals(mayRead({ ...shared, requested: SOON }), true);
  assertEquals(mayRead({ ...shared, requested: SOON, queued: 1 }), false);
  assertEquals(mayRead({ ...shared, shared: false, requested: 10 * SOON }), true);
  assertEquals([soonStarted(undefined), soonStarted(10), soonStarted(2 * SOON)], [160, 100, 0.5]);
});

test("reads in flight and pages never exceed their bounds (seed 5)", () => {
  const random = new Random(5);
  for (let i = 0; i < 10_000; i++) {
    const state: ReadAhead = {
      inFlight: random.below(8),
      depth: 1 + random.below(MAX_DEPTH),
      pages: random.below(20),
      queued: random.below(1_000),
      prefetch: random.below(10),
      asked: random.once(2),
      shared: random.once(2),
      pace: random.once(3) ? undefined : random.below(3_000) / 100,
      requested: random.below(1_000),
    };
    if (!mayRead(state)) continue;
    const { inFlight, pages, prefetch, depth } = state;
    assertLessOrEqual(inFlight + 1, MAX_DEPTH);
    assertLessOrEqual(pages + inFlight, prefetch + depth);
    if (prefetch === 0) assert(state.asked && inFlight === 0 && pages === 0);
  }
});
