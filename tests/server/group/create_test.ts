// Tests the creation of groups: they exist when createConsumer resolves, so that nothing is missed, and existing groups
// are used as they are.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { addMany, restUpToMark, takeTexts, texts } from "../../support/consumer/reading.ts";
import { groupOf, readBy } from "../../support/consumer/grouping.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

async function groupsOf(key: string): Promise<string[]> {
  const reply = await server.command("XINFO", "GROUPS", key);
  return Array.isArray(reply) ? reply.map((row) => String(Array.isArray(row) ? row[1] : row)) : [];
}

for (const mode of ["resumable", "load-balanced"] as const) {
  for (const autoCommit of ["delayed", "immediate", "rolling", "disabled"] as const) {
    test(`the group exists when createConsumer resolves, and misses nothing from then on (${mode}, ${autoCommit})`, async () => {
      const key = uniqueKey();
      await addMany(server, key, 3, "old");
      await using streamer = await connect(server.url);
      const latest = await streamer.createConsumer(key, { mode, autoCommit, group: "latest" });
      await addMany(server, key, 2, "new");
      const options = { mode, autoCommit, group: "earliest", autoStreamReset: "earliest" } as const;
      const earliest = await streamer.createConsumer(key, options);
      assertEquals((await groupsOf(key)).sort(), ["earliest", "latest"]);
      await addMany(server, key, 1, "more");
      assertEquals(await takeTexts(latest, 3), ["new0", "new1", "more0"]);
      assertEquals(await takeTexts(earliest, 6), [...texts(3, "old"), "new0", "new1", "more0"]);
      assertEquals(await restUpToMark(server, latest, key), []);
    });
  }
}

test("an existing group is used as it is, whatever autoStreamReset says", async () => {
  for (const autoStreamReset of ["earliest", "latest"] as const) {
    const { key } = await groupOf(server, "g", 5);
    await readBy(server, { key, group: "g", consumer: "other", count: 2 });
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, { mode: "resumable", group: "g", autoStreamReset });
    assertEquals(await takeTexts(consumer, 3), ["2", "3", "4"]);
    assertEquals(await restUpToMark(server, consumer, key), []);
  }
});

test("many consumers created at once share one group, and each message is delivered once", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const options = { mode: "load-balanced", group: "g", mkstream: true, batchSize: 1, autoCommit: "rolling" } as const;
  const consumers = await Promise.all(Array.from({ length: 8 }, () => streamer.createConsumer(key, options)));
  assertEquals(new Set(consumers.map(({ consumerId }) => consumerId)).size, 8);
  const seen: string[] = [];
  const loops = consumers.map(async (consumer) => {
    for await (const message of consumer) {
      seen.push(message.text());
      consumer.ack(message);
      if (seen.length === 100) { for (const one of consumers) one.end(); }
    }
  });
  await addMany(server, key, 100);
  await Promise.all(loops);
  assertEquals(seen.map(Number).sort((a, b) => a - b), texts(100).map(Number));
});

test("without mkstream a missing stream is awaited until a caller wants a message, and its first entries are delivered", async () => {
  for (const autoStreamReset of ["latest", "earliest"] as const) {
    const key = uniqueKey();
    await using streamer = await connect(server.url);
    const options = { mode: "resumable", group: "g", autoStreamReset, mkstream: false } as const;
    const consumer = await streamer.createConsumer(key, options);
    assertEquals(await server.command("EXISTS", key), 0);
    await addMany(server, key, 3);
    assertEquals(await takeTexts(consumer, 3), texts(3));
  }
});

test("without mkstream the first next() rejects if the stream is missing, names the option, and so do later calls", async () => {
  for (const mode of ["resumable", "load-balanced"] as const) {
    const key = uniqueKey();
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, { mode, group: "g", autoCommit: "rolling", mkstream: false });
    const error = await assertRejects(() => consumer.next(), StreamerError);
    for (const part of [key, "mkstream", "key to exist"]) assert(error.message.includes(part), error.message);
    assertEquals(await server.command("EXISTS", key), 0);
    await addMany(server, key, 1);
    assertStrictEquals(await assertRejects(() => consumer.next()), error);
    const loop = async () => {
      for await (const _ of consumer) assert(false);
    };
    assertStrictEquals(await assertRejects(loop), error);
    assertStrictEquals(await assertRejects(() => consumer.batches().next()), error);
    await consumer.end();
  }
});

for (const mode of ["resumable", "load-balanced"] as const) {
  for (const autoStreamReset of ["latest", "earliest"] as const) {
    test(`a missing stream is created with its group, and its first entry is delivered (${mode}, ${autoStreamReset})`, async () => {
      for (const autoCommit of ["delayed", "immediate", "rolling", "disabled"] as const) {
        const key = uniqueKey();
        await using streamer = await connect(server.url);
        const consumer = await streamer.createConsumer(key, { mode, group: "g", autoStreamReset, autoCommit });
        assertEquals([await server.command("TYPE", key), await groupsOf(key)], ["stream", ["g"]]);
        const waiting = consumer.next();
        await addMany(server, key, 1);
        assertEquals((await waiting).text(), "0");
      }
    });
  }
}

test("a missing stream among several is created, and the others are read as they are", async () => {
  const { key } = await groupOf(server, "g", 3);
  const missing = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([key, missing], { mode: "load-balanced", group: "g" });
  assertEquals(await groupsOf(missing), ["g"]);
  await addMany(server, missing, 2, "new");
  assertEquals((await takeTexts(consumer, 5)).sort(), ["0", "1", "2", "new0", "new1"]);
});

test("a key of another type is reported by the first call, with the server's own error", async () => {
  const key = uniqueKey();
  await server.command("SET", key, "text");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "resumable", group: "g", mkstream: true });
  const error = await assertRejects(() => consumer.next(), StreamerError);
  assertEquals(error.code, "WRONGTYPE");
  assertStrictEquals(await assertRejects(() => consumer.next()), error);
  await consumer.end();
});

test("a resumable consumer is named after its group, and several streams and shards are read through one", async () => {
  const [a, b] = [uniqueKey(), uniqueKey()];
  await using streamer = await connect(server.url);
  const options = { mode: "resumable", group: "g", mkstream: true, shards: 2, autoCommit: "disabled" } as const;
  const consumer = await streamer.createConsumer([a, b], options);
  assertEquals(consumer.consumerId, "g");
  const shards = [[a, 0], [a, 1], [b, 0], [b, 1]] as const;
  assertEquals(consumer.streamShards, shards.map(([streamKey, shardId]) => ({ streamKey, shardId })));
  for (const [key, shard] of shards) await addMany(server, `${key}:${shard}`, 2, `${key}/${shard}/`);
  const seen = new Map<string, string[]>();
  for (let i = 0; i < 8; i++) {
    const message = await consumer.next();
    const name = `${message.streamKey}/${message.shardId}/`;
    seen.set(name, [...seen.get(name) ?? [], message.text()]);
    consumer.ack(message);
  }
  assertEquals(seen, new Map(shards.map(([key, shard]) => [`${key}/${shard}/`, texts(2, `${key}/${shard}/`)])));
  await consumer.commit();
  for (const [key, shard] of shards) {
    assertEquals((await server.command("XPENDING", `${key}:${shard}`, "g") as unknown[])[0], 0);
  }
});
