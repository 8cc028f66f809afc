// Tests that a producer with a sharder trims every shard, and one without trims no key that looks like a shard.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, type Producer, RedisError, roundRobinSharder } from "../../../mod.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";

const server = await sharedServer();
const sharder = roundRobinSharder(4);
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);
const own = { ignore: !server.atLeast("7.0") };

async function lengths(key: string, shards = 4): Promise<number[]> {
  return (await server.commands(numbers(shards).map((shard) => ["XLEN", `${key}:${shard}`]))).map(Number);
}

async function fill(producer: Producer, count: number, timestamp?: (i: number) => Date | bigint): Promise<void> {
  for (const i of numbers(count)) producer.send(`${i}`, timestamp === undefined ? {} : { timestamp: timestamp(i) });
  await producer.flush();
}

test("a length applies to each shard, and the sum of removed entries is returned", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), { sharder });
  await fill(producer, 101);
  assertEquals(await producer.trim({ maxLength: 10, exact: true }), 61);
  assertEquals(await lengths(producer.streamKey), [10, 10, 10, 10]);
  assertEquals(await producer.trim({ maxLength: 10, exact: true }), 0);
  assertEquals(await producer.trim({ maxLength: 0, exact: true }), 40);
});

test("approximate: each shard loses whole nodes only, and never too much", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), { sharder });
  await fill(producer, 4_000);
  const removed = await producer.trim({ maxLength: 350 });
  const left = await lengths(producer.streamKey);
  assertEquals(left.reduce((sum, length) => sum + length, removed), 4_000);
  for (const length of left) assert(length >= 350 && length < 1_000, `${left}`);
});

test(
  "a time trims each shard there: a Date keeps all of its millisecond, a bigint is exact, in both formats",
  async () => {
    const cases = [
      { timestampFormat: "milliseconds", unit: 1n, at: 1_040n },
      { timestampFormat: "nanoseconds", unit: 250_000n, at: 260_000_000n }, // four entries in each millisecond
    ] as const;
    for (const { timestampFormat, unit, at } of cases) {
      await using streamer = await connect(server.url, { timestampFormat });
      const producer = await streamer.createProducer(uniqueKey(), { sharder });
      await fill(producer, 100, (i) => (1_000n + BigInt(i)) * unit);
      const first = Number(1_000n * unit / (timestampFormat === "nanoseconds" ? 1_000_000n : 1n));
      assertEquals(await producer.trim({ minTimestamp: new Date(first), exact: true }), 0);
      const oneLater = timestampFormat === "nanoseconds" ? 4 : 1; // entries of the first millisecond
      assertEquals(await producer.trim({ minTimestamp: new Date(first + 1), exact: true }), oneLater);
      assertEquals(await producer.trim({ minTimestamp: at, exact: true }), 40 - oneLater);
      assertEquals(await producer.trim({ minTimestamp: at + 1n, exact: true }), 1);
      assertEquals((await lengths(producer.streamKey)).reduce((sum, length) => sum + length), 59);
    }
  },
  own,
);

test("shards that only others have written to are trimmed, too", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  const wide = await streamer.createProducer(key, { sharder: roundRobinSharder(40) });
  await fill(wide, 80);
  const narrow = await streamer.createProducer(key, { sharder });
  assertEquals(await narrow.trim({ maxLength: 1, exact: true }), 40);
  assertEquals(new Set(await lengths(key, 40)), new Set([1]));
});

test("without shards the plain key is trimmed; keys that only look like shards never are", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  await fill(await streamer.createProducer(key), 10);
  for (const other of [`${key}:01`, `${key}:x`, `${key}:1:2`, `${key}x:1`]) {
    await fill(await streamer.createProducer(other), 3);
  }
  const producer = await streamer.createProducer(key, { sharder });
  assertEquals(await producer.trim({ maxLength: 4, exact: true }), 6);
  await fill(producer, 8);
  assertEquals(await producer.trim({ maxLength: 1, exact: true }), 4);
  assertEquals(await server.command("XLEN", key), 4); // with shards the plain key is not part of the stream
  for (const other of [`${key}:01`, `${key}:x`, `${key}:1:2`, `${key}x:1`]) {
    assertEquals(await server.command("XLEN", other), 3, other);
  }
});

test("without a sharder the plain key alone is trimmed: its neighbours may be other streams", async () => {
  await using streamer = await connect(server.url);
  const users = await streamer.createProducer(uniqueKey());
  const user = await streamer.createProducer(`${users.streamKey}:7`);
  await fill(users, 10);
  await fill(user, 10);
  assertEquals(await users.trim({ maxLength: 0, exact: true }), 10);
  assertEquals(await server.command("XLEN", user.streamKey), 10);
});

test("a user who may not look for shards gets an error, and nothing is trimmed", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  await fill(await streamer.createProducer(key, { sharder }), 8);
  const username = uniqueKey("user");
  await server.command("ACL", "SETUSER", username, "on", ">pw", "~*", "&*", "+@all", "-scan");
  try {
    await using limited = await connect(server.url, { username, password: "pw" });
    const producer = await limited.createProducer(key, { sharder });
    const error = await assertRejects(() => producer.trim({ maxLength: 0, exact: true }), RedisError);
    assertEquals(error.code, "NOPERM");
    assertEquals(await lengths(key), [2, 2, 2, 2]);
    const plain = await limited.createProducer(`${key}:2`);
    assertEquals(await plain.trim({ maxLength: 0, exact: true }), 2);
  } finally {
    await server.command("ACL", "DELUSER", username);
  }
}, { ignore: !server.atLeast("6.0") });

test(
  "an aborted trim rejects with the signal's reason, while it looks and while it trims; the producer continues",
  async () => {
    for (const stuck of ["SCAN", "XTRIM"]) {
      let asked = 0;
      await using redis = await FakeRedis.start({
        answers: {
          SCAN: () => stuck === "SCAN" ? (asked++, undefined) : "*2\r\n$1\r\n0\r\n*2\r\n$3\r\nk:0\r\n$3\r\nk:1\r\n",
          TYPE: "+none\r\n",
          XTRIM: () => (asked++, undefined),
        },
      });
      await using streamer = await connect(redis.url);
      const producer = await streamer.createProducer("k", { sharder });
      const reason = new Error("no longer wanted");
      const stop = new AbortController();
      const trimming = producer.trim({ maxLength: 1, signal: stop.signal });
      await until(() => asked === (stuck === "SCAN" ? 1 : 2));
      stop.abort(reason);
      assertEquals(await assertRejects(() => trimming, Error), reason);
      assertEquals(
        await assertRejects(() => producer.trim({ maxLength: 1, signal: AbortSignal.abort(reason) }), Error),
        reason,
      );
      await producer.send("x");
    }
  },
  { oneServer: OWN },
);

test("a trim whose connection is lost continues over the next one, with the shards that are left", async () => {
  let trims = 0;
  await using redis = await FakeRedis.start({
    answers: {
      SCAN: "*2\r\n$1\r\n0\r\n*2\r\n$3\r\nk:0\r\n$3\r\nk:1\r\n",
      TYPE: "+none\r\n",
      XLEN: () => trims < 3 ? undefined : ":5\r\n", // it is queued after that one
      XTRIM: () => ++trims === 2 ? undefined : `:${trims}\r\n`, // the second reply never arrives
    },
  });
  await using streamer = await connect(redis.url, { reconnect: { initialDelay: 1 } });
  const producer = await streamer.createProducer("k", { sharder });
  const trimming = producer.trim({ maxLength: 5 });
  await until(() => trims === 2);
  const lost = nextEvent(streamer, "disconnect");
  await redis.server.peers[0].cut();
  await lost;
  const removed = await trimming;
  // The first reply, 1, may have been lost with the connection. Then both commands are sent again.
  assert(trims === 3 ? removed === 4 : trims === 4 && removed === 7, `${trims} ${removed}`);
}, { oneServer: OWN });
