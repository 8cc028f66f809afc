// Tests `seek`: which message is the first after a time, exact at the borders, in both formats.

import { assert, assertEquals } from "@std/assert";
import { connect, StreamerError, type TimestampFormat } from "../../../mod.ts";
import {
  addAt,
  addMany,
  connectHastily,
  idsInRange,
  Monitor,
  restUpToMark,
  take,
  takeIds,
  takeTexts,
  texts,
} from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const MAX = "18446744073709551615";
const realTime = { mode: "real-time" } as const;

/** Seeks, and compares the messages with those of XRANGE after that id. */
async function seeks(
  format: TimestampFormat,
  ids: readonly string[],
  times: readonly (readonly [Date | bigint, string])[],
): Promise<void> {
  const key = uniqueKey();
  for (const id of ids) await addAt(server, key, id);
  await using streamer = await connect(server.url, { timestampFormat: format });
  const consumer = await streamer.createConsumer(key, realTime);
  for (const [time, behind] of times) {
    await consumer.seek(time);
    const expected = behind === `${MAX}-${MAX}` ? [] : await idsInRange(server, key, `(${behind}`);
    assertEquals(await takeIds(consumer, expected.length), expected, String(time));
    assertEquals(consumer.stats().queued, 0);
  }
}

test("a Date resumes after the last possible id of its millisecond", async () => {
  const ids = ["0-1", "999-5", "1000-0", "1000-1", "1000-65536", `1000-${MAX}`, "1001-0", "1002-3", "5000-0"];
  await seeks("milliseconds", ids, [
    [new Date(0), `0-${MAX}`],
    [new Date(998), `998-${MAX}`],
    [new Date(999), `999-${MAX}`],
    [new Date(1000), `1000-${MAX}`],
    [new Date(1001), `1001-${MAX}`],
    [new Date(4999), `4999-${MAX}`],
    [new Date(5000), `5000-${MAX}`],
    [new Date(0), `0-${MAX}`],
  ]);
});

test("a bigint is the same in the stream's own unit", async () => {
  const ids = [
    "999-5",
    "1000-0",
    "1000-1",
    `1000-${MAX}`,
    "1001-0",
    "9007199254740993-0",
    "9007199254740993-1",
    `${MAX}-5`,
  ];
  await seeks("milliseconds", ids, [
    [0n, `0-${MAX}`],
    [999n, `999-${MAX}`],
    [1000n, `1000-${MAX}`],
    [9007199254740992n, `9007199254740992-${MAX}`],
    [9007199254740993n, `9007199254740993-${MAX}`],
    [18446744073709551614n, `18446744073709551614-${MAX}`],
    [18446744073709551615n, `${MAX}-${MAX}`],
  ]);
});

test("in nanoseconds a Date stands for its whole millisecond, a bigint for its one nanosecond", async () => {
  const ids = ["1999999-9", "2000000-0", "2000001-0", "2999999-0", `2999999-${MAX}`, "3000000-0", "3000001-7"];
  await seeks("nanoseconds", ids, [
    [new Date(1), `1999999-${MAX}`],
    [new Date(2), `2999999-${MAX}`],
    [new Date(3), `3999999-${MAX}`],
    [1999999n, `1999999-${MAX}`],
    [2000000n, `2000000-${MAX}`],
    [2999998n, `2999998-${MAX}`],
    [2999999n, `2999999-${MAX}`],
    [3000000n, `3000000-${MAX}`],
  ]);
});

for (const format of ["milliseconds", "nanoseconds"] as const) {
  test(`the latest possible Date is accepted in ${format}`, async () => {
    const key = uniqueKey();
    await addAt(server, key, "5-5");
    await using monitor = await Monitor.open(server);
    await using streamer = await connect(server.url, { timestampFormat: format });
    const consumer = await streamer.createConsumer(key, realTime);
    const refused = await consumer.seek(new Date(8.64e15)).then(() => undefined, (error) => error);
    if (refused !== undefined) assert(refused instanceof StreamerError && refused.code === "INVALID_OPTION");
    const asked = consumer.next();
    asked.catch(() => {});
    const reads = monitor.count("XREAD", key);
    await until(() => monitor.count("XREAD", key) > reads || reads > 1);
    await monitor.settled(server);
    await consumer.rewind("beginning");
    assertEquals((await asked).id, "5-5");
  });
}

test("a position ahead of the stream is no stream reset: reading waits until entries are after it", async () => {
  const positions = [new Date(9_000), 9_000n, "9000-18446744073709551615", (9_000n << 16n) | 0xffffn];
  await Promise.all(positions.map(async (ahead) => {
    const key = uniqueKey();
    await addAt(server, key, "1000-0");
    await using monitor = await Monitor.open(server);
    await using streamer = await connectHastily(server.url, { timeout: 100 });
    const resets: unknown[] = [];
    streamer.addEventListener("stream-reset", ({ detail }) => resets.push(detail));
    const consumer = await streamer.createConsumer(key, { ...realTime, onStreamReset: "earliest" });
    if (typeof ahead === "string" || (typeof ahead === "bigint" && ahead > 9_000n)) await consumer.rewind(ahead);
    else await consumer.seek(ahead);
    await addAt(server, key, "2000-0");
    const reads = monitor.count("XREAD", key);
    await until(() => monitor.count("XREAD", key) >= reads + 3, { what: "heartbeats" });
    await addAt(server, key, "9000-3");
    await addAt(server, key, "9001-0");
    const [first] = await takeIds(consumer, 1);
    assertEquals([first, resets], ["9001-0", []], String(ahead));
  }));
});

test("a pending next is answered from the new position", async () => {
  const key = uniqueKey();
  await addMany(server, key, 5);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, realTime);
  const asked = [consumer.next(), consumer.next()];
  const batch = consumer.batches({ max: 1 }).next();
  await consumer.seek(new Date(0));
  assertEquals((await Promise.all(asked)).map((message) => message.text()), ["0", "1"]);
  assertEquals((await batch).value?.map((message: { text(): string }) => message.text()), ["2"]);
  assertEquals(await takeTexts(consumer, 2), ["3", "4"]);
});

test("no message from before the call is returned afterwards, however many are queued or in flight", async () => {
  const key = uniqueKey();
  await addMany(server, key, 3_000, "old");
  await addAt(server, key, "9000000000000-0", "mark");
  await addAt(server, key, "9000000000001-0", "first");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, autoStreamReset: "earliest", prefetch: 3 });
  for (let round = 0; round < 20; round++) {
    assertEquals((await take(consumer, 1 + round * 7))[0].text(), "old0");
    const seeking = consumer.seek(9000000000000n);
    const asked = consumer.next();
    await seeking;
    assertEquals((await asked).text(), "first");
    await consumer.rewind("beginning");
  }
});

test("a seek moves all streams", async () => {
  const keys = [uniqueKey(), uniqueKey(), uniqueKey()];
  for (const key of keys) for (const id of ["10-0", "20-0", "30-0"]) await addAt(server, key, id);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(keys, { ...realTime, autoStreamReset: "earliest" });
  await take(consumer, 5);
  await consumer.seek(20n);
  const got = (await take(consumer, 3)).map((message) => [message.streamKey, message.id]);
  assertEquals(got.toSorted(), keys.map((key) => [key, "30-0"]).toSorted());
  await consumer.seek(0n);
  assertEquals((await take(consumer, 9)).length, 9);
  assertEquals(await restUpToMark(server, consumer, ...keys), []);
});

test("after a seek to the past new messages follow the old ones", async () => {
  const key = uniqueKey();
  await addMany(server, key, 300);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, realTime);
  await consumer.seek(new Date(0));
  assertEquals(await takeTexts(consumer, 100), texts(100));
  await addMany(server, key, 50, "new");
  assertEquals(await takeTexts(consumer, 250), [...texts(200, "", 100), ...texts(50, "new")]);
});
