// Tests that messages go to the shards that the sharder chooses, in the order of the calls in each, with all options of
// a message.

import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import {
  connect,
  keyHashSharder,
  type Producer,
  randomSharder,
  RedisError,
  roundRobinSharder,
  type SendOptions,
  StreamerError,
} from "../../../mod.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";
import { type Entry, parseEntries } from "../../support/producer/stream_checks.ts";

const server = await sharedServer();
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);
const own = { ignore: !server.atLeast("7.0") };

/** The entries of each shard of a stream, which are then deleted. */
async function shardsOf(key: string, count: number): Promise<Entry[][]> {
  const keys = numbers(count).map((shard) => `${key}:${shard}`);
  const replies = await server.commands([...keys.map((shard) => ["XRANGE", shard, "-", "+"]), ["DEL", ...keys]]);
  return replies.slice(0, count).map(parseEntries);
}

async function errorOf(promise: PromiseLike<unknown>): Promise<StreamerError> {
  return await assertRejects(() => Promise.resolve(promise), StreamerError, undefined);
}

test("round robin: message i goes to shard i mod 3, its receipt says so, and the plain key stays empty", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), { sharder: roundRobinSharder(3) });
  const receipts = await Promise.all(numbers(10).map((i) => producer.send(`m${i}`)));
  assertEquals(receipts.map(({ shardId }) => shardId), numbers(10).map((i) => i % 3));
  assertEquals(new Set(receipts.map(({ streamKey }) => streamKey)), new Set([producer.streamKey]));
  const shards = await shardsOf(producer.streamKey, 3);
  for (const shard of numbers(3)) {
    const mine = numbers(10).filter((i) => i % 3 === shard);
    assertEquals(shards[shard].map(({ payload }) => payload), mine.map((i) => `m${i}`));
    assertEquals(shards[shard].map(({ id }) => id), mine.map((i) => receipts[i].id));
  }
  assertEquals(await server.command("EXISTS", producer.streamKey), 0);
});

test("messages to all shards are written together, without waiting for the replies of each", async () => {
  let held: string[] = [];
  await using redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      held.push(fake.store(xadd)); // answers only when all have arrived
      if (held.length < 64) return undefined;
      const all = held.join("");
      held = [];
      await xadd.peer.send(all);
      return undefined;
    },
  });
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k", { sharder: roundRobinSharder(8) });
  await Promise.all(numbers(64).map((i) => producer.send(`${i}`)));
  assertEquals(redis.added.map(({ key }) => key), numbers(64).map((i) => `k:${i % 8}`));
}, { oneServer: OWN });

test("by key: the same key goes to the same shard from any producer; without a key the shards take turns", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  const [one, other] = [
    await streamer.createProducer(key, { sharder: keyHashSharder(8) }),
    await streamer.createProducer(key, { sharder: keyHashSharder(8) }),
  ];
  const shardOf = async (producer: Producer, options?: SendOptions) => (await producer.send("x", options)).shardId;
  const keys = numbers(40).map((i) => `customer-${i}`);
  const shards = await Promise.all(keys.map((key) => shardOf(one, { key })));
  assertEquals(await Promise.all(keys.map((key) => shardOf(other, { key }))), shards);
  assertEquals(new Set(shards).size, 8);
  assertEquals(await Promise.all(numbers(10).map(() => shardOf(one))), numbers(10).map((i) => i % 8));
  assertEquals((await shardsOf(key, 8)).flat().map(({ fields }) => fields), Array(90).fill(["msg", "x"]));
});

test("random: every shard gets some, and receipts are correct", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), { sharder: randomSharder(4) });
  const receipts = await Promise.all(numbers(400).map((i) => producer.send(`${i}`)));
  const shards = await shardsOf(producer.streamKey, 4);
  for (const shard of numbers(4)) {
    const told = numbers(400).filter((i) => receipts[i].shardId === shard);
    assert(told.length > 40, `${told.length}`);
    assertEquals(shards[shard].map(({ payload }) => payload), told.map(String));
  }
});

test(
  "a generic producer has turns for each stream; clones share them, another producer with the same options does not",
  async () => {
    await using redis = await FakeRedis.start();
    await using streamer = await connect(redis.url);
    const options = { sharder: roundRobinSharder(3) };
    const generic = await streamer.createGenericProducer(options);
    const clone = generic.clone();
    const sends = [
      generic.sendTo("a", "0"),
      generic.sendTo("b", "0"),
      clone.sendTo("a", "1"),
      generic.sendTo("a", "2"),
      clone.anchor("b").send("1"),
      (await streamer.createProducer("a", options)).send("3"),
    ];
    const receipts = await Promise.all(sends);
    assertEquals(receipts.map(({ streamKey, shardId }) => `${streamKey}:${shardId}`), [
      "a:0",
      "b:0",
      "a:1",
      "a:2",
      "b:1",
      "a:0",
    ]);
  },
  { oneServer: OWN },
);

test("concurrent clones: each handle's messages keep their order in every shard, and none is missing", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), { sharder: roundRobinSharder(5) });
  const handles = [producer, producer.clone(), producer.clone()];
  await Promise.all(handles.map(async (handle, h) => {
    for (const i of numbers(500)) {
      handle.send(`${h}/${i}`);
      if (i % 50 === h) await new Promise((resolve) => setTimeout(resolve, 0));
    }
    await handle.flush();
  }));
  const shards = await shardsOf(producer.streamKey, 5);
  assertEquals(shards.map(({ length }) => length), Array(5).fill(300));
  for (const entries of shards) {
    for (const h of numbers(3)) {
      const mine = entries.map(({ payload }) => payload.split("/")).filter(([handle]) => handle === String(h));
      const order = mine.map(([, i]) => Number(i));
      assertEquals(order, order.toSorted((a, b) => a - b));
    }
  }
  assertEquals(new Set(shards.flat().map(({ payload }) => payload)).size, 1_500);
});

test("a message that is refused before it has a shard takes no turn", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createGenericProducer({ sharder: roundRobinSharder(3) });
  // as: a value that a program without types may pass
  const loose = (payload: unknown, options?: unknown) =>
    producer.sendTo("k", payload as string, options as SendOptions);
  const refused = [
    loose(7),
    loose("x", { key: 7 }),
    loose("x", { timestamp: "now" }),
    loose("x", { headers: { msg: "1" } }),
    loose("x", { signal: AbortSignal.abort() }),
    producer.sendTo("no key", "x"),
  ];
  for (const receipt of refused) {
    await receipt.catch(() => {});
    assertEquals(receipt.outcome, "not-written");
  }
  assertEquals((await producer.sendTo("k", "x")).shardId, 0);
}, { oneServer: OWN });

test("headers, timestamps and the payload field: with every sharder, in both formats", async () => {
  for (const timestampFormat of ["milliseconds", "nanoseconds"] as const) {
    for (const sharder of [roundRobinSharder(3), keyHashSharder(3), randomSharder(3), { shard: () => 2 }]) {
      await using streamer = await connect(server.url, { timestampFormat, messageField: "body" });
      const producer = await streamer.createProducer(uniqueKey(), { sharder });
      const unit = timestampFormat === "nanoseconds" ? "000000" : "";
      const all: SendOptions[] = numbers(30).map((i) => ({
        key: `k${i % 7}`,
        ...(i % 2 ? { headers: [["h", `${i}`], ["h", "again"]] as const } : {}),
        // Whole milliseconds and exact units in turn, rising, as each shard requires.
        timestamp: i % 3 ? new Date(1_500_000_000_000 + i) : BigInt(`${1_500_000_000_000 + i}${unit}`),
      }));
      const receipts = await Promise.all(all.map((options, i) => producer.send(`m${i}`, options)));
      receipts.forEach(({ id, timestamp }, i) => {
        assertEquals(id, `${1_500_000_000_000 + i}${unit}-0`);
        assertEquals(timestamp, new Date(1_500_000_000_000 + i));
      });
      // After them, with the library's or the server's time.
      const later = await Promise.all(numbers(30).map((i) => producer.send(`later${i}`, { key: `k${i}` })));
      const shards = await shardsOf(producer.streamKey, 3);
      for (const shard of numbers(3)) {
        const expected = [...receipts, ...later].flatMap(({ shardId, id }, i) => {
          if (shardId !== shard) return [];
          if (i >= 30) return [{ id, payload: `later${i - 30}`, fields: ["body", `later${i - 30}`] }];
          const headers = i % 2 ? ["h", `${i}`, "h", "again"] : [];
          return [{ id, payload: `m${i}`, fields: ["body", `m${i}`, ...headers] }];
        });
        assertEquals(shards[shard], expected);
      }
    }
  }
}, own);

test("in nanoseconds the times of each shard rise, and are current", async () => {
  await using streamer = await connect(server.url, { timestampFormat: "nanoseconds" });
  const producer = await streamer.createProducer(uniqueKey(), { sharder: roundRobinSharder(4) });
  const receipts = await Promise.all(numbers(2_000).map((i) => producer.send(`${i}`)));
  for (const shard of numbers(4)) {
    const times = receipts.filter(({ shardId }) => shardId === shard).map(({ id }) => BigInt(id.split("-")[0]));
    assertEquals(times.length, 500);
    times.forEach((time, i) => i > 0 && assert(time >= times[i - 1], `${times[i - 1]} ${time}`));
    // A clock that is set while the test runs may be off; the unit may not.
    assert(Math.abs(Number(times[0] / 1_000_000n) - Date.now()) < 60_000);
  }
  await shardsOf(producer.streamKey, 4);
}, own);

test("maxLength and maxAge trim each shard with its writes", async () => {
  await using streamer = await connect(server.url);
  const long = await streamer.createProducer(uniqueKey(), { sharder: roundRobinSharder(3), maxLength: 200 });
  for (const i of numbers(3_000)) long.send(`${i}`);
  await long.flush();
  for (const entries of await shardsOf(long.streamKey, 3)) {
    assert(entries.length >= 200 && entries.length < 400, `${entries.length}`);
    assertEquals(Number(entries.at(-1)?.payload) >= 2_997, true);
  }
  if (!server.atLeast("7.0")) return;
  const sharder = roundRobinSharder(3);
  const filler = await streamer.createProducer(uniqueKey(), { sharder });
  for (const i of numbers(1_500)) filler.send("old", { timestamp: BigInt(1_000 + i) }); // from January 1970
  await filler.flush();
  const young = await streamer.createProducer(filler.streamKey, { sharder, maxAge: 3_600_000 });
  for (const i of numbers(3)) await young.send(`new${i}`);
  for (const [i, entries] of (await shardsOf(filler.streamKey, 3)).entries()) {
    assert(entries.length < 200, `${entries.length}`);
    assertEquals(entries.at(-1)?.payload, `new${i}`);
  }
});

test("back-pressure and BUFFER_FULL count all shards together", async () => {
  let open = false;
  const waiting: (() => void)[] = [];
  await using redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      if (!open) await new Promise<void>((resolve) => waiting.push(resolve));
      return fake.store(xadd);
    },
  });
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k", {
    sharder: roundRobinSharder(8),
    highWaterMark: 2_000,
    maxBuffered: 4_000,
  });
  while (producer.desiredSize > 0) producer.send("x".repeat(100));
  let ready = false;
  const becoming = producer.ready.then(() => ready = true);
  let full: StreamerError | undefined;
  for (let i = 0; i < 100 && full === undefined; i++) {
    const receipt = producer.send("x".repeat(100));
    if (receipt.outcome === "not-written") full = await errorOf(receipt);
  }
  assertEquals([full?.code, full?.outcome, ready], ["BUFFER_FULL", "not-written", false]);
  assert(producer.stats().buffered <= 4_000);
  open = true;
  waiting.forEach((go) => go());
  await becoming;
  await producer.flush();
  assertEquals([producer.desiredSize, redis.streams.size], [2_000, 8]);
}, { oneServer: OWN });

test("a shard that is refused permanently fails alone: the others are stored, in their order", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), { sharder: roundRobinSharder(3) });
  await server.command("SET", `${producer.streamKey}:1`, "no stream");
  const sends = numbers(30).map((i) => producer.send(`${i}`));
  const settled = await Promise.allSettled(sends);
  settled.forEach((result, i) => {
    if (i % 3 !== 1) return assertEquals(result.status, "fulfilled");
    assert(result.status === "rejected");
    assertInstanceOf(result.reason, RedisError);
    assertEquals([result.reason.code, result.reason.outcome], ["WRONGTYPE", "not-written"]);
  });
  await server.command("DEL", `${producer.streamKey}:1`);
  const shards = await shardsOf(producer.streamKey, 3);
  assertEquals(shards.map((entries) => entries.map(({ payload }) => payload)), [
    numbers(30).filter((i) => i % 3 === 0).map(String),
    [],
    numbers(30).filter((i) => i % 3 === 2).map(String),
  ]);
});

test("the largest number of shards, in many streams, is written to", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createGenericProducer({ sharder: roundRobinSharder(1_024) });
  const keys = numbers(5).map(() => uniqueKey());
  for (const i of numbers(2_048)) for (const key of keys) producer.sendTo(key, `${i}`);
  await producer.flush();
  for (const key of keys) {
    const shards = await shardsOf(key, 1_024);
    shards.forEach((entries, i) => assertEquals(entries.map(({ payload }) => payload), [`${i}`, `${i + 1_024}`]));
  }
});

test("a WritableStream takes turns, too", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k", { sharder: keyHashSharder(2) });
  const writer = producer.writable.getWriter();
  for (const i of numbers(4)) await writer.write(`${i}`);
  await writer.close();
  assertEquals([redis.payloads("k:0"), redis.payloads("k:1")], [["0", "2"], ["1", "3"]]);
}, { oneServer: OWN });
