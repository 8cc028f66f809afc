// Tests that all connections of a node share their attempts: one at a time, rarely, and all are admitted when the node
// has proved that it works.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { DISMISSED, ReconnectGate, type Ticket } from "../../../resp/connection/reconnect/gate.ts";
import { PROBATION } from "../../../resp/connection/reconnect/outage.ts";
import { StreamerError } from "../../../resp/errors.ts";
import { test } from "../../support/runner.ts";
import { FakeClock, settle } from "./fakes.ts";

const defaults = { initialDelay: 50, maxDelay: 2_000, maxAttempts: Infinity };
const forever = new AbortController().signal;

function gateWith(options: Partial<typeof defaults> = {}) {
  const clock = new FakeClock();
  const retries: { attempt: number; delay: number; cause: unknown }[] = [];
  const gate = new ReconnectGate({ ...defaults, ...options }, clock, (retry) => retries.push(retry));
  /** A connection that lasts for some time and is then lost. */
  const lose = (cause: unknown, lifetime = 60_000) => {
    const ticket = gate.opened();
    clock.jump(lifetime);
    gate.lost(ticket, { cause, served: true });
  };
  return { clock, retries, gate, lose };
}

/** Whether a promise has settled by now. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  promise.then(() => done = true, () => done = true);
  await settle();
  return done;
}

/** Which of several promises have been fulfilled by now. */
async function admitted(waits: readonly Promise<unknown>[]): Promise<boolean[]> {
  return await Promise.all(waits.map(settled));
}

function assertTenASecond(times: readonly number[]): void {
  for (const [i, time] of times.entries()) {
    const within = times.slice(i).filter((other) => other < time + 1_000).length;
    assert(within <= 10, `${within} tries within a second from ${time} on`);
  }
}

test("without an outage every connection is admitted at once", async () => {
  const { gate, clock, retries } = gateWith();
  for (let i = 0; i < 30; i++) gate.succeeded(await gate.enter(forever));
  assertEquals([clock.running, retries.length], [0, 0]);
});

test("after a loss one connection waits for its turn and tries, the others wait for its result", async () => {
  const { gate, clock, retries, lose } = gateWith();
  const cause = new Error("lost");
  lose(cause);
  const waits = [gate.enter(forever), gate.enter(forever), gate.enter(forever)];
  assertEquals(await admitted(waits), [false, false, false]);
  assertEquals(retries, [{ attempt: 1, delay: 50, cause }]);
  await clock.pass(50);
  assertEquals(await admitted(waits), [true, false, false]);
  await clock.pass(60_000);
  assertEquals(await admitted(waits), [true, false, false]);
  gate.succeeded(await waits[0]);
  await Promise.all(waits);
  assertEquals([clock.running, retries.length], [0, 1]);
});

test("during an attempt, no connection that arrives or is lost later starts another one", async () => {
  const { gate, clock, retries, lose } = gateWith();
  const late = gate.opened();
  lose(new Error("lost"));
  const first = gate.enter(forever);
  await clock.pass(50);
  await first;
  gate.lost(late, { cause: new Error("lost too"), served: true });
  const waits = Array.from({ length: 5 }, () => gate.enter(forever));
  await clock.pass(60_000);
  assertEquals(await admitted(waits), [false, false, false, false, false]);
  assertEquals([retries.length, clock.running], [1, 0]);
  gate.failed(await first, new Error("no"));
  await clock.pass(10_000);
  assertEquals(await admitted(waits), [true, false, false, false, false], "the next one has its turn");
});

test("each failure makes the next wait longer and is its cause; the failed connection is last", async () => {
  const { gate, clock, retries, lose } = gateWith();
  lose(new Error("lost"));
  const causes: unknown[] = [];
  for (let i = 1; i <= 30; i++) {
    const entered = gate.enter(forever);
    await clock.pass(retries[retries.length - 1].delay);
    const ticket = await entered;
    await clock.pass(1_000); // the attempt takes its time
    const cause = new Error(`failure ${i}`);
    causes.push(cause);
    gate.failed(ticket, cause);
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

test("a connection that has lasted ends the outage: the next loss starts a new one", async () => {
  const { gate, clock, retries, lose } = gateWith();
  lose(new Error("lost"));
  const first = gate.enter(forever);
  await clock.pass(100);
  gate.failed(await first, new Error("no"));
  const second = gate.enter(forever);
  await clock.pass(100_000);
  const ticket = await second;
  gate.succeeded(ticket);
  await clock.pass(PROBATION);
  gate.lost(ticket, { cause: new Error("lost again"), served: false });
  gate.enter(forever).catch(() => {});
  assertEquals(retries.map(({ attempt, delay }) => [attempt, delay]), [[1, 50], [2, 50], [1, 50]]);
});

test("a connection lost right after its handshake does not: the delay grows with the outage", async () => {
  const { gate, clock, retries, lose } = gateWith({ maxDelay: 60_000 });
  lose(new Error("lost"));
  for (let i = 0; i < 40; i++) {
    const entered = gate.enter(forever);
    await clock.pass(retries[retries.length - 1].delay);
    const ticket = await entered;
    gate.succeeded(ticket);
    await clock.pass(5);
    gate.lost(ticket, { cause: new Error("dropped"), served: false });
  }
  assert(retries[39].delay > 500, `the delay is ${retries[39].delay} ms after ${clock.now()} ms`);
});

test("the success of one does not end the outage that another has reported, nor does it admit all", async () => {
  const { gate, clock, lose } = gateWith();
  lose(new Error("lost"));
  const first = gate.enter(forever);
  const others = Array.from({ length: 50 }, () => gate.enter(forever));
  await clock.pass(50);
  gate.succeeded(await first);
  const after = await admitted(others);
  assertEquals(after.filter(Boolean).length, 9, "ten within a second, the first included");
  for (const [i, other] of others.entries()) if (after[i]) gate.succeeded(await other);
  await clock.pass(PROBATION);
  assertEquals((await admitted(others)).filter(Boolean).length, 50, "all, when the first has lasted");
});

for (const count of [1, 2, 10, 100]) {
  for (const lifetime of [0, 5, 400, 3_000]) {
    test(`${count} connections that are cut ${lifetime} ms after each handshake try ten times a second, not more`, async () => {
      const { gate, clock } = gateWith({ initialDelay: 1 });
      const times: number[] = [];
      let running = true;
      async function connection(): Promise<void> {
        let ticket: Ticket = gate.opened();
        await new Promise<void>((resolve) => clock.after(lifetime, resolve));
        while (running) {
          gate.lost(ticket, { cause: new Error("dropped"), served: lifetime > 100 });
          ticket = await gate.enter(forever);
          times.push(clock.now());
          await new Promise<void>((resolve) => clock.after(1, resolve)); // the handshake
          gate.succeeded(ticket);
          await new Promise<void>((resolve) => clock.after(lifetime, resolve));
        }
      }
      const all = Array.from({ length: count }, connection);
      await clock.pass(20_000);
      running = false;
      assert(times.length >= 5, `only ${times.length} tries`);
      assertTenASecond(times);
      for (const one of all) one.catch(() => {});
    });
  }
}

test("when flapping ends all are admitted within seconds", async () => {
  const { gate, clock } = gateWith();
  let flapping = true;
  let up = 0;
  async function connection(): Promise<void> {
    let ticket = gate.opened();
    for (;;) {
      await new Promise<void>((resolve) => clock.after(3, resolve));
      if (!flapping) break;
      gate.lost(ticket, { cause: new Error("dropped"), served: false });
      ticket = await gate.enter(forever);
      gate.succeeded(ticket);
    }
    up++;
  }
  const all = Array.from({ length: 40 }, connection);
  await clock.pass(30_000);
  flapping = false;
  await clock.pass(4_000);
  assertEquals(up, 40);
  await Promise.all(all);
});

test("new connections wait with the lost ones, and none is skipped", async () => {
  const { gate, clock, lose } = gateWith();
  lose(new Error("lost"));
  const order: number[] = [];
  const waits = Array.from({ length: 8 }, async (_, i) => {
    const ticket = await gate.enter(forever);
    order.push(i);
    await clock.pass(0);
    gate.failed(ticket, new Error("no"));
  });
  for (let i = 0; i < 400; i++) await clock.pass(10);
  await Promise.all(waits);
  assertEquals(order, [0, 1, 2, 3, 4, 5, 6, 7]);
});

test("a failure that is final for one counts for the rate: a caller that tries again at once has to wait", async () => {
  const { gate, clock } = gateWith();
  const times: number[] = [];
  async function stubborn(): Promise<void> {
    for (;;) {
      const ticket = await gate.enter(forever);
      times.push(clock.now());
      gate.failed(ticket, new Error("a wrong password"));
      if (clock.now() > 9_000) return;
    }
  }
  const asking = stubborn();
  await clock.pass(20_000);
  await asking;
  assertTenASecond(times);
});

test("a caller that arrives long after the last failure does not wait", async () => {
  const { gate, clock, retries } = gateWith();
  gate.failed(await gate.enter(forever), new Error("no"));
  await clock.pass(3_600_000);
  const late = gate.enter(forever);
  await clock.pass(0);
  assertEquals(await settled(late), true);
  assertEquals(retries.map(({ delay }) => delay), [0]);
});

test("a caller that leaves on a signal passes the turn to others, and stops the timer if none is left", async () => {
  const { gate, clock, lose } = gateWith();
  lose(new Error("lost"));
  const [one, two] = [new AbortController(), new AbortController()];
  const first = gate.enter(one.signal);
  const second = gate.enter(two.signal);
  first.catch(() => {});
  const reason = new Error("gone");
  one.abort(reason);
  assertStrictEquals(await assertRejects(() => first), reason);
  await clock.pass(50);
  gate.abandoned(await second); // the second leaves during its attempt
  const third = gate.enter(forever);
  await clock.pass(1_000);
  gate.failed(await third, new Error("no"));
  const last = new AbortController();
  const fourth = gate.enter(last.signal);
  fourth.catch(() => {});
  assertEquals(clock.running, 1);
  last.abort(reason);
  await assertRejects(() => fourth);
  assertEquals(clock.running, 0);
  assertStrictEquals(await assertRejects(() => gate.enter(AbortSignal.abort(reason))), reason);
});

test("a node that works holds no timer, so that a process can exit", async () => {
  const { gate, clock, lose } = gateWith();
  lose(new Error("lost"));
  const entered = gate.enter(forever);
  await clock.pass(50);
  gate.succeeded(await entered);
  assertEquals(clock.running, 0);
});

test("when the attempts have run out waiting callers are refused, and the next one starts a new round", async () => {
  const { gate, clock, retries, lose } = gateWith({ maxAttempts: 2 });
  lose(new Error("lost"));
  const waits = [gate.enter(forever), gate.enter(forever), gate.enter(forever)];
  for (const wait of waits) wait.catch(() => {});
  await clock.pass(50);
  gate.failed(await waits[0], new Error("first"));
  await clock.pass(100);
  const cause = new Error("second");
  gate.failed(await waits[1], cause);
  const error = await assertRejects(() => waits[2]);
  assertInstanceOf(error, StreamerError);
  assertEquals([error.code, error.cause], ["DISCONNECTED", cause]);
  assertEquals([retries.length, clock.running], [2, 0]);
  await gate.enter(forever); // a new round
});

test("a connection that was opened resets the count of attempts, even if it is soon lost", async () => {
  const { gate, clock, retries, lose } = gateWith({ maxAttempts: 1 });
  lose(new Error("lost"));
  for (let i = 0; i < 5; i++) {
    const entered = gate.enter(forever);
    await clock.pass(2_000);
    const ticket = await entered;
    gate.succeeded(ticket);
    gate.lost(ticket, { cause: new Error("dropped"), served: true });
  }
  assertEquals(retries.map(({ attempt }) => attempt), [1, 1, 1, 1, 1]);
});

test("without any attempts a lost connection is refused at once, and may not try at any rate", async () => {
  const { gate, clock, lose } = gateWith({ maxAttempts: 0 });
  lose(new Error("lost"));
  assertEquals((await assertRejects(() => gate.enter(forever), StreamerError)).code, "DISCONNECTED");
  const times: number[] = [];
  async function stubborn(): Promise<void> {
    while (clock.now() < 80_000) {
      await gate.enter(forever).then((ticket) => {
        times.push(clock.now());
        gate.failed(ticket, new Error("no"));
      }, () => {});
    }
  }
  const asking = stubborn();
  await clock.pass(30_000);
  await asking;
  assertTenASecond(times);
});

test("connections that are dismissed are rejected at once, and those that come later wait on", async () => {
  const { gate, clock, lose } = gateWith();
  lose(new Error("lost"));
  const waits = [gate.enter(forever), gate.enter(forever)];
  gate.dismiss();
  for (const wait of waits) assertStrictEquals(await wait.catch((error) => error), DISMISSED);
  assertEquals(clock.running, 0);
  const later = gate.enter(forever);
  assertEquals(await settled(later), false);
  await clock.pass(50);
  assertEquals((await later).waited, true);
});
