// Tests the scripts on a server, called directly: they check and change in one step, so that no race is needed to see
// that they check.

import { assertEquals } from "@std/assert";
import { removeHoldingNothing } from "../../../streamer/commands/consumer_scripts.ts";
import { giveBack, redeliver, regain, setIdle } from "../../../streamer/commands/scripts.ts";
import { consumerNames, groupOf, leftBy, pendingRows, readBy } from "../../support/consumer/grouping.ts";
import { test } from "../../support/runner.ts";
import { type Reply, sharedServer, type Word } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const me = { group, consumer: "me" };

function run({ args }: { readonly args: readonly unknown[] }): Promise<Reply> {
  return server.command(...args as readonly Word[]); // A checked border: these commands have words and numbers only.
}

test("consumers are removed only without pending entries, and none if the first is gone, since another consumer removes them then", async () => {
  const { key } = await groupOf(server, group, 1);
  await leftBy(server, { key, group, consumer: "holds" });
  for (const name of ["empty", "other"]) await server.command("XGROUP", "CREATECONSUMER", key, group, name);
  const remove = (...consumers: string[]) => run(removeHoldingNothing({ redisKey: key, group }, consumers));
  assertEquals(await remove("holds"), 0);
  assertEquals(await remove("nobody", "empty"), 0);
  assertEquals((await consumerNames(server, key, group)).sort(), ["empty", "holds", "other"]);
  assertEquals(await remove("empty", "holds", "nobody", "other"), 3);
  assertEquals(await consumerNames(server, key, group), ["holds"]);
  assertEquals((await pendingRows(server, key, group)).length, 1);
});

test("renewing resets the idle time of this consumer's entries, of no others, and counts no delivery", async () => {
  const { key, ids } = await groupOf(server, group, 4);
  await leftBy(server, { key, group, consumer: "me", count: 2 });
  await leftBy(server, { key, group, consumer: "other", count: 1 });
  await server.command("XDEL", key, ids[1]);
  assertEquals(await run(setIdle(me, { redisKey: key, ids: [ids[2], ids[0], ids[3], ids[1]], idle: 0 })), [0, 1, 3, 2]);
  const rows = await pendingRows(server, key, group);
  const seen = rows.filter(({ id }) => id !== ids[1]).map((row) => [row.id, row.consumer, row.deliveries]);
  assertEquals(seen, [[ids[0], "me", 1], [ids[2], "other", 1]]);
  assertEquals(rows.filter(({ idle }) => idle > 3_000_000).map(({ id }) => id).includes(ids[0]), false);
  assertEquals(rows.filter(({ idle }) => idle > 3_000_000).map(({ id }) => id).includes(ids[2]), true);
});

test("redelivering sets the count, has the same effect twice, and does not touch another consumer's entries", async () => {
  const { key, ids } = await groupOf(server, group, 2);
  await readBy(server, { key, group, consumer: "me", count: 1 });
  await readBy(server, { key, group, consumer: "other", count: 1 });
  const again = (id: string) => run(redeliver(me, { redisKey: key, id, deliveries: 5 }));
  for (let i = 0; i < 2; i++) assertEquals(await again(ids[0]), [[ids[0], ["msg", "0"]]]);
  assertEquals([await again(ids[1]), await again("0-1")], [null, null]);
  const rows = await pendingRows(server, key, group);
  assertEquals(rows.map(({ consumer, deliveries }) => [consumer, deliveries]), [["me", 5], ["other", 1]]);
});

test("releasing sets the idle time and the count of this consumer's entries, has the same effect twice, and never raises a count", async () => {
  const { key, ids } = await groupOf(server, group, 3);
  await readBy(server, { key, group, consumer: "me", count: 2 });
  await readBy(server, { key, group, consumer: "other", count: 1 });
  const back = (deliveries: number) => run(giveBack(me, { redisKey: key, ids, idle: 86_400_000, deliveries }));
  assertEquals([await back(5), await back(0), await back(0)], [0, 2, 2]);
  const rows = await pendingRows(server, key, group);
  assertEquals(rows.map(({ consumer, deliveries, idle }) => [consumer, deliveries, idle > 60_000]), [
    ["me", 0, true],
    ["me", 0, true],
    ["other", 1, false],
  ]);
});

test("reclaiming keeps this consumer's entries without a newer delivery, and returns the owners of the rest", async () => {
  const { key, ids } = await groupOf(server, group, 3);
  await leftBy(server, { key, group, consumer: "me", count: 2 });
  await readBy(server, { key, group, consumer: "other", count: 1 });
  const again = (id: string, deliveries: number) => run(regain(me, { redisKey: key, id, deliveries }));
  assertEquals(await again(ids[0], 0), 1); // older
  assertEquals([await again(ids[1], 1), await again(ids[2], 1), await again("0-1", 1)], [2, 0, 0]);
  assertEquals(await again(ids[1], Infinity), 2);
  const rows = await pendingRows(server, key, group, "me");
  assertEquals(rows.map(({ deliveries, idle }) => [deliveries, idle > 60_000]), [[1, true], [1, false]]);
});
