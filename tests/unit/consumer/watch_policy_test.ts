// Tests how shards are read where changes cannot be watched, as decisions.

import { assertEquals } from "@std/assert";
import { MOST_CONNECTIONS, OwnConnections, pollDelay } from "../../../streamer/consumer/server/watch_policy.ts";
import { test } from "../../support/runner.ts";

test("polling is fast while entries arrive, and slows down to ten rounds a second", () => {
  const delays: number[] = [];
  for (let i = 0, last: number | undefined; i < 7; i++) delays.push(last = pollDelay(last, false));
  assertEquals(delays, [5, 10, 20, 40, 80, 100, 100]);
  assertEquals(pollDelay(100, true), 5);
});

test("the first 16 slots have connections of their own, and keep them", () => {
  const own = new OwnConnections();
  const slots = Array.from({ length: 20 }, (_, slot) => slot);
  const admitted = () => slots.filter((slot) => own.admits(slot)).length;
  assertEquals([admitted(), own.admits(15), own.admits(16), admitted()], [MOST_CONNECTIONS, true, false, 16]);
});

test("a slot that is read no more leaves its connection to the next one", () => {
  const own = new OwnConnections();
  for (let slot = 0; slot < 20; slot++) own.admits(slot);
  own.keep(new Set([0, 1, 2, 3, 17]));
  assertEquals([17, 18, 0].map((slot) => own.admits(slot)), [true, true, true]);
  const rest = Array.from({ length: 20 }, (_, slot) => 20 + slot);
  assertEquals(rest.filter((slot) => own.admits(slot)).length, 10);
});
