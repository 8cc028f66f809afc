// Tests connections that are dead without a sign: they are noticed during a blocked read, and replaced.

import { assertEquals } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import {
  addMany,
  blockedClient,
  connectHastily,
  restUpToMark,
  takeTexts,
  texts,
} from "../../support/consumer/reading.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());
const server = await sharedServer();
const options = { timeout: 150, reconnect: { initialDelay: 5, maxDelay: 50 } };

test("a connection that drops all bytes is noticed during a blocked read and replaced", async () => {
  const key = uniqueKey();
  const name = uniqueKey("client");
  await using proxy = await startProxy(server);
  await using streamer = await connectHastily(proxy.url, { ...options, clientName: name });
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const asked = consumer.next();
  await blockedClient(server, name);
  const lost = nextEvent<{ cause: unknown }>(streamer, "disconnect");
  proxy.toClient.hold({ swallow: true });
  proxy.toServer.hold({ swallow: true });
  await addMany(server, key, 3);
  const { cause } = (await lost).detail;
  assertEquals(cause instanceof StreamerError && cause.code, "TIMEOUT");
  await proxy.cut();
  proxy.toClient.release();
  proxy.toServer.release();
  assertEquals([(await asked).text(), ...await takeTexts(consumer, 2)], texts(3));
  assertEquals(await restUpToMark(server, consumer, key), []);
});

test("a page on such a connection is not lost, and one that arrives late is not repeated", async () => {
  const key = uniqueKey();
  await using proxy = await startProxy(server);
  const name = uniqueKey("client");
  await using streamer = await connectHastily(proxy.url, { ...options, clientName: name });
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  for (let round = 0; round < 2; round++) {
    const asked = consumer.next();
    await blockedClient(server, name);
    const lost = nextEvent(streamer, "disconnect");
    proxy.toClient.hold({ swallow: true });
    await addMany(server, key, 5, `round${round}-`);
    await lost;
    proxy.toClient.release();
    assertEquals([(await asked).text(), ...await takeTexts(consumer, 4)], texts(5, `round${round}-`));
  }
  assertEquals(await restUpToMark(server, consumer, key), []);
});

test("a server that is suspended and continued is read further", async () => {
  await using own = await startServer();
  const key = uniqueKey();
  const name = uniqueKey("client");
  await using streamer = await connectHastily(own.url, { ...options, clientName: name });
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const asked = consumer.next();
  await blockedClient(own, name);
  const lost = nextEvent(streamer, "disconnect");
  await own.kill("SIGSTOP");
  await lost;
  await own.kill("SIGCONT");
  await addMany(own, key, 2);
  assertEquals([(await asked).text(), ...await takeTexts(consumer, 1)], texts(2));
  assertEquals(await restUpToMark(own, consumer, key), []);
}, { ignore });

test("a quiet stream on a good connection is not silence: nothing is replaced", async () => {
  const key = uniqueKey();
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { ...options, timeout: 400 });
  const lost: unknown[] = [];
  streamer.addEventListener("disconnect", ({ detail }) => lost.push(detail));
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const asked = consumer.next();
  const before = proxy.toClient.passed;
  // Several heartbeats: each gets a reply.
  await until(() => proxy.toClient.passed > before + 100, { what: "heartbeats are answered" });
  assertEquals([lost, proxy.connections], [[], 2]);
  await addMany(server, key, 1);
  assertEquals((await asked).text(), "0");
});
