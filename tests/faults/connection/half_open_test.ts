// Tests that a silent connection is noticed while small writes happen now and then, by any writer, also over TLS: bytes
// that the system accepts say nothing about the server.

import { assert, assertEquals } from "@std/assert";
import { connect, type ConnectOptions, type Message, type RedisStreamer, StreamerError } from "../../../mod.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { type Proxy, startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, type OwnServer, startServer } from "../../support/servers/server.ts";
import { certificates } from "../../support/network/tls.ts";

const ignore = !(await canStartServers());
const { ca, server: identity } = await certificates();

interface Place {
  readonly server: OwnServer;
  readonly url: string;
  readonly proxy: Proxy;
  readonly options: ConnectOptions;
}

async function withPlace(tls: boolean, run: (place: Place) => Promise<void>): Promise<void> {
  await using server = await startServer(tls ? { tls: { ca, ...identity } } : {});
  await using proxy = await startProxy(server);
  const url = tls ? proxy.url.replace("redis:", "rediss:") : proxy.url;
  const options = {
    timeout: 500,
    reconnect: { initialDelay: 5, maxDelay: 50 },
    ...(tls ? { tls: { caCerts: [ca] } } : {}),
  };
  await run({ server, url, proxy, options });
}

/** Holds all bytes in both directions, unnoticed by both sides, until a connection has been presumed dead. */
async function assertNoticed(streamer: RedisStreamer, proxy: Proxy, write: () => PromiseLike<unknown>): Promise<void> {
  const lost = nextEvent<{ cause: unknown }>(streamer, "disconnect");
  proxy.toServer.hold({ swallow: true });
  proxy.toClient.hold({ swallow: true });
  const writing = setInterval(() => void write().then(() => {}, () => {}), 50);
  try {
    const { cause } = (await lost).detail;
    assertEquals(cause instanceof StreamerError && cause.code, "TIMEOUT");
  } finally {
    clearInterval(writing);
    proxy.toServer.release();
    proxy.toClient.release();
  }
}

for (const tls of [false, true]) {
  const over = tls ? "over TLS " : "";

  test(
    `${over}a producer that sends a little now and then notices its dead connection, and continues`,
    async () => {
      await withPlace(tls, async ({ url, proxy, options }) => {
        await using streamer = await connect(url, options);
        const producer = await streamer.createProducer(uniqueKey());
        await producer.send("first");
        await assertNoticed(streamer, proxy, () => producer.send("again"));
        await producer.send("last");
      });
    },
    { ignore },
  );

  test(`${over}commands that are sent now and then notice their dead connection, and continue`, async () => {
    await withPlace(tls, async ({ url, proxy, options, server }) => {
      await using streamer = await connect(url, options);
      const key = uniqueKey();
      await server.command("XADD", key, "*", "msg", "x");
      const manager = await streamer.createManager();
      await manager.info(key);
      await assertNoticed(streamer, proxy, () => manager.info(key));
      await manager.info(key);
    });
  }, { ignore });

  test(
    `${over}acknowledgements that are sent now and then notice their dead connection, and are not lost`,
    async () => {
      await withPlace(tls, async ({ url, proxy, options, server }) => {
        await using streamer = await connect(url, options);
        const key = uniqueKey();
        for (let i = 0; i < 100; i++) await server.command("XADD", key, "*", "msg", `${i}`);
        const consumer = await streamer.createConsumer(key, {
          mode: "resumable",
          group: "g",
          autoCommit: "rolling",
          autoCommitInterval: 10,
          autoStreamReset: "earliest",
        });
        const all: Message[] = [];
        for (let i = 0; i < 100; i++) all.push(await consumer.next());
        await assertNoticed(streamer, proxy, async () => {
          const message = all.pop();
          if (message !== undefined) consumer.ack(message);
          await Promise.resolve();
        });
        for (const message of all) consumer.ack(message);
        await until(async () => {
          const pending = await server.command("XPENDING", key, "g");
          return Array.isArray(pending) && pending[0] === 0;
        });
      });
    },
    { ignore },
  );

  test(`${over}a large message that the server reads slowly is not cut off`, async () => {
    await withPlace(tls, async ({ url, proxy, options, server }) => {
      await using streamer = await connect(url, { ...options, timeout: 2_000 });
      let cuts = 0;
      streamer.addEventListener("disconnect", () => cuts++);
      const producer = await streamer.createProducer(uniqueKey());
      await producer.send("warm");
      proxy.toServer.limit(20_000_000);
      await producer.send(new Uint8Array(80 * 1024 * 1024));
      proxy.toServer.limit(Infinity);
      assertEquals(cuts, 0);
      assert(await server.command("DEL", producer.streamKey));
    });
  }, { ignore });
}
