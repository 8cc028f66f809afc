// Tests that the targets of a producer are found again, are bounded, and that no Redis key in use has two of them.

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { StreamerError } from "../../../mod.ts";
import { type Placed, PLAIN_FORM, Target } from "../../../streamer/producer/messages/target.ts";
import { Targets } from "../../../streamer/producer/messages/targets.ts";
import { test } from "../../support/runner.ts";

function targets() {
  const made: string[] = [];
  const all = new Targets<Placed>((streamKey, shard): Target<Placed> => {
    made.push(`${streamKey}/${shard}`);
    const key = { streamKey, shardId: shard ?? 0, redisKey: streamKey, slot: 0 };
    return new Target<Placed>(key, PLAIN_FORM);
  });
  return { all, made };
}

test("each Redis key has one target, created once: plain keys and shards, in turn", () => {
  const { all, made } = targets();
  const first = [all.find("a"), all.find("a", 0), all.find("a", 1), all.find("b"), all.find("b", 0)];
  assertEquals(new Set(first).size, 5);
  const again = [all.find("a"), all.find("a", 0), all.find("a", 1), all.find("b"), all.find("b", 0)];
  again.forEach((target, i) => assertStrictEquals(target, first[i]));
  assertEquals(made, ["a/undefined", "a/0", "a/1", "b/undefined", "b/0"]);
  assertEquals([all.size, all.has("a"), all.has("b"), all.has("c")], [5, true, true, false]);
});

test("an invalid stream key creates no target and is not kept", () => {
  const { all } = targets();
  for (const shard of [undefined, 1]) {
    const error = assertThrows(() => all.find("no key", shard), StreamerError);
    assertEquals(error.code, "INVALID_STREAM_KEY");
  }
  assertEquals([all.size, all.has("no key")], [0, false]);
});

test("idle targets do not accumulate: neither of streams nor of shards", () => {
  const { all } = targets();
  for (let i = 0; i < 50_000; i++) {
    all.find(`s${i}`, i % 3);
    all.find("steady", i);
    assert(all.size <= 4_096, String(all.size));
  }
  assert(all.has("steady"));
  assert(!all.has("s0"));
});

test("targets in use stay, and are found again", () => {
  const { all } = targets();
  const busy = Array.from({ length: 6_000 }, (_, i) => {
    const target = all.find(`busy${i % 60}`, i);
    if (i % 3 === 0) target.unsettled = 1;
    else if (i % 3 === 1) target.inFlight = 1;
    return target;
  });
  for (let i = 0; i < 60_000; i++) all.find(`passing${i}`, 7);
  busy.forEach((target, i) => {
    if (i % 3 !== 2) assertStrictEquals(all.find(`busy${i % 60}`, i), target);
  });
  for (const target of busy) target.unsettled = target.inFlight = 0;
  for (let i = 0; i < 60_000; i++) all.find(`passing${i}`, 8);
  assert(all.size <= 20_000, String(all.size));
  assert(!all.has("busy0"));
});

test("of very many targets that were in use at once no more than some thousand are left soon after", () => {
  const { all } = targets();
  const busy = Array.from({ length: 200_000 }, (_, i) => {
    const target = all.find("busy", i);
    target.unsettled = 1;
    return target;
  });
  assertEquals(all.size, 200_000);
  for (const target of busy) target.unsettled = 0;
  for (let i = 0; i < 5_000; i++) all.find("passing", i);
  assert(all.size <= 5_000, String(all.size));
});

test("a stream that displaces a target for its own next shard is found again", () => {
  const { all, made } = targets();
  for (let i = 0; i < 4_096; i++) all.find("one", i);
  const target = all.find("one", 4_096); // all its other targets were idle
  assertEquals(all.size, 1);
  all.find("other", 0);
  assertStrictEquals(all.find("one", 4_096), target);
  assertEquals(made.length, 4_098);
});
