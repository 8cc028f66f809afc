// Failovers that real Sentinels carry out, under load: nothing acknowledged is lost, and everything stays in order.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type SendReceipt } from "../../../mod.ts";
import { EAGER, eventsOf } from "../../support/consumer/group_faults.ts";
import { SteadyLoad } from "../../support/consumer/steady_load.ts";
import { nextEvent } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { checkStream, endingsOf, entriesOf } from "../../support/producer/stream_checks.ts";
import { test } from "../../support/runner.ts";
import { type Sentinels, startSentinels } from "../../support/servers/sentinel.ts";
import { canStartServers, type OwnServer } from "../../support/servers/server.ts";

const options = { ignore: !(await canStartServers()), timeout: 90_000 };

const name = ({ host, port }: OwnServer) => `${host}:${port}`;

/** A failover by request as a careful operator does it: until the Sentinels know the new primary, the old one takes no writes. */
async function failOverGently(set: Sentinels): Promise<OwnServer> {
  const old = set.primary;
  await old.command("CLIENT", "PAUSE", 20_000, "WRITE");
  const promoted = await set.failOver();
  await old.command("CLIENT", "UNPAUSE");
  return promoted;
}

/** Runs a load while something happens, and checks what came of it. Resolves to the milliseconds from the switch to the next receipt. */
async function whileLoaded(set: Sentinels, happens: () => Promise<unknown>): Promise<number> {
  await using streamer = await connect(set.url, EAGER);
  const moved = eventsOf(streamer, "moved");
  await using load = await SteadyLoad.start(streamer, uniqueKey());
  await load.acked();
  await sleep(500);
  const [from, to] = [name(set.primary), name(set.replica)];
  await happens();
  const resumed = await load.acked();
  await sleep(500);
  await load.finish(set.primary);
  assertEquals(moved, [{ slots: [[0, 16_383]], from, to }]);
  assertEquals(streamer.stats().nodes.map(({ name, slots }) => [name, slots]), [[to, 16_384]]);
  return resumed;
}

test("a primary is killed: sends go on soon after the election", async () => {
  await using set = await startSentinels({ downAfter: 1_500 });
  const resumed = await whileLoaded(set, async () => {
    await set.killPrimary();
    await set.untilSwitched();
  });
  assert(resumed < 3_000, `${resumed} ms`);
}, options);

test("a primary is suspended: sends go on soon after the election, long before a timeout", async () => {
  await using set = await startSentinels({ downAfter: 1_500 });
  const old = set.primary;
  const resumed = await whileLoaded(set, async () => {
    await old.kill("SIGSTOP");
    await set.untilSwitched();
  });
  await old.kill("SIGCONT");
  assert(resumed < 3_000, `${resumed} ms`);
}, options);

test("a failover by request, with writes paused, loses nothing", async () => {
  await using set = await startSentinels({ downAfter: 1_500 });
  const resumed = await whileLoaded(set, () => failOverGently(set));
  assert(resumed < 3_000, `${resumed} ms`);
}, options);

test("three failovers by request, one after another", async () => {
  await using set = await startSentinels({ downAfter: 1_500 });
  await using streamer = await connect(set.url, EAGER);
  const moved = eventsOf(streamer, "moved");
  const key = uniqueKey();
  await using load = await SteadyLoad.start(streamer, key);
  const places = [name(set.primary)];
  for (let times = 0; times < 3; times++) {
    await load.acked();
    places.push(name(await failOverGently(set)));
    await load.acked();
    await set.untilReplica();
  }
  await load.finish(set.primary, { cuts: 3, most: 600 });
  assertEquals(moved.map(({ from, to }) => [from, to]), [0, 1, 2].map((i) => [places[i], places[i + 1]]));
}, options);

test(
  "a failover by request while the old primary takes writes: connections follow the Sentinels, and not the old primary",
  async () => {
    await using set = await startSentinels({ downAfter: 1_500 });
    await using streamer = await connect(set.url, EAGER);
    const key = uniqueKey();
    const producer = await streamer.createProducer(key);
    const sends: (readonly [string, SendReceipt])[] = [];
    const send = async (during: () => boolean) => {
      while (during()) {
        sends.push([`${sends.length}`, producer.send(`${sends.length}`)]);
        await sleep(2);
      }
    };
    const old = set.primary;
    const moving = nextEvent(streamer, "moved", { timeout: 30_000 });
    let isMoved = false;
    const sending = send(() => !isMoved);
    await sleep(300);
    await set.failOver();
    const switched = performance.now();
    await moving;
    isMoved = true;
    const late = performance.now() - switched;
    assert(late < 1_000, `${late} ms after the Sentinels`);
    assertStringIncludes(String(await old.command("INFO", "replication")), "role:master", "it does not know yet");
    await sending;
    await producer.flush();
    const endings = await endingsOf(sends);
    const entries = await entriesOf(set.primary, key);
    const stored = new Set(entries.map(({ payload }) => payload));
    const lost = endings.flatMap(({ payload }) => stored.has(payload) ? [] : Number(payload));
    // A server that was replaced acknowledges what it will discard. These messages lie between all others.
    assertEquals(lost, lost.map((_, i) => lost[0] + i));
    checkStream(entries, endings.filter(({ payload }) => stored.has(payload)), { delivery: "at-least-once" });
  },
  options,
);

test("an old primary that returns and still calls itself one gets nothing", async () => {
  await using set = await startSentinels({ downAfter: 1_500 });
  await using streamer = await connect(set.url, EAGER);
  const connects = eventsOf(streamer, "connect");
  await using load = await SteadyLoad.start(streamer, uniqueKey());
  await load.acked();
  const old = set.primary;
  await set.killPrimary();
  await set.untilSwitched();
  await load.acked();
  const before = connects.length;
  await old.restart(); // as a primary, until the Sentinels make it a replica
  for (let times = 0; times < 5; times++) {
    await set.primary.command("CLIENT", "KILL", "TYPE", "normal");
    await load.acked();
  }
  await set.untilReplica();
  await load.finish(set.primary, { cuts: 7, most: 1_000 });
  const nodes = connects.slice(before).map(({ node }) => node);
  assert(nodes.length >= 5 && nodes.every((node) => node === name(set.primary)), nodes.join());
}, options);

test("a failover while the Sentinel that was asked is gone", async () => {
  await using set = await startSentinels({ downAfter: 1_500 });
  await using streamer = await connect(set.url, EAGER);
  await using load = await SteadyLoad.start(streamer, uniqueKey());
  await load.acked();
  await set.sentinels[0].kill("SIGKILL");
  await set.killPrimary();
  await set.untilSwitched();
  await load.acked();
  await load.finish(set.primary);
}, options);
