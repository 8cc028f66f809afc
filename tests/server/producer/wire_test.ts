// Tests that bytes are never mixed up: full sockets, partial writes, slow networks, large messages, cuts in the middle
// of them.

import { assert, assertEquals } from "@std/assert";
import { connect, type Producer } from "../../../mod.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { checkStream, type Ending, endingsOf, entriesOf } from "../../support/producer/stream_checks.ts";

const server = await sharedServer();
const seed = freshSeed();

/** Payloads that identify themselves in every part, so that any mixing shows. */
function payloadOf(index: number, size: number): string {
  const mark = `<${index}:${size}>`;
  return mark.repeat(Math.max(1, Math.ceil(size / mark.length))).slice(0, Math.max(size, mark.length));
}

function sendAll(producer: Producer, sizes: readonly number[]): Promise<Ending[]> {
  return endingsOf(sizes.map((size, i) => {
    const payload = payloadOf(i, size);
    // Texts and bytes in turn, some with headers: all ways into a buffer.
    const form = i % 3 === 0 ? new TextEncoder().encode(payload) : payload;
    return [payload, producer.send(form, i % 5 === 0 ? { headers: { i: `${i}` } } : undefined)] as const;
  }));
}

function sizesOf(random: Random, count: number): number[] {
  return Array.from(
    { length: count },
    () => random.of([0, 10, 300, 5_000, 65_400, 65_536, 70_000, 400_000]) + random.below(50),
  );
}

test(
  `while the socket is full more is sent, in all sizes; everything arrives complete and in order (seed ${seed})`,
  async () => {
    await using proxy = await startProxy(server);
    await using streamer = await connect(proxy.url);
    const producer = await streamer.createProducer(uniqueKey());
    const random = new Random(seed);
    proxy.toServer.hold(); // takes 64 KiB and then stops reading: the system's buffers fill, and ours
    const sizes = sizesOf(random, 150);
    const first = sendAll(producer, sizes);
    await until(() => proxy.toServer.received > 0);
    const later: Promise<Ending>[] = [];
    for (let i = 0; i < 20; i++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      const payload = payloadOf(1_000 + i, 3_000 * i);
      later.push(endingsOf([[payload, producer.send(payload)]]).then(([ending]) => ending));
    }
    proxy.toServer.release();
    const endings = [...await first, ...await Promise.all(later)];
    const entries = await entriesOf(server, producer.streamKey);
    checkStream(entries, endings, { delivery: "at-least-once", cuts: 0 });
    assert(endings.every((ending) => "receipt" in ending));
    assertEquals(entries.length, endings.length);
    await server.command("DEL", producer.streamKey);
  },
  { oneServer: PROXIED },
);

test("bytes in pieces of seven, both ways, produce the same messages", async () => {
  await using proxy = await startProxy(server);
  proxy.toServer.split(7);
  proxy.toClient.split(7);
  await using streamer = await connect(proxy.url);
  const producer = await streamer.createProducer(uniqueKey());
  const endings = await sendAll(producer, Array.from({ length: 60 }, (_, i) => i * 3));
  const entries = await entriesOf(server, producer.streamKey);
  assertEquals(entries.map(({ payload }) => payload), endings.map(({ payload }) => payload));
  assertEquals(entries.map(({ id }) => id), endings.map((ending) => "receipt" in ending && ending.receipt.id));
}, { oneServer: PROXIED });

test(
  `cuts while the socket is full: everything arrives complete, in order, and not too often (seed ${seed})`,
  async () => {
    await using proxy = await startProxy(server);
    await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 1 } });
    const producer = await streamer.createProducer(uniqueKey());
    const random = new Random(seed);
    let cuts = 0;
    streamer.addEventListener("disconnect", () => cuts++);
    const all = sendAll(producer, sizesOf(random, 120));
    for (let i = 0; i < 5; i++) {
      const { connections } = proxy;
      proxy.toServer.cutAfter(1 + random.below(700_000));
      await until(() => proxy.connections > connections || producer.stats().buffered === 0);
    }
    const endings = await all;
    assert(endings.every((ending) => "receipt" in ending));
    checkStream(await entriesOf(server, producer.streamKey), endings, { delivery: "at-least-once", cuts });
    await server.command("DEL", producer.streamKey);
  },
  { oneServer: PROXIED, timeout: 40_000 },
);

test(
  "a message of 8 MiB that is cut in its middle is sent again, and its neighbours keep their places",
  async () => {
    await using proxy = await startProxy(server);
    await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 1 } });
    for (const offset of [1_000, 4_000_000, 8_388_600]) {
      const producer = await streamer.createProducer(uniqueKey());
      await producer.sendTo(uniqueKey(), "warm");
      const lost = nextEvent(streamer, "disconnect");
      proxy.toServer.cutAfter(offset);
      const endings = await sendAll(producer, [100, 8 * 1024 * 1024, 100]);
      await lost;
      assert(endings.every((ending) => "receipt" in ending));
      const entries = await entriesOf(server, producer.streamKey);
      checkStream(entries, endings, { delivery: "at-least-once" });
      await server.command("DEL", producer.streamKey);
      await producer.end();
    }
  },
  { oneServer: PROXIED, timeout: 40_000 },
);

test("a message whose upload takes longer than the timeout succeeds at the first attempt", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { timeout: 1_500 });
  let cuts = 0;
  streamer.addEventListener("disconnect", () => cuts++);
  const producer = await streamer.createProducer(uniqueKey(), { sendTimeout: 40_000 });
  await producer.send("warm");
  // Four seconds, of which the systems' buffers hide a few tenths at the end.
  proxy.toServer.limit(12_500_000);
  await producer.send(new Uint8Array(50 * 1024 * 1024));
  assertEquals(cuts, 0);
  await server.command("DEL", producer.streamKey);
}, { oneServer: PROXIED, timeout: 60_000 });

test("a slow network delays everything, and nothing times out while bytes move", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { timeout: 400 });
  let cuts = 0;
  streamer.addEventListener("disconnect", () => cuts++);
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("warm");
  proxy.toServer.limit(25_000); // a second for the following ones; each message takes a fortieth of it
  const endings = await sendAll(producer, Array(40).fill(500));
  assert(endings.every((ending) => "receipt" in ending));
  assertEquals(cuts, 0);
}, { oneServer: PROXIED });

test(
  "with timestamps nothing is lost at a cut and the order holds; unknown outcomes are reported as such",
  async () => {
    for (const timestampFormat of ["milliseconds", "nanoseconds"] as const) {
      await using proxy = await startProxy(server);
      await using streamer = await connect(proxy.url, { timestampFormat, reconnect: { initialDelay: 1 } });
      const producer = await streamer.createProducer(uniqueKey());
      await producer.send("warm", { timestamp: 1n });
      proxy.toClient.cutAfter(100); // some of the replies
      const options = (i: number) =>
        timestampFormat === "nanoseconds" && i > 5 ? undefined : { timestamp: BigInt(1_000 + i) };
      const sends = Array.from({ length: 30 }, (_, i) => [`m${i}`, producer.send(`m${i}`, options(i))] as const);
      const endings = await endingsOf(sends);
      const entries = (await entriesOf(server, producer.streamKey)).slice(1);
      assertEquals([...new Set(entries.map(({ payload }) => payload))], sends.map(([payload]) => payload));
      checkStream(entries, endings, { delivery: "at-least-once" });
    }
  },
  { oneServer: PROXIED, ignore: !server.atLeast("7.0") },
);

test("in a stream of nanoseconds a cut fails no message: a resent one gets a later time", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { timestampFormat: "nanoseconds", reconnect: { initialDelay: 1 } });
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("warm");
  proxy.toClient.cutAfter(100); // some of the replies
  const sends = Array.from({ length: 300 }, (_, i) => [`m${i}`, producer.send(`m${i}`)] as const);
  const endings = await endingsOf(sends);
  assert(endings.every((ending) => "receipt" in ending));
  checkStream((await entriesOf(server, producer.streamKey)).slice(1), endings, { delivery: "at-least-once" });
}, { oneServer: PROXIED, ignore: !server.atLeast("7.0") });
