// Tests groups that vanish: flushed, deleted, destroyed or overwritten, under load and during a blocked read. Existing
// entries are delivered, events report it, other streams continue, and there is no busy loop.

import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import type { ConsumerOptions, Message, OnGroupLost, RedisStreamer } from "../../../mod.ts";
import { callsOf, connectEagerly, eventsOf, nothingPending } from "../../support/consumer/group_faults.ts";
import { addAt, addMany, idsInRange, takeIds, takeTexts, texts } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, type Server, sharedServer, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());
const server = await sharedServer();
const group = "g";
const acking = { group, autoCommit: "rolling", autoCommitInterval: 10, autoStreamReset: "earliest" } as const;
const resumable = { mode: "resumable", ...acking } as const satisfies ConsumerOptions;

/** Reads and acks in the background. Records the messages. */
async function readAll(streamer: RedisStreamer, keys: string | string[], options: Partial<typeof resumable> & {
  readonly onGroupLost?: OnGroupLost;
} = {}) {
  const consumer = await streamer.createConsumer(keys, { ...resumable, ...options });
  const seen: string[] = [];
  const run = async () => {
    for await (const message of consumer) {
      consumer.ack(message);
      seen.push(message.id);
    }
  };
  const done = run();
  done.catch(() => {});
  return { consumer, seen, done };
}

/** Adds so many batches of entries in sequence. Resolves to their ids. */
async function load(to: Server, key: string, batches: number): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < batches; i++) ids.push(...await addMany(to, key, 20));
  return ids;
}

/** Adds batches while `work` runs, and so many more after it. */
async function loadDuring(to: Server, key: string, work: () => Promise<void>, batches: number): Promise<void> {
  let left = Infinity;
  const loading = (async () => {
    for (; left > 0; left--) await addMany(to, key, 20);
  })();
  try {
    await work();
  } finally {
    left = batches;
    await loading;
  }
}

test("a group that is destroyed while no caller reads is recreated, and prefetched messages are returned", async () => {
  const key = uniqueKey();
  const ids = await addMany(server, key, 60);
  await using streamer = await connectEagerly(server.url);
  const recreated = eventsOf(streamer, "group-recreated");
  const times = { autoClaimIdle: 60, autoClaimInterval: null, batchSize: 20 };
  const consumer = await streamer.createConsumer(key, { ...acking, mode: "load-balanced", ...times });
  const taken: Message[] = [await consumer.next()];
  await until(() => consumer.stats().queued > 0);
  await server.command("XGROUP", "DESTROY", key, group);
  await until(() => recreated.length === 1, { what: "the group is recreated" }); // though no caller reads
  while (taken.length < 60) taken.push(await consumer.next());
  assertEquals(taken.map(({ id }) => id), ids);
  for (const message of taken) consumer.ack(message);
  await nothingPending(server, key, group);
});

for (const onGroupLost of ["resume", "earliest", "latest", "fail"] as const) {
  test(`a flush under load follows onGroupLost ${onGroupLost}`, async () => {
    await using own = await startServer();
    const key = uniqueKey();
    await using streamer = await connectEagerly(own.url);
    const recreated = eventsOf(streamer, "group-recreated");
    await load(own, key, 1);
    const { seen, done } = await readAll(streamer, key, { onGroupLost });
    const flush = async () => {
      await until(() => seen.length > 100);
      await own.command("FLUSHALL");
    };
    await loadDuring(own, key, flush, 10);
    if (onGroupLost === "fail") {
      await assertRejects(() => done, Error, "NOGROUP");
      return assertEquals(recreated, []);
    }
    await until(() => recreated.length > 0);
    const later = await load(own, key, 5);
    const exists = onGroupLost === "latest" ? later : await idsInRange(own, key);
    await until(() => exists.every((id) => seen.includes(id)), { what: "all that exists has come" });
    assertEquals(exists.filter((id, i) => seen.lastIndexOf(id) < seen.lastIndexOf(exists[Math.max(0, i - 1)])), []);
    await nothingPending(own, key, group);
    assertEquals(recreated.length, 1);
  }, { oneServer: OWN, ignore });

  if (onGroupLost === "fail") continue;
  test(`a group that is destroyed during a blocked read restarts as ${onGroupLost} says`, async () => {
    const key = uniqueKey();
    const ids = await addMany(server, key, 10);
    await using streamer = await connectEagerly(server.url);
    const [recreated, resets] = [eventsOf(streamer, "group-recreated"), eventsOf(streamer, "stream-reset")];
    const { seen } = await readAll(streamer, key, { onGroupLost });
    await until(() => seen.length === 10);
    await nothingPending(server, key, group);
    await server.command("XGROUP", "DESTROY", key, group);
    await until(() => recreated.length === 1);
    const more = await addMany(server, key, 3);
    await until(() => seen.includes(more[2]));
    assertEquals(seen, [...ids, ...(onGroupLost === "earliest" ? ids : []), ...more]);
    const position = onGroupLost === "earliest" ? "0-0" : ids[9];
    assertEquals(recreated, [{ streamKey: key, shardId: 0, group, position }]);
    assertEquals(resets, []);
    await nothingPending(server, key, group);
  });
}

test("if one of several streams loses its group, the others are not delayed, and nothing of them is repeated", async () => {
  const [lost, kept] = [uniqueKey(), uniqueKey()];
  const [a, b] = [await addMany(server, lost, 5), await addMany(server, kept, 5)];
  await using streamer = await connectEagerly(server.url);
  const recreated = eventsOf(streamer, "group-recreated");
  const { seen } = await readAll(streamer, [lost, kept]);
  await until(() => seen.length === 10);
  await server.command("XGROUP", "DESTROY", lost, group);
  b.push(...await addMany(server, kept, 5));
  await until(() => seen.includes(b[9]));
  await until(() => recreated.length === 1);
  a.push(...await addMany(server, lost, 5));
  await until(() => seen.includes(a[9]));
  assertEquals(seen.length, 20);
  assertEquals(recreated.map(({ streamKey }) => streamKey), [lost]);
  for (const key of [lost, kept]) await nothingPending(server, key, group);
});

test(
  "a deleted stream is not polled in a busy loop while others are read, and is read from its beginning when it returns",
  async () => {
    await using own = await startServer();
    const [gone, kept] = [uniqueKey(), uniqueKey()];
    await addAt(own, gone, "50-0");
    await addAt(own, kept, "1-0");
    await using streamer = await connectEagerly(own.url);
    const [recreated, resets] = [eventsOf(streamer, "group-recreated"), eventsOf(streamer, "stream-reset")];
    const consumer = await streamer.createConsumer([gone, kept], resumable);
    assertEquals((await takeIds(consumer, 2)).sort(), ["1-0", "50-0"]);
    const waiting = consumer.next();
    await own.command("DEL", gone);
    await addAt(own, kept, "2-0");
    assertEquals((await waiting).id, "2-0");
    const before = [await callsOf(own, "xreadgroup"), await callsOf(own, "xinfo")];
    for (let i = 3; i < 103; i++) {
      const next = consumer.next();
      await addAt(own, kept, `${i}-0`);
      assertEquals((await next).id, `${i}-0`);
    }
    const [reads, looks] = [await callsOf(own, "xreadgroup") - before[0], await callsOf(own, "xinfo") - before[1]];
    assert(reads >= 100, `${reads} reads`);
    assertLess(reads, 220);
    assertLess(looks, 100);
    const next = consumer.next();
    await addAt(own, gone, "7-0", "anew");
    assertEquals((await next).text(), "anew");
    await until(() => resets.length === 1);
    assertEquals(recreated, [{ streamKey: gone, shardId: 0, group, position: "0-0" }]);
    assertEquals(resets, [{ streamKey: gone, shardId: 0, position: "0-0" }]);
  },
  { oneServer: OWN, ignore },
);

test("a stream that is recreated with lower ids at once is read from its beginning, and events report it", async () => {
  const key = uniqueKey();
  await addAt(server, key, "50-0");
  await using streamer = await connectEagerly(server.url);
  const [recreated, resets] = [eventsOf(streamer, "group-recreated"), eventsOf(streamer, "stream-reset")];
  const consumer = await streamer.createConsumer(key, resumable);
  assertEquals(await takeIds(consumer, 1), ["50-0"]);
  const next = consumer.next();
  await server.commands([["MULTI"], ["DEL", key], ["XADD", key, "1-0", "msg", "a"], ["EXEC"]]);
  assertEquals((await next).id, "1-0");
  assertEquals([recreated.length, resets], [1, [{ streamKey: key, shardId: 0, position: "0-0" }]]);
});

test("a stream that is overwritten by another type during a blocked read ends its consumer with the server's error", async () => {
  const [key, other] = [uniqueKey(), uniqueKey()];
  await addMany(server, key, 1);
  await using streamer = await connectEagerly(server.url);
  const consumer = await streamer.createConsumer(key, resumable);
  await takeTexts(consumer, 1);
  const next = consumer.next();
  next.catch(() => {});
  await server.command("SET", key, "text");
  await assertRejects(() => next, Error, "WRONGTYPE");
  await assertRejects(() => consumer.next(), Error, "WRONGTYPE");
  const others = await streamer.createConsumer(other, { ...resumable, mkstream: true });
  await addMany(server, other, 2);
  assertEquals(await takeTexts(others, 2), texts(2));
});
