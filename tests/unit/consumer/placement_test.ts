// Tests where keys are read: at the owner of their slot, or at the target of redirects.

import { assertEquals } from "@std/assert";
import { RedisError } from "../../../resp/errors.ts";
import type { Redirect, Router } from "../../../streamer/cluster/router.ts";
import { Placement } from "../../../streamer/consumer/server/placement.ts";
import { test } from "../../support/runner.ts";
import { FakeClock } from "../connection/fakes.ts";

/** A router of two slots, whose owners a test sets. */
class Slots {
  readonly owners = new Map([[0, "a"], [1, "b"]]);
  readonly clock = new FakeClock();
  asked = 0;
  redirect: Redirect | undefined;

  get router(): Router {
    const slotOf = (key: string) => {
      this.asked++;
      return key.length % 2;
    };
    // A checked border: a placement uses no other part of a router.
    return {
      clock: this.clock,
      slotOf,
      nodeOf: (slot: number) => this.owners.get(slot),
      primaries: () => ["a", "b"],
      redirected: () => this.redirect,
    } as unknown as Router;
  }
}

const refusal = new RedisError("MOVED 0 b", { command: "XREAD" });

test("a key is read at the owner of its slot, which is computed once", () => {
  const slots = new Slots();
  const placement = new Placement(slots.router);
  assertEquals([placement.of("kk").node, placement.of("k").node, placement.of("kk").node], ["a", "b", "a"]);
  slots.owners.set(0, "b");
  assertEquals([placement.of("kk").name, slots.asked], [placement.of("k").name, 2]);
});

test("a redirect moves a key until its slot changes, and reports it once", () => {
  const slots = new Slots();
  const placement = new Placement(slots.router);
  const before = placement.of("kk");
  assertEquals(placement.redirect("kk", before, refusal), false, "without a node the same one is used again");
  slots.redirect = { node: "b", asking: false };
  assertEquals(placement.redirect("kk", before, refusal), true);
  const after = placement.of("kk");
  assertEquals([after.node, placement.of("k").name], ["b", after.name]);
  assertEquals(placement.redirect("kk", after, refusal), false, "it points to where the key is read already");
  placement.changed({ slots: [1] });
  assertEquals(placement.of("kk").node, "b");
  placement.changed({ slots: [0] });
  assertEquals(placement.of("kk").node, "a");
});

test("a key whose slot is moving is read apart from those that the node owns", () => {
  const slots = new Slots();
  const placement = new Placement(slots.router);
  slots.redirect = { node: "b", asking: true };
  assertEquals(placement.redirect("kk", placement.of("kk"), refusal), true);
  const { name, ...place } = placement.of("kk");
  assertEquals([place, name === placement.of("k").name], [{ node: "b", asking: true }, false]);
  placement.forget([{ redisKey: "kk" }]);
  assertEquals(placement.of("kk").node, "a");
});

test("after 16 redirects in a row each one is followed only after a delay that grows, until a read is answered", async () => {
  const slots = new Slots();
  const placement = new Placement(slots.router);
  const kk = [{ redisKey: "kk" }];
  const { signal } = new AbortController();
  const hop = () => {
    const from = placement.of("kk");
    slots.redirect = { node: from.node === "a" ? "b" : "a", asking: false };
    return placement.redirect("kk", from, refusal);
  };
  const hops = (count: number) => Array.from({ length: count }, hop).filter(Boolean).length;
  assertEquals(hops(10), 10);
  placement.answered(kk);
  assertEquals([hops(16), placement.rest(kk, signal)], [16, undefined]);
  const delays: number[] = [];
  for (let i = 0; i < 7; i++) {
    const { name } = placement.of("kk");
    assertEquals(hop(), false);
    slots.owners.set(0, slots.owners.get(0) === "a" ? "b" : "a");
    placement.changed({ slots: [0] }); // what the router says meanwhile does not move it
    assertEquals(placement.of("kk").name, name);
    const start = slots.clock.now();
    const resting = placement.rest(kk, signal)?.();
    await slots.clock.pass(slots.clock.next ?? 0);
    await resting;
    delays.push(slots.clock.now() - start);
    assertEquals(hop(), true);
  }
  assertEquals(delays, [50, 100, 200, 400, 800, 1_000, 1_000]);
  placement.answered(kk);
  assertEquals([placement.rest(kk, signal), hops(16)], [undefined, 16]);
});

test("a key that rests after many redirects is read from the owner of its slot if the connection is lost", () => {
  const slots = new Slots();
  const placement = new Placement(slots.router);
  for (let i = 0; i < 17; i++) {
    const from = placement.of("kk");
    slots.redirect = { node: from.node === "a" ? "b" : "a", asking: true };
    placement.redirect("kk", from, refusal);
  }
  slots.owners.set(0, "c");
  placement.forget([{ redisKey: "kk" }]);
  assertEquals(placement.of("kk").node, "c");
});

/** A router of one node, where the slot of a key is its number. */
function numbered(): Placement {
  // A checked border: a placement uses no other part of a router.
  return new Placement({ slotOf: Number, nodeOf: () => "a", primaries: () => ["a"] } as unknown as Router);
}

test("at a node without tracking the first 16 slots are read apart, and the others are polled together", () => {
  const placement = numbered();
  const keys = Array.from({ length: 18 }, (_, slot) => `${slot}`);
  assertEquals(new Set(keys.map((key) => placement.of(key).name)).size, 1);
  placement.untrack("a");
  placement.untrack("a");
  const places = keys.map((key) => placement.of(key));
  assertEquals(new Set(places.map(({ name }) => name)).size, 17);
  assertEquals(places.filter(({ isPolled }) => isPolled).length, 2);
  assertEquals(placement.of(" 3").name, places[3].name, "keys of one slot are read together");
});

test("a slot that is no longer read leaves its place to one that was polled", () => {
  const placement = numbered();
  placement.untrack("a");
  const keys = Array.from({ length: 18 }, (_, slot) => `${slot}`);
  for (const key of keys) placement.of(key);
  const read = keys.slice(1);
  placement.keep(read.map((redisKey) => ({ redisKey })));
  assertEquals(read.filter((key) => placement.of(key).isPolled), ["17"]);
});
