// Tests that a producer with ids of its own stores each message once while connections are reset, replies are lost, old connections
// write late, and the server stops or crashes.

import { assert, assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { OWN, PROXIED } from "../../support/one_server.ts";
import { Lines } from "../../support/producer/lines.ts";
import { checkExactlyOnce, sendMany, SINGLE_WRITER } from "../../support/producer/single_writer.ts";
import { checkStream, type Ending, endingsOf, entriesOf } from "../../support/producer/stream_checks.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const own = { ignore: !(await canStartServers()), timeout: 40_000, oneServer: OWN };
const proxied = { timeout: 40_000, oneServer: PROXIED };
const RECONNECT = { initialDelay: 5 };
const COUNT = 12_000;

for (const timestampFormat of ["milliseconds", "nanoseconds"] as const) {
  test(`all connections are reset every 200 ms, in ${timestampFormat}`, async () => {
    await using proxy = await startProxy(server);
    await using streamer = await connect(proxy.url, { reconnect: RECONNECT, timestampFormat });
    const producer = await streamer.createProducer(uniqueKey(), SINGLE_WRITER);
    let cuts = 0;
    const timer = setInterval(() => {
      cuts++;
      proxy.cut();
    }, 200);
    const endings: Ending[] = [];
    try {
      while (cuts < 8 || endings.length < COUNT) endings.push(...await sendMany(producer, COUNT / 4, endings.length));
    } finally {
      clearInterval(timer);
    }
    checkExactlyOnce(await entriesOf(server, producer.streamKey), endings);
    assertEquals([producer.stats().buffered, producer.stats().conflicts], [0, 0]);
    await server.command("DEL", producer.streamKey);
  }, proxied);
}

test("replies are lost again and again: the messages are found in the stream, and none is stored again", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer(uniqueKey(), SINGLE_WRITER);
  const sending = sendMany(producer, COUNT);
  let lost = 0;
  for (let round = 0; round < 8; round++) {
    const { acked } = producer.stats();
    await until(() => producer.stats().acked > acked + 500 || producer.stats().acked === COUNT);
    proxy.toClient.hold();
    const { received } = proxy.toClient;
    await until(() => proxy.toClient.received > received || producer.stats().acked === COUNT);
    if (producer.stats().inFlight > 0) lost++;
    await proxy.cut();
    proxy.toClient.release();
  }
  const endings = await sending;
  assert(lost > 3, `replies were lost ${lost} times`);
  checkExactlyOnce(await entriesOf(server, producer.streamKey), endings);
  await server.command("DEL", producer.streamKey);
}, proxied);

test(
  "an old connection that cannot be killed delivers its messages late: the server refuses them, or they count as stored",
  async () => {
    await using fenceless = await startServer();
    await fenceless.command("ACL", "SETUSER", "default", "-client|kill");
    await using lines = await Lines.start(fenceless);
    await using streamer = await connect(lines.url, { reconnect: RECONNECT });
    const unavailable = nextEvent(streamer, "fence-unavailable");
    const producer = await streamer.createProducer(uniqueKey(), SINGLE_WRITER);
    const all = [...await sendMany(producer, 100)];
    for (let round = 0; round < 6; round++) {
      const line = lines.lines[lines.lines.length - 1];
      const others = lines.lines.filter((other) => other !== line && !other.serverClosed);
      for (const other of [line, ...others]) other.hold();
      const sending = sendMany(producer, 400, all.length);
      await until(() => [line, ...others].some(({ waiting }) => waiting > 2_000));
      const held = [line, ...others].filter(({ waiting }) => waiting > 0);
      await Promise.all([line, ...others].map((other) => other.cutClient()));
      if (round % 2 === 0) await new Promise((resolve) => setTimeout(resolve, round * 7));
      for (const other of held) other.release(); // while the messages are sent again
      all.push(...await sending);
    }
    await unavailable;
    checkExactlyOnce(await entriesOf(fenceless, producer.streamKey), all);
  },
  own,
);

test("a server that is suspended for longer than the timeout", async () => {
  await using frozen = await startServer();
  await using streamer = await connect(frozen.url, { timeout: 100, reconnect: RECONNECT });
  const producer = await streamer.createProducer(uniqueKey(), SINGLE_WRITER);
  const sending = sendMany(producer, COUNT);
  for (let round = 0; round < 3; round++) {
    const { acked } = producer.stats();
    await until(() => producer.stats().acked > acked + 1_000);
    const lost = nextEvent(streamer, "disconnect");
    await frozen.kill("SIGSTOP");
    await lost;
    await new Promise((resolve) => setTimeout(resolve, 150));
    await frozen.kill("SIGCONT");
  }
  const endings = await sending;
  checkExactlyOnce(await entriesOf(frozen, producer.streamKey), endings);
}, own);

test(
  "a server with an append-only file is killed and restarted: nothing acknowledged is lost, and nothing is stored twice",
  async () => {
    await using mortal = await startServer({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
    await using streamer = await connect(mortal.url, { reconnect: RECONNECT });
    const producer = await streamer.createProducer(uniqueKey(), SINGLE_WRITER);
    const sending = sendMany(producer, COUNT);
    for (let round = 0; round < 3; round++) {
      const { acked } = producer.stats();
      await until(() => producer.stats().acked > acked + 1_000);
      await mortal.kill("SIGKILL");
      await mortal.restart();
    }
    const endings = await sending;
    checkStream(await entriesOf(mortal, producer.streamKey), endings, { delivery: "exactly-once" });
    // A message refused by a server that was still loading, and overtaken by a later one, cannot keep its place.
    const failed = endings.filter((ending) => "error" in ending && !/LOADING/.test(String(ending.error)));
    assertEquals(failed, []);
  },
  own,
);

test(
  "a producer that is started again continues above its earlier messages, which are stored once if they come late",
  async () => {
    await using lines = await Lines.start(server);
    const key = uniqueKey();
    const options = { reconnect: RECONNECT, clientInfo: false };
    const first = await connect(lines.url, options);
    const before = await sendMany(await first.createProducer(key, SINGLE_WRITER), 500);
    for (const line of lines.lines) line.hold();
    const last = await first.createProducer(key, SINGLE_WRITER);
    const left = Array.from({ length: 20 }, (_, i) => [`late${i}`, last.send(`late${i}`)] as const);
    const endings = endingsOf(left);
    const { lines: [...old] } = lines;
    await first.disconnect({ timeout: 50 });
    assert((await endings).every((ending) => "error" in ending));
    await using second = await connect(lines.url, options);
    const producer = await second.createProducer(key, SINGLE_WRITER);
    const after = await sendMany(producer, 500, 500);
    for (const line of old) line.release();
    after.push(...await sendMany(producer, 500, 1_000));
    checkExactlyOnce(await entriesOf(server, key), [...before, ...after]);
    await server.command("DEL", key);
  },
  proxied,
);

test("a message for which the server closes the connection fails alone, and all others are stored once", async () => {
  await using limited = await startServer({ args: ["--client-query-buffer-limit", "1mb"] });
  await using streamer = await connect(limited.url, { reconnect: { initialDelay: 1, maxDelay: 5 } });
  const producer = await streamer.createProducer(uniqueKey(), { ...SINGLE_WRITER, highWaterMark: 1e8 });
  const large = "x".repeat(3_000_000);
  const payloads = Array.from({ length: 60 }, (_, i) => i === 25 ? large : `m${i}`);
  const endings = await endingsOf(payloads.map((payload) => [payload, producer.send(payload)] as const));
  const failed = endings[25];
  assert("error" in failed);
  assertEquals([Reflect.get(Object(failed.error), "code"), failed.outcome], ["DISCONNECTED", "unknown"]);
  checkExactlyOnce(await entriesOf(limited, producer.streamKey), endings.filter((ending) => ending !== failed));
}, own);
