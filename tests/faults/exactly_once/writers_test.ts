// Tests that a producer with ids of its own notices other writers, clocks that are set back, and entries that were trimmed.

import { assert, assertEquals } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { checkExactlyOnce, sendMany, SINGLE_WRITER } from "../../support/producer/single_writer.ts";
import { checkStream, type Ending, endingsOf, entriesOf } from "../../support/producer/stream_checks.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const RECONNECT = { initialDelay: 5 };
const HOUR = 3_600_000;

function codesOf(endings: readonly Ending[]): string[] {
  const codes = endings.flatMap((ending) =>
    "error" in ending ? [`${Reflect.get(Object(ending.error), "code")} ${ending.outcome}`] : []
  );
  return [...new Set(codes)];
}

test("a second writer with 100 entries among 10,000: failed messages reject CONFLICT and are not stored", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), SINGLE_WRITER);
  const sending = sendMany(producer, 10_000);
  let foreign = 0;
  for (; foreign < 100; foreign++) {
    const { sent } = producer.stats();
    await until(() => producer.stats().sent >= Math.min(10_000, sent + 80));
    await server.command("XADD", producer.streamKey, "*", "foreign", String(foreign));
  }
  const endings = await sending;
  const entries = await entriesOf(server, producer.streamKey);
  const ours = entries.filter(({ fields }) => fields[0] === "msg");
  checkStream(ours, endings, { delivery: "exactly-once" });
  const acked = endings.filter((ending) => "receipt" in ending).length;
  assertEquals(entries.length, acked + foreign);
  assert(codesOf(endings).every((code) => code === "CONFLICT not-written"), String(codesOf(endings)));
  assertEquals(producer.stats().conflicts, endings.length - acked);
  assert(acked > 5_000, `${acked} of ${endings.length} are stored`);
  await server.command("DEL", producer.streamKey);
}, { timeout: 40_000 });

test("a second writer ahead of the clock costs what was in flight, also while connections are reset", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer(uniqueKey(), SINGLE_WRITER);
  const sending = sendMany(producer, 4_000);
  for (let round = 1; round <= 10; round++) {
    const { sent } = producer.stats();
    await until(() => producer.stats().sent >= Math.min(4_000, sent + 250));
    proxy.toServer.hold(); // so that messages are in flight
    await until(() => producer.stats().buffered > 0 || producer.stats().sent === 4_000);
    await server.command("XADD", producer.streamKey, `${Date.now() + round * 1_000}-0`, "foreign", "1");
    proxy.toServer.release();
    await proxy.cut();
  }
  const endings = await sending;
  const entries = await entriesOf(server, producer.streamKey);
  checkStream(entries.filter(({ fields }) => fields[0] === "msg"), endings, { delivery: "exactly-once" });
  const acked = endings.filter((ending) => "receipt" in ending).length;
  assertEquals(entries.length, acked + 10);
  assertEquals(codesOf(endings).filter((code) => code !== "CONFLICT not-written"), []);
  assert(acked > 1_000, `${acked} are stored`);
  await server.command("DEL", producer.streamKey);
}, { timeout: 40_000, oneServer: PROXIED });

test(
  "a clock that is set back by an hour, and the end of a stream that is an hour ahead: ids rise, and nothing fails",
  async () => {
    await using streamer = await connect(server.url);
    const key = uniqueKey();
    const producer = await streamer.createProducer(key, SINGLE_WRITER);
    const endings = await sendMany(producer, 500);
    const { now } = Date;
    try {
      Date.now = () => now() - HOUR;
      endings.push(...await sendMany(producer, 500, 500));
    } finally {
      Date.now = now;
    }
    endings.push(...await sendMany(producer, 500, 1_000));
    const entries = await entriesOf(server, key);
    checkExactlyOnce(entries, endings);
    const half = (at: number) => Number(entries[at].id.split("-")[0]);
    assertEquals(half(999), half(500), "the first half stands still");
    const ahead = Date.now() + HOUR;
    await server.command("XSETID", key, `${ahead}-5`);
    const restarted = await streamer.createProducer(key, SINGLE_WRITER);
    const later = await sendMany(restarted, 100, 1_500);
    checkExactlyOnce(await entriesOf(server, key), [...endings, ...later]);
    assertEquals("receipt" in later[0] && later[0].receipt.id, `${ahead}-6`);
    // The older producer meets the entries of the newer one: its next messages in flight fail, and later ones are stored.
    await endingsOf([["lost", producer.send("lost")]]);
    assertEquals(producer.stats().conflicts, 1);
    const { id } = await producer.send("stored");
    assert([`${ahead}-106`, `${ahead + 1}-0`].includes(id), id);
    await server.command("DEL", key);
  },
  { timeout: 40_000 },
);

test(
  "messages that were trimmed before their lost replies reject AMBIGUOUS, and all others are stored once",
  async () => {
    await using proxy = await startProxy(server);
    await using streamer = await connect(proxy.url, { reconnect: RECONNECT });
    const producer = await streamer.createProducer(uniqueKey(), { ...SINGLE_WRITER, maxLength: 200 });
    await producer.send("first");
    proxy.toClient.hold();
    const all = endingsOf(Array.from({ length: 1_000 }, (_, i) => [`m${i}`, producer.send(`m${i}`)] as const));
    await until(async () => Number(await server.command("XINFO", "STREAM", producer.streamKey).then(addedIn)) >= 1_001);
    await proxy.cut();
    proxy.toClient.release();
    const endings = await all;
    const stored = (await entriesOf(server, producer.streamKey)).map(({ payload }) => payload);
    assertEquals(codesOf(endings), ["AMBIGUOUS unknown"]);
    for (const ending of endings) assertEquals("receipt" in ending, stored.includes(ending.payload), ending.payload);
    assertEquals(new Set(stored).size, stored.length);
    const { id } = await producer.send("last");
    assertEquals((await entriesOf(server, producer.streamKey)).at(-1)?.id, id);
    await server.command("DEL", producer.streamKey);
  },
  { oneServer: PROXIED },
);

/** The length and the trimmed entries that XINFO STREAM reports. */
function addedIn(info: unknown): number {
  assert(Array.isArray(info));
  const at = info.indexOf("entries-added");
  return at < 0 ? Infinity : Number(info[at + 1]);
}

test("an entry of another writer under the id of a message in doubt rejects it with CONFLICT", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer(uniqueKey(), SINGLE_WRITER);
  const { id: first } = await producer.send("first", { timestamp: BigInt(Date.now() + 1_000) });
  proxy.toServer.hold();
  const receipt = producer.send("mine");
  receipt.catch(() => {});
  await until(() => producer.stats().inFlight === 1);
  const [time, second] = first.split("-");
  await server.command("XADD", producer.streamKey, `${time}-${Number(second) + 1}`, "msg", "theirs");
  await proxy.cutClients();
  proxy.toServer.release();
  const ending = await endingsOf([["mine", receipt]]);
  assertEquals(codesOf(ending), ["CONFLICT not-written"]);
  assert("error" in ending[0] && ending[0].error instanceof StreamerError);
  assertEquals((await entriesOf(server, producer.streamKey)).map(({ payload }) => payload), ["first", "theirs"]);
  await server.command("DEL", producer.streamKey);
}, { oneServer: PROXIED });
