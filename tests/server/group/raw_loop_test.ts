// Tests the migration from loops over XREADGROUP and XACK: existing groups, and their pending entries.

import { assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { untilPending } from "../../support/consumer/grouping.ts";
import { take } from "../../support/consumer/reading.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "workers";
const options = { mode: "load-balanced", group, autoCommit: "rolling", autoCommitInterval: 10 } as const;

/** A stream with entries of plain fields, and a group at its start, as other clients create them. */
async function jobs(count: number): Promise<{ key: string; ids: string[] }> {
  const key = uniqueKey();
  const added = Array.from({ length: count }, (_, i) => ["XADD", key, "*", "task", "resize", "id", i]);
  const [, ...ids] = await server.commands([["XGROUP", "CREATE", key, group, "0", "MKSTREAM"], ...added]);
  return { key, ids: ids.map(String) };
}

function readRaw(key: string, consumer: string, count: number): Promise<unknown> {
  return server.command("XREADGROUP", "GROUP", group, consumer, "COUNT", count, "STREAMS", key, ">");
}

test("a consumer with the name of a stopped loop gets its pending entries first, then new ones", async () => {
  const { key, ids } = await jobs(5);
  await readRaw(key, "worker-1", 3);
  await server.command("XACK", key, group, ids[0]);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...options, consumerId: "worker-1" });
  const messages = await take(consumer, 4);
  assertEquals(messages.map(({ id, deliveries }) => [id, deliveries]), [[ids[1], 2], [ids[2], 2], [ids[3], 1], [
    ids[4],
    1,
  ]]);
  assertEquals(messages.map(({ headers }) => headers.get("id")), ["1", "2", "3", "4"]);
  for (const message of messages) consumer.ack(message);
  await untilPending(server, key, group, 0);
});

test("a consumer works beside a loop in one group, and claims the loop's pending entries when it stops", async () => {
  const { key, ids } = await jobs(10);
  await readRaw(key, "worker-1", 4);
  await server.command("XACK", key, group, ids[0], ids[1]);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...options, autoClaimInterval: 50, autoClaimIdle: 300 });
  const messages = await take(consumer, 8);
  for (const message of messages) consumer.ack(message);
  await untilPending(server, key, group, 0);
  assertEquals(messages.map(({ id }) => id).sort(), ids.slice(2));
  assertEquals(messages.filter(({ deliveries }) => deliveries === 2).map(({ id }) => id), [ids[2], ids[3]]);
});
