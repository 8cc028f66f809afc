// Tests the removal of crashed consumers: many of them cost the server few lookups and paced steps without a long stop,
// and consumers with pending entries stay.

import { assert, assertEquals, assertGreaterOrEqual, assertLess, assertLessOrEqual } from "@std/assert";
import { connect } from "../../../mod.ts";
import { pauseAfter, pauseBetween } from "../../../streamer/consumer/lifecycle/expiry/expiry_policy.ts";
import { consumerNames, groupOf, leftBy, pendingRows } from "../../support/consumer/grouping.ts";
import { Monitor, take } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const MANY = 2_000;
const member = { mode: "load-balanced", group, autoCommit: "disabled", autoClaimInterval: null } as const;

async function leak(key: string, count: number): Promise<void> {
  const script =
    "for i = 1, tonumber(ARGV[2]) do redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], ARGV[1], 'leaked' .. i) end";
  await server.command("EVAL", script, 1, key, group, count);
}

test(
  "thousands of leaked consumers are removed with few lookups and in batches, and those with pending entries stay",
  async () => {
    const { key } = await groupOf(server, group, 3);
    await leftBy(server, { key, group, consumer: "holds", count: 2 });
    await leak(key, MANY);
    await using monitor = await Monitor.open(server);
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, { ...member, consumerId: "me", consumerExpiry: 100 });
    assertEquals((await take(consumer, 1)).length, 1);
    await until(async () => !(await consumerNames(server, key, group)).some((name) => name.startsWith("leaked")), {
      timeout: 20_000,
    });
    await monitor.settled(server);
    const own = monitor.commands.filter((words) => words[0].toUpperCase() === "XINFO" && words[1] === "CONSUMERS");
    const evals = monitor.commands.filter(([name, text]) => name === "EVAL" && text.includes("DELCONSUMER"));
    assertLessOrEqual(evals.length, MANY / 200 + 10);
    assertGreaterOrEqual(evals.length, MANY / 200);
    assert(own.length > 0);
    assertEquals((await pendingRows(server, key, group, "holds")).length, 2);
  },
  { timeout: 40_000 },
);

test("consumers of a group that remove at the same time do not repeat each other's work, and complete it", async () => {
  const { key } = await groupOf(server, group, 0);
  await leak(key, 600);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  for (let i = 0; i < 4; i++) {
    await streamer.createConsumer(key, { ...member, consumerId: `me${i}`, consumerExpiry: 100, mkstream: true });
  }
  await until(async () => !(await consumerNames(server, key, group)).some((name) => name.startsWith("leaked")), {
    timeout: 20_000,
  });
  await monitor.settled(server);
  const removed = monitor.commands.filter(([name, verb, , , who]) =>
    name.toUpperCase() === "XGROUP" && verb.toUpperCase() === "DELCONSUMER" && who.startsWith("leaked")
  );
  assertLess(removed.length, 2 * 600);
}, { timeout: 40_000 });

test("deleting a consumer costs the same in a group of any size", async () => {
  const { key } = await groupOf(server, group, 0);
  await leak(key, 1_000);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  await using monitor = await Monitor.open(server);
  for (let i = 1; i <= 50; i++) assertEquals(await manager.deleteConsumer(key, group, `leaked${i}`), 0);
  await monitor.settled(server);
  assertEquals(monitor.count("XINFO", "CONSUMERS"), 0);
  assertEquals((await consumerNames(server, key, group)).length, 950);
});

test("looking and removing take a fortieth of the server's time, and less on a slow server", () => {
  const table = [
    [{ listed: 20_000, removed: 0, took: 15 }, 800],
    [{ listed: 0, removed: 200, took: 1 }, 48],
    [{ listed: 10, removed: 0, took: 0 }, 0.4],
    [{ listed: 10, removed: 100, took: 300 }, 600],
    [{ listed: 10_000_000, removed: 0, took: 60_000 }, 5_000],
  ] as const;
  for (const [step, pause] of table) assertLess(Math.abs(pauseAfter(step) - pause), 1, JSON.stringify(step));
});

test("each group has its turn within the expiry, and a node with many groups is asked every two minutes otherwise", () => {
  const day = 86_400_000;
  const table = [
    [30, [1], 30],
    [60_000, [3, 1], 15_000],
    [day, [], 600_000],
    [day, [1], 600_000],
    [day, [2, 1], 200_000],
    [day, [22, 21, 21], 22 * 120_000 / 64],
    [day, [1_024], day / 1_024],
  ] as const;
  for (const [expiry, nodes, pause] of table) assertEquals(pauseBetween(expiry, nodes), pause, `${expiry} ${nodes}`);
});
