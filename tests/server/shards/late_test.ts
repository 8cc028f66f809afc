// Tests groups that find shards which were created while none of their consumers ran: these are read from their first
// entry, and no others.

import { assertEquals } from "@std/assert";
import { type AckConsumer, connect, type RedisStreamer } from "../../../mod.ts";
import { addMany, restUpToMark, take, texts } from "../../support/consumer/reading.ts";
import { byShard, numbersOf } from "../../support/consumer/sharding.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

function join(streamer: RedisStreamer, key: string, group = "g"): Promise<AckConsumer> {
  return streamer.createConsumer(key, { mode: "load-balanced", group, autoCommit: "rolling" });
}

async function groupsOf(key: string): Promise<number> {
  return ((await server.command("XINFO", "GROUPS", key)) as unknown[]).length;
}

for (const mode of ["resumable", "load-balanced"] as const) {
  test(`a shard created while no consumer ran is read from its first entry (${mode}, latest)`, async () => {
    const key = uniqueKey();
    for (const shard of [0, 1]) await addMany(server, `${key}:${shard}`, 2, "old");
    await using streamer = await connect(server.url);
    const options = { mode, group: "g", autoCommit: "rolling" } as const;
    const before = await streamer.createConsumer(key, options);
    await addMany(server, `${key}:1`, 1, "seen");
    before.ack((await take(before, 1))[0]);
    await before.end();
    await addMany(server, `${key}:1`, 2, "one");
    await addMany(server, `${key}:5`, 3, "five");
    const consumer = await streamer.createConsumer(key, options);
    assertEquals(numbersOf(consumer, key), [0, 1, 5]);
    const seen = byShard(await take(consumer, 5));
    assertEquals(seen, { "1": texts(2, "one"), "5": texts(3, "five") });
    assertEquals(await restUpToMark(server, consumer, ...[0, 1, 5].map((shard) => `${key}:${shard}`)), []);
  });
}

test("shards that replaced a plain key meanwhile are read from their first entries", async () => {
  const key = uniqueKey();
  await addMany(server, key, 2, "plain");
  await using streamer = await connect(server.url);
  const before = await join(streamer, key);
  await addMany(server, key, 1, "last");
  before.ack((await take(before, 1))[0]);
  await before.end();
  for (const shard of [0, 1]) await addMany(server, `${key}:${shard}`, 2, `${shard}-`);
  const consumer = await join(streamer, key);
  assertEquals(byShard(await take(consumer, 4)), { "0": texts(2, "0-"), "1": texts(2, "1-") });
});

test("a new group starts at the ends of all shards, whatever other groups exist", async () => {
  const key = uniqueKey();
  for (const shard of [0, 1]) await addMany(server, `${key}:${shard}`, 2, "old");
  await server.command("XGROUP", "CREATE", `${key}:0`, "another", 0);
  await using streamer = await connect(server.url);
  const consumer = await join(streamer, key);
  assertEquals(await restUpToMark(server, consumer, `${key}:0`, `${key}:1`), []);
});

test("consumers that create a new group at the same time start at the ends of all shards", async () => {
  const key = uniqueKey();
  const shards = Array.from({ length: 16 }, (_, shard) => shard);
  for (const shard of shards) await addMany(server, `${key}:${shard}`, 2, "old");
  const streamers = await Promise.all(Array.from({ length: 6 }, () => connect(server.url)));
  try {
    const consumers = await Promise.all(streamers.map((streamer) => join(streamer, key)));
    for (const shard of shards) assertEquals(await groupsOf(`${key}:${shard}`), 1);
    const stats: unknown[] = [];
    for (const shard of shards) {
      const groups = (await server.command("XINFO", "GROUPS", `${key}:${shard}`)) as unknown[][];
      const [last] = (await server.command("XREVRANGE", `${key}:${shard}`, "+", "-", "COUNT", 1)) as [
        string,
        unknown,
      ][];
      const facts = groups[0];
      stats.push(facts[facts.indexOf("last-delivered-id") + 1] === last[0]);
    }
    assertEquals(stats, shards.map(() => true), "every group stands at its shard's end");
    assertEquals(consumers.map((consumer) => consumer.stats().delivered), consumers.map(() => 0));
  } finally {
    await Promise.all(streamers.map((streamer) => streamer.disconnect()));
  }
});

test("with explicit shards, a missing group starts as autoStreamReset says", async () => {
  const key = uniqueKey();
  for (const shard of [0, 1]) await addMany(server, `${key}:${shard}`, 2, "old");
  await server.command("XGROUP", "CREATE", `${key}:0`, "g", "$");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, {
    mode: "resumable",
    group: "g",
    autoCommit: "rolling",
    shards: 2,
  });
  assertEquals(await restUpToMark(server, consumer, `${key}:0`, `${key}:1`), []);
});
