// Owns the proof that all connections of a node share their tries: one at a time, rarely, and all in with the first success.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { ReconnectGate } from "../../../resp/connection/gate.ts";
import { StreamerError } from "../../../resp/errors.ts";
import { test } from "../../support/runner.ts";
import { FakeClock, settle } from "./fakes.ts";

const defaults = { initialDelay: 50, maxDelay: 2_000, maxAttempts: Infinity };
const forever = new AbortController().signal;

function gateWith(options: Partial<typeof defaults> = {}) {
  const clock = new FakeClock();
  const retries: { attempt: number; delay: number; cause: unknown }[] = [];
  const gate = new ReconnectGate({ ...defaults, ...options }, clock, (retry) => retries.push(retry));
  return { clock, retries, gate };
}

/** Whether a promise has settled by now. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  promise.then(() => done = true, () => done = true);
  await settle();
  return done;
}

test("while all is well everybody comes in at once", async () => {
  const { gate, clock, retries } = gateWith();
  for (let i = 0; i < 3; i++) await gate.enter(forever);
  assertEquals([clock.running, retries.length], [0, 0]);
});

test("after a loss one waits for its turn and tries, the others wait for how it goes", async () => {
  const { gate, clock, retries } = gateWith();
  const cause = new Error("lost");
  gate.lost(cause);
  const waits = [gate.enter(forever), gate.enter(forever), gate.enter(forever)];
  assertEquals(await Promise.all(waits.map(settled)), [false, false, false]);
  assertEquals(retries, [{ attempt: 1, delay: 50, cause }]);
  await clock.pass(50);
  assertEquals(await Promise.all(waits.map(settled)), [true, false, false]);
  await clock.pass(60_000);
  assertEquals(await Promise.all(waits.map(settled)), [true, false, false]);
  gate.succeeded();
  await Promise.all(waits);
  assertEquals([clock.running, retries.length], [0, 1]);
});

test("each failure makes the next wait longer and is its cause; who failed comes again behind the others", async () => {
  const { gate, clock, retries } = gateWith();
  gate.lost(new Error("lost"));
  const causes: unknown[] = [];
  for (let i = 1; i <= 30; i++) {
    const entered = gate.enter(forever);
    await clock.pass(retries[retries.length - 1].delay);
    await entered;
    await clock.pass(1_000); // the attempt takes its time
    const cause = new Error(`failure ${i}`);
    causes.push(cause);
    gate.failed(cause);
  }
  gate.enter(forever).catch(() => {});
  assertEquals(retries.map(({ attempt }) => attempt), Array.from({ length: 31 }, (_, i) => i + 1));
  assertEquals(retries.slice(1).map(({ cause }) => cause), causes);
  retries.reduce((before, after) => {
    assert(after.delay >= before.delay);
    return after;
  });
  assertEquals(retries[30].delay, 2_000);
});

test("a success makes the next loss begin anew", async () => {
  const { gate, clock, retries } = gateWith();
  gate.lost(new Error("lost"));
  const first = gate.enter(forever);
  await clock.pass(100);
  await first;
  await clock.pass(100_000);
  gate.failed(new Error("no"));
  const second = gate.enter(forever);
  await clock.pass(3_000);
  await second;
  gate.succeeded();
  gate.lost(new Error("lost again"));
  gate.enter(forever).catch(() => {});
  assertEquals(retries.map(({ attempt, delay }) => [attempt, delay]), [[1, 50], [2, 2_000], [1, 50]]);
});

test("a node that accepts and drops again and again is tried ten times a second, not more", async () => {
  const { gate, clock } = gateWith({ initialDelay: 1 });
  const times: number[] = [];
  for (let i = 0; i < 60; i++) {
    gate.lost(new Error("dropped"));
    const entered = gate.enter(forever);
    while (!(await settled(entered))) await clock.pass(1);
    times.push(clock.now());
    gate.succeeded();
  }
  for (const [i, time] of times.entries()) {
    assert(times.slice(i).filter((other) => other < time + 1_000).length <= 10, `too many from ${time} on`);
  }
});

test("who goes away on a signal leaves the turn to others, and the timer when nobody is left", async () => {
  const { gate, clock } = gateWith();
  gate.lost(new Error("lost"));
  const [one, two] = [new AbortController(), new AbortController()];
  const first = gate.enter(one.signal);
  const second = gate.enter(two.signal);
  first.catch(() => {});
  const reason = new Error("gone");
  one.abort(reason);
  assertStrictEquals(await assertRejects(() => first), reason);
  await clock.pass(50);
  await second;
  gate.abandoned(); // the second goes away in the middle of its try
  const third = gate.enter(forever);
  await clock.pass(1_000);
  await third;
  gate.failed(new Error("no"));
  const last = new AbortController();
  const fourth = gate.enter(last.signal);
  fourth.catch(() => {});
  assertEquals(clock.running, 1);
  last.abort(reason);
  await assertRejects(() => fourth);
  assertEquals(clock.running, 0);
  assertStrictEquals(await assertRejects(() => gate.enter(AbortSignal.abort(reason))), reason);
});

test("when the attempts have run out all who wait are refused, and the next one begins anew", async () => {
  const { gate, clock, retries } = gateWith({ maxAttempts: 2 });
  gate.lost(new Error("lost"));
  const waits = [gate.enter(forever), gate.enter(forever), gate.enter(forever)];
  for (const wait of waits) wait.catch(() => {});
  await clock.pass(50);
  await waits[0];
  gate.failed(new Error("first"));
  await clock.pass(100);
  await waits[1];
  const cause = new Error("second");
  gate.failed(cause);
  const error = await assertRejects(() => waits[2]);
  assertInstanceOf(error, StreamerError);
  assertEquals([error.code, error.cause], ["DISCONNECTED", cause]);
  assertEquals([retries.length, clock.running], [2, 0]);
  await gate.enter(forever); // a new round
});

test("without any attempts whoever lost its connection is refused at once", async () => {
  const { gate } = gateWith({ maxAttempts: 0 });
  gate.lost(new Error("lost"));
  assertEquals((await assertRejects(() => gate.enter(forever), StreamerError)).code, "DISCONNECTED");
});
