// Tests `process` with `delivery: "exactly-once"` where answers are lost, connections are cut, and the server refuses for a while.

import { assert, assertEquals } from "@std/assert";
import { connect, type Message, process } from "../../../mod.ts";
import { fixedGroup, HeldHandlers, stored, untilHandled } from "../../support/consumer/exactly_once.ts";
import { until } from "../../support/events.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { OWN, PROXIED } from "../../support/one_server.ts";
import { Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const reconnect = { initialDelay: 1, maxDelay: 20 };

test("a call whose answer is lost is made again, and stores nothing twice", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect });
  const { input, output, consumer } = await fixedGroup(server, streamer, 3);
  const producer = await streamer.createProducer(output);
  const stop = new AbortController();
  const handlers = new HeldHandlers();
  const done = process(consumer, handlers.handler, { delivery: "exactly-once", producer, signal: stop.signal });
  await handlers.begun(3);
  proxy.toClient.hold();
  handlers.release();
  await until(async () => (await stored(server, output)).length === 3);
  await proxy.cut();
  proxy.toClient.release();
  await untilHandled(server, input);
  stop.abort();
  assertEquals(await done, { handled: 0, failed: 0, repeated: 3 });
  assertEquals(await stored(server, output), ["0", "1", "2"]);
  assertEquals(consumer.stats().inHand, 0);
}, { oneServer: PROXIED });

test("a copy of a call that arrives late stores nothing", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect });
  const { input, output, consumer } = await fixedGroup(server, streamer, 3);
  const producer = await streamer.createProducer(output);
  const stop = new AbortController();
  const handlers = new HeldHandlers();
  const done = process(consumer, handlers.handler, { delivery: "exactly-once", producer, signal: stop.signal });
  await handlers.begun(3);
  const before = proxy.toServer.received;
  proxy.toServer.hold({ swallow: true });
  handlers.release();
  await until(() => proxy.toServer.received > before + 100, { what: "the call is on its way" });
  await proxy.cutClients(); // the held bytes reach the server later
  proxy.toServer.release();
  await untilHandled(server, input);
  stop.abort();
  const { handled, failed, repeated } = await done;
  assertEquals([handled + repeated, failed], [3, 0]);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assertEquals(await stored(server, output), ["0", "1", "2"]);
}, { oneServer: PROXIED });

test("random cuts at any byte neither lose nor repeat an output", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  console.log(`    seed ${seed}`);
  const random = new Random(seed);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect, timeout: 20_000 });
  const { input, output, consumer } = await fixedGroup(server, streamer, 3_000);
  const producer = await streamer.createProducer(output);
  const stop = new AbortController();
  const done = process(consumer, (message: Message) => [`${message.text()} a`, `${message.text()} b`], {
    delivery: "exactly-once",
    producer,
    signal: stop.signal,
    concurrency: 8,
  });
  let over = false;
  const cutting = (async () => {
    while (!over) {
      const way = random.below(2) === 0 ? proxy.toServer : proxy.toClient;
      way.cutAfter(1 + random.below(20_000));
      await new Promise((resolve) => setTimeout(resolve, 5 + random.below(20)));
    }
  })();
  try {
    await untilHandled(server, input, { timeout: 40_000 });
  } finally {
    over = true;
    await cutting;
  }
  stop.abort();
  const { handled, failed, repeated } = await done;
  assertEquals([handled + repeated, failed], [3_000, 0]);
  const found = await stored(server, output);
  assertEquals(found.length, 6_000, `seed ${seed}`);
  assertEquals(new Set(found).size, 6_000, `seed ${seed}`);
}, { oneServer: PROXIED, timeout: 60_000 });

test("a full server is waited for: nothing fails, and the order is kept", async () => {
  await using own = await startServer();
  await using streamer = await connect(own.url, { reconnect });
  const { input, output, consumer } = await fixedGroup(own, streamer, 300);
  const producer = await streamer.createProducer(output);
  const stop = new AbortController();
  let handled = 0;
  let full: Promise<unknown> | undefined;
  const deliveries = new Set<number>();
  const done = process(consumer, async (message) => {
    if (++handled === 100) full = own.command("CONFIG", "SET", "maxmemory", "1");
    await full;
    deliveries.add(message.deliveries);
    return message.text();
  }, { delivery: "exactly-once", producer, signal: stop.signal, concurrency: 1 });
  await until(() => handled === 300);
  const before = (await stored(own, output)).length;
  assert(before < 300, `${before} were stored by a full server`);
  await own.command("CONFIG", "SET", "maxmemory", "0");
  await untilHandled(own, input);
  stop.abort();
  assertEquals(await done, { handled: 300, failed: 0, repeated: 0 });
  assertEquals([...deliveries], [1]);
  assertEquals(await stored(own, output), Array.from({ length: 300 }, (_, i) => `${i}`));
}, { ignore: !await canStartServers(), oneServer: OWN });

test("a key that a user may not write fails its own inputs only", async () => {
  await using own = await startServer();
  await own.command("ACL", "SETUSER", "u", "on", ">pw", "~*in", "~*out:0", "&*", "+@all");
  await using streamer = await connect(own.url.replace("redis://", "redis://u:pw@"), { reconnect });
  const { input, output, consumer } = await fixedGroup(own, streamer, 100);
  const sharder = { shard: (_: string, payload: string | Uint8Array) => Number(payload) % 10 === 7 ? 1 : 0 };
  const producer = await streamer.createProducer(output, { sharder });
  const stop = new AbortController();
  const failed = new Set<string>();
  const done = process(consumer, (message) => message.text(), {
    delivery: "exactly-once",
    producer,
    signal: stop.signal,
    retryDelay: 60_000,
    concurrency: 100,
    onError: (_, message) => void failed.add(message.text()),
  });
  await untilHandled(own, input, { left: 10 });
  stop.abort();
  assertEquals(await done, { handled: 90, failed: 10, repeated: 0 });
  assertEquals([...failed].every((text) => text.endsWith("7")), true);
  assertEquals((await stored(own, `${output}:0`)).length, 90);
}, { ignore: !await canStartServers(), oneServer: OWN });
