// Tests trimming: on request, by length or time, exactly or approximately, and with each write.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, type Producer, RedisError, StreamerError, type TrimOptions } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer, startServer } from "../../support/servers/server.ts";
import { addVeryMany } from "../../support/consumer/reading.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";
import { entriesOf } from "../../support/producer/stream_checks.ts";

const server = await sharedServer();

async function fill(producer: Producer, count: number): Promise<void> {
  for (let i = 0; i < count; i++) producer.send(`${i}`, { timestamp: BigInt(1_000 + i) });
  await producer.flush();
}

const own = { ignore: !server.atLeast("7.0") };

test("an exact trim to a length keeps the newest, and returns how many were removed", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  for (let i = 0; i < 250; i++) producer.send(`${i}`);
  await producer.flush();
  assertEquals(await producer.trim({ maxLength: 30, exact: true }), 220);
  assertEquals(
    (await entriesOf(server, producer.streamKey)).map(({ payload }) => payload),
    Array.from({ length: 30 }, (_, i) => `${220 + i}`),
  );
  assertEquals(await producer.trim({ maxLength: 30, exact: true }), 0);
  assertEquals(await producer.trim({ maxLength: 0, exact: true }), 30);
});

test("an approximate trim removes whole nodes only, and never too much", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  for (let i = 0; i < 1_000; i++) producer.send(`${i}`);
  await producer.flush();
  const removed = await producer.trim({ maxLength: 350 });
  assert(removed > 0 && removed <= 650, `${removed}`);
  assertEquals(await server.command("XLEN", producer.streamKey), 1_000 - removed);
});

test("an approximate trim of very many entries runs to its end, whatever one command does", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  for (let i = 0; i < 40_000; i++) producer.send("");
  await producer.flush();
  const removed = await producer.trim({ maxLength: 100 });
  assert(removed > 39_000 && removed <= 39_900, `${removed}`);
  await server.command("DEL", producer.streamKey);
});

test("an approximate trim runs to its end also if the server's nodes hold few entries", async () => {
  await using small = await startServer({ args: ["--stream-node-max-entries", "10"] });
  await using streamer = await connect(small.url);
  const producer = await streamer.createProducer(uniqueKey());
  await addVeryMany(small, producer.streamKey, 30_000);
  assert(await producer.trim({ maxLength: 500 }) > 29_400);
}, { oneServer: OWN });

test("an exact trim to a time removes older entries, from a Date or a bigint", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  await fill(producer, 100);
  assertEquals(await producer.trim({ minTimestamp: new Date(1_040), exact: true }), 40);
  assertEquals(await producer.trim({ minTimestamp: 1_050n, exact: true }), 10);
  assertEquals((await entriesOf(server, producer.streamKey))[0].id, "1050-0");
}, own);

test("in a stream of nanoseconds a Date is converted to its unit", async () => {
  await using streamer = await connect(server.url, { timestampFormat: "nanoseconds" });
  const producer = await streamer.createProducer(uniqueKey());
  for (const timestamp of [1_999_999n, 2_000_000n, 2_500_000n]) producer.send("x", { timestamp });
  await producer.flush();
  assertEquals(await producer.trim({ minTimestamp: new Date(2), exact: true }), 1);
}, own);

test("a missing stream has nothing to trim", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  assertEquals(await producer.trim({ maxLength: 0, exact: true }), 0);
});

test("neither or both of length and time, and invalid numbers or times, are refused", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  const wrong: readonly unknown[] = [
    {},
    { exact: true },
    { maxLength: 1, minTimestamp: 1n },
    { maxLength: -1 },
    { maxLength: 1.5 },
    { maxLength: 2 ** 53 },
    { maxLength: 1e21 },
    { maxLength: NaN },
    { maxLength: "1" },
    { minTimestamp: new Date(NaN) },
    { minTimestamp: -1n },
    { minTimestamp: 5 },
    { minTimestamp: "2020-01-01" },
  ];
  for (const options of wrong) {
    // as: a value that a program without types may pass
    const error = await assertRejects(() => producer.trim(options as TrimOptions), StreamerError, undefined);
    assertEquals(error.code, "INVALID_OPTION", String(Object.entries(Object(options))));
  }
});

test("a refusal of the server rejects with its text", async () => {
  const key = uniqueKey();
  await server.command("SET", key, "no stream");
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(key);
  const error = await assertRejects(() => producer.trim({ maxLength: 1 }), RedisError);
  assertEquals([error.code, error.command], ["WRONGTYPE", "XTRIM"]);
  await server.command("DEL", key);
});

test("with maxLength each write trims, approximately", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), { maxLength: 200 });
  for (let i = 0; i < 2_000; i++) producer.send(`${i}`);
  producer.send("last", { headers: { h: "1" } });
  await producer.flush();
  const entries = await entriesOf(server, producer.streamKey);
  assert(entries.length >= 200 && entries.length < 400, `${entries.length}`);
  assertEquals(entries.at(-1)?.fields, ["msg", "last", "h", "1"]);
});

test("with maxAge each write trims older entries, approximately", async () => {
  await using streamer = await connect(server.url);
  const filler = await streamer.createProducer(uniqueKey());
  await fill(filler, 1_000); // from January 1970
  const producer = await streamer.createProducer(filler.streamKey, { maxAge: 3_600_000 });
  await producer.send("new");
  const entries = await entriesOf(server, filler.streamKey);
  assert(entries.length < 200, `${entries.length}`);
  assertEquals(entries.at(-1)?.payload, "new");
}, own);

test("an age is counted in the stream's unit", async () => {
  await using redis = await FakeRedis.start();
  for (const [timestampFormat, unit] of [["milliseconds", 1n], ["nanoseconds", 1_000_000n]] as const) {
    await using streamer = await connect(redis.url, { timestampFormat });
    const producer = await streamer.createProducer("k", { maxAge: 3_600_000 });
    await producer.send("x");
    const { words } = redis.added[redis.added.length - 1];
    assertEquals(words.slice(2, 4), ["MINID", "~"]);
    const age = BigInt(Date.now()) - BigInt(words[4].split("-")[0]) / unit;
    assert(age > 3_500_000n && age < 3_700_000n, `${age}`);
  }
}, { oneServer: OWN });

test("a maxLength of zero does not prevent writes", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k", { maxLength: 0 });
  await producer.send("x");
  assertEquals(redis.added[0].words.slice(1), ["k", "MAXLEN", "~", "0", "*", "msg", "x"]);
}, { oneServer: OWN });

test("a trim whose connection was lost is repeated, and returns the last reply", async () => {
  let asked = 0;
  await using redis = await FakeRedis.start({
    answers: { XLEN: ":5\r\n", XTRIM: () => ++asked === 1 ? ":" : ":3\r\n" },
  });
  await using streamer = await connect(redis.url, { reconnect: { initialDelay: 1 } });
  const producer = await streamer.createProducer("k");
  const trimming = producer.trim({ maxLength: 5 });
  await until(() => asked === 1);
  await redis.server.peers[0].cut();
  assertEquals([await trimming, asked], [3, 2]);
}, { oneServer: OWN });
