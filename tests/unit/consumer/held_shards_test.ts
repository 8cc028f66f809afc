// Tests shards that the server refuses while it serves others: the delay of each, and what is reported.

import { assertEquals } from "@std/assert";
import { WaitingWatch } from "../../../resp/connection/retry/waiting.ts";
import { RedisError, StreamerError } from "../../../resp/errors.ts";
import { HeldShards } from "../../../streamer/consumer/server/held_shards.ts";
import { test } from "../../support/runner.ts";
import { FakeClock } from "../connection/fakes.ts";

const one = { streamKey: "one", shardId: 0 };
const two = { streamKey: "two", shardId: 0 };
const refusal = new RedisError("TRYAGAIN later", { command: "XREAD" });

function holding() {
  const clock = new FakeClock();
  const closing = new AbortController();
  const events: string[] = [];
  const waits = new WaitingWatch("node", clock, {
    waiting: ({ streamKey, cause }) => void events.push(`waiting ${streamKey} ${cause}`),
    resumed: ({ streamKey }) => void events.push(`resumed ${streamKey}`),
  });
  const held = new HeldShards<typeof one>({
    clock,
    reconnect: { initialDelay: 50, maxDelay: 1_000, maxAttempts: Infinity },
    waits,
    signal: closing.signal,
    onReleased: (shards) => void events.push(`released ${shards.map(({ streamKey }) => streamKey)}`),
  });
  return { clock, events, held, close: () => closing.abort(new StreamerError("DISCONNECTED", "closed")) };
}

test("a refused shard is held for a delay, and others are not", async () => {
  const { clock, events, held } = holding();
  held.hold([one], refusal);
  await clock.pass(49);
  assertEquals([held.has(one), held.has(two), events], [true, false, []]);
  await clock.pass(1);
  assertEquals([held.has(one), events], [false, ["released one"]]);
});

test("the delays grow with the time since the first refusal, and start again after an answer", async () => {
  const { clock, held } = holding();
  const delays: number[] = [];
  for (let i = 0; i < 60; i++) {
    const before = clock.now();
    held.hold([one], refusal);
    while (held.has(one)) await clock.pass(1);
    delays.push(clock.now() - before);
  }
  assertEquals([delays[0], delays.every((delay, i) => delay >= (delays[i - 1] ?? 0)), delays.at(-1)], [
    50,
    true,
    1_000,
  ]);
  held.answered([one]);
  held.hold([one], refusal);
  await clock.pass(50);
  assertEquals(held.has(one), false);
  held.answered([one]);
  assertEquals(clock.running, 0);
});

test("long refusals of a stream are reported, until it is answered", async () => {
  const { clock, events, held } = holding();
  held.hold([one], refusal);
  while (clock.now() < 4_000) {
    await clock.pass(10);
    if (!held.has(one)) held.hold([one], refusal);
  }
  held.answered([one, two]);
  assertEquals(events.filter((event) => !event.startsWith("released")), [`waiting one ${refusal}`, "resumed one"]);
});

test("what is noted elsewhere is not reported, and is awaited before the delay", async () => {
  const { clock, events, held } = holding();
  const { promise, resolve } = Promise.withResolvers<void>();
  held.hold([one], refusal, { isNoted: false, before: () => promise });
  await clock.pass(10_000);
  assertEquals([held.has(one), events], [true, []]);
  resolve();
  await clock.pass(50);
  assertEquals([held.has(one), events], [false, ["released one"]]);
});

test("at the end no shard waits any more, and no timer is left", async () => {
  const { clock, events, held, close } = holding();
  held.hold([one], refusal);
  held.hold([two], refusal);
  close();
  await clock.pass(10_000);
  assertEquals([events, clock.running], [[], 0]);
});
