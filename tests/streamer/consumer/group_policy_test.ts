// Owns how far a group's consumer reads ahead, and where a lost group begins again, as decisions. Must not need a server.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import {
  judgeLost,
  type LostGroup,
  MAX_DEPTH,
  mayRead,
  nextDepth,
  type OnGroupLost,
  type ReadAhead,
} from "../../../streamer/consumer/group_policy.ts";
import type { OnStreamReset } from "../../../streamer/consumer/options.ts";
import { Random } from "../../resp/drive.ts";
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
  count: 10,
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

test("where pages heap up the depth falls one by one, and never below 1", () => {
  assertEquals(nextDepth(3, { full: true, starving: false, pages: 5 }), 2);
  assertEquals(nextDepth(1, { full: true, starving: false, pages: 9 }), 1);
  assertEquals(nextDepth(3, { full: true, starving: false, pages: 2 }), 3);
});

test("without prefetch a page is read only for somebody who waits, one at a time", () => {
  const none = { ...idle, prefetch: 0 };
  assertEquals(mayRead(none), false);
  assertEquals(mayRead({ ...none, asked: true }), true);
  assertEquals(mayRead({ ...none, asked: true, inFlight: 1 }), false);
  assertEquals(mayRead({ ...none, asked: true, pages: 1, queued: 3 }), false);
  assertEquals(mayRead({ ...none, depth: MAX_DEPTH }), false);
});

test("a resumable consumer reads a page ahead before anybody asks", () => {
  assertEquals(mayRead(idle), true);
  assertEquals(mayRead({ ...idle, pages: 1, queued: 10 }), true);
  assertEquals(mayRead({ ...idle, pages: 2, queued: 20 }), false);
  assertEquals(mayRead({ ...idle, inFlight: 1 }), false);
});

test("in a shared group nothing is read ahead while its pace is unknown, or slow", () => {
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

test("reads in flight and pages never pass their bounds (seed 5)", () => {
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
      count: 1 + random.below(1_000),
    };
    if (!mayRead(state)) continue;
    const { inFlight, pages, prefetch, depth } = state;
    assertLessOrEqual(inFlight + 1, MAX_DEPTH);
    assertLessOrEqual(pages + inFlight, prefetch + depth);
    if (prefetch === 0) assert(state.asked && inFlight === 0 && pages === 0);
  }
});

const end = (id: string): LostGroup["end"] => ({ id, exists: true, exact: true });
const judge = (lost: LostGroup, onGroupLost: OnGroupLost, onStreamReset: OnStreamReset = "earliest") =>
  judgeLost(lost, onGroupLost, onStreamReset);

test("a group that vanished from a stream that went on begins behind the last id seen", () => {
  for (const last of ["5-1", "5-2", "9-0", "18446744073709551615-0"]) {
    const lost = { position: "5-1", reached: "5-1", wasMissing: false, end: end(last) };
    assertEquals(judge(lost, "resume"), { kind: "create", position: "5-1", anew: false }, last);
  }
});

test("a group whose stream was made anew begins at its beginning", () => {
  const shorter = { position: "5-1", reached: "5-1", wasMissing: false, end: end("5-0") };
  assertEquals(judge(shorter, "resume"), { kind: "create", position: "0-0", anew: true });
  const again = { position: "5-1", reached: "5-1", wasMissing: true, end: end("9-0") };
  assertEquals(judge(again, "resume"), { kind: "create", position: "0-0", anew: true });
});

test("a group that was moved ahead of its stream begins there again: the stream is the same", () => {
  const lost = { position: "9-0", reached: "5-1", wasMissing: false, end: end("5-1") };
  assertEquals(judge(lost, "resume"), { kind: "create", position: "9-0", anew: false });
  assertEquals(judge({ ...lost, end: end("5-0") }, "resume"), { kind: "create", position: "0-0", anew: true });
});

test("the other policies take the ends that they name", () => {
  for (const wasMissing of [true, false]) {
    const lost = { position: "5-1", reached: "5-1", wasMissing, end: end("7-3") };
    const at = (policy: OnGroupLost) => judge(lost, policy);
    const [earliest, latest] = [at("earliest"), at("latest")];
    assert(earliest.kind === "create" && latest.kind === "create");
    assertEquals([earliest.position, latest.position], ["0-0", "7-3"]);
    assertEquals(at("fail"), { kind: "fail" });
  }
});

test("of a stream made anew `resume` obeys what the user wants of such streams", () => {
  const lost = { position: "5-1", reached: "5-1", wasMissing: false, end: end("2-0") };
  assertEquals(judge(lost, "resume", "latest"), { kind: "create", position: "2-0", anew: true });
  assertEquals(judge(lost, "resume", "fail"), { kind: "fail" });
  const same = { position: "5-1", reached: "5-1", wasMissing: false, end: end("6-0") };
  assertEquals(judge(same, "resume", "fail"), { kind: "create", position: "5-1", anew: false });
});

test("a last entry that is only what is left proves no new stream", () => {
  const lost = {
    position: "5-1",
    reached: "5-1",
    wasMissing: false,
    end: { id: "2-0", exists: undefined, exact: false },
  };
  assertEquals(judge(lost, "resume"), { kind: "create", position: "5-1", anew: false });
});
