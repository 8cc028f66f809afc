// Owns what the scripts do on a server, asked by themselves: they look and change in one step, so that no race is needed to
// see that they look.

import { assertEquals } from "@std/assert";
import { redeliver, removeIdle, setIdle } from "../streamer/commands/scripts.ts";
import { consumerNames, groupOf, leftBy, pendingRows, readBy } from "./streamer/consumer/grouping.ts";
import { test } from "./support/runner.ts";
import { type Reply, sharedServer, type Word } from "./support/server.ts";

const server = await sharedServer();
const group = "g";
const me = { group, consumer: "me" };

function run({ args }: { readonly args: readonly unknown[] }): Promise<Reply> {
  return server.command(...args as readonly Word[]); // A checked border: these commands have words and numbers only
}

test("a consumer is removed only if it holds nothing and was idle for long enough", async () => {
  const { key } = await groupOf(server, group, 1);
  await leftBy(server, { key, group, consumer: "holds" });
  await server.command("XGROUP", "CREATECONSUMER", key, group, "empty");
  const remove = (consumer: string, idle: number) => run(removeIdle({ group, consumer }, key, idle));
  assertEquals(await remove("holds", 0), 0);
  assertEquals(await remove("empty", 3_600_000), 0);
  assertEquals(await remove("nobody", 0), 0);
  assertEquals((await consumerNames(server, key, group)).sort(), ["empty", "holds"]);
  assertEquals(await remove("empty", 0), 1);
  assertEquals(await consumerNames(server, key, group), ["holds"]);
  assertEquals((await pendingRows(server, key, group)).length, 1);
});

test("keeping alive resets the idle time of what is ours, of nothing else, and counts no delivery", async () => {
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

test("delivering again says the count, twice with the same words, and leaves alone what is another's", async () => {
  const { key, ids } = await groupOf(server, group, 2);
  await readBy(server, { key, group, consumer: "me", count: 1 });
  await readBy(server, { key, group, consumer: "other", count: 1 });
  const again = (id: string) => run(redeliver(me, { redisKey: key, id, deliveries: 5 }));
  for (let i = 0; i < 2; i++) assertEquals(await again(ids[0]), [[ids[0], ["msg", "0"]]]);
  assertEquals([await again(ids[1]), await again("0-1")], [null, null]);
  const rows = await pendingRows(server, key, group);
  assertEquals(rows.map(({ consumer, deliveries }) => [consumer, deliveries]), [["me", 5], ["other", 1]]);
});
