// Tests entries that a server does not send at all: their readers get a clear error, after all earlier entries, and
// others are not affected. A network that only flaps ends no consumer.

import {
  assert,
  assertEquals,
  assertLessOrEqual,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { connect, type RedisStreamer, StreamerError } from "../../../mod.ts";
import { run } from "../../support/cli/running.ts";
import { entry, page3 } from "../../unit/commands/frames.ts";
import { eventsOf, pendingIds } from "../../support/consumer/grouping.ts";
import { addMany, takeTexts, texts } from "../../support/consumer/reading.ts";
import { handshake, HELLO3, noShards, startFakeServer } from "../../support/network/fake_server.ts";
import { uniqueKey } from "../../support/keys.ts";
import { afterAll, test } from "../../support/runner.ts";
import { type Server, startServer } from "../../support/servers/server.ts";

const server = await startServer({ args: ["--client-output-buffer-limit", "normal", "256kb", "0", "0"] });
afterAll(() => server.stop());
const reconnect = { initialDelay: 5, maxDelay: 20 };
const group = "g";
const timeout = 60_000;
const member = { mode: "resumable", group, consumerId: "me", autoCommit: "rolling" } as const;

/** Three small entries, one that cannot be read, and one more. Resolves to the large one's id. */
async function fill(key: string, on: Server = server, bytes = 400_000): Promise<string> {
  await addMany(on, key, 3);
  const id = String(await on.command("XADD", key, "*", "msg", "x".repeat(bytes)));
  await addMany(on, key, 1, "after");
  return id;
}

function assertRefused(error: StreamerError, ...parts: readonly string[]): void {
  assertEquals(error.code, "DISCONNECTED");
  for (const part of ["client-output-buffer-limit", ...parts]) assertStringIncludes(error.message, part);
}

function cutsOf(streamer: RedisStreamer): () => number {
  const cuts = eventsOf(streamer, "disconnect");
  return () => cuts.length;
}

test("in real time, a single entry that the server does not send is fatal, after all earlier messages", async () => {
  const key = uniqueKey();
  await fill(key);
  await using streamer = await connect(server.url, { reconnect });
  const cuts = cutsOf(streamer);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  assertEquals(await takeTexts(consumer, 3), texts(3));
  const error = await assertRejects(() => consumer.next(), StreamerError);
  assertRefused(error, key);
  assertStrictEquals(await assertRejects(() => consumer.next()), error);
  assertLessOrEqual(cuts(), 30);
}, { timeout });

test("in a group, it is fatal, too, names the entry, and leaves it pending", async () => {
  const key = uniqueKey();
  const id = await fill(key);
  await using streamer = await connect(server.url, { reconnect });
  const consumer = await streamer.createConsumer(key, { ...member, autoStreamReset: "earliest" });
  for (const text of texts(3)) {
    const message = await consumer.next();
    assertEquals(message.text(), text);
    consumer.ack(message);
  }
  assertRefused(await assertRejects(() => consumer.next(), StreamerError), key, id);
  assert((await pendingIds(server, key, group)).includes(id));
}, { timeout });

test("one that is pending from an earlier run is fatal, too, and is counted as delivered once", async () => {
  const key = uniqueKey();
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  const id = await fill(key);
  await server.command("XREADGROUP", "GROUP", group, "me", "COUNT", 3, "STREAMS", key, ">");
  await server.command("XREADGROUP", "GROUP", group, "me", "COUNT", 2, "STREAMS", key, ">").catch(() => {}); // the cut
  await using streamer = await connect(server.url, { reconnect });
  const consumer = await streamer.createConsumer(key, member);
  assertEquals(await takeTexts(consumer, 3), texts(3));
  assertRefused(await assertRejects(() => consumer.next(), StreamerError), key, id);
  const [row] = await server.command("XPENDING", key, group, id, id, 1) as unknown[][]; // as: the reply of XPENDING
  assertEquals(row.slice(0, 2), [id, "me"]);
  assertLessOrEqual(Number(row[3]), 4);
}, { timeout });

test("one that was claimed from another consumer is fatal, too, and the streamer's others continue", async () => {
  const [key, other] = [uniqueKey(), uniqueKey()];
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  await server.command("XADD", key, "*", "msg", "x".repeat(400_000));
  await server.command("XREADGROUP", "GROUP", group, "gone", "STREAMS", key, ">").catch(() => {}); // the cut
  const [id] = await pendingIds(server, key, group);
  await server.command("XCLAIM", key, group, "gone", 0, id, "IDLE", 3_600_000, "JUSTID");
  await using streamer = await connect(server.url, { reconnect });
  const good = await streamer.createConsumer(other, { ...member, mkstream: true });
  const options = { ...member, mode: "load-balanced", autoClaimInterval: 20, autoClaimIdle: 10_000 } as const;
  const consumer = await streamer.createConsumer(key, options);
  const failed = assertRejects(() => consumer.next(), StreamerError);
  await addMany(server, other, 50);
  for (let i = 0; i < 50; i++) good.ack(await good.next());
  assertRefused(await failed);
  await good.end();
  assertEquals(await pendingIds(server, other, group), []);
}, { timeout });

test("a range and a dump end with it", async () => {
  const key = uniqueKey();
  await fill(key);
  await using streamer = await connect(server.url, { reconnect });
  const manager = await streamer.createManager();
  const seen: string[] = [];
  const error = await assertRejects(async () => {
    for await (const message of manager.rangeAll(key, "-", "+")) seen.push(message.text());
  }, StreamerError);
  assertRefused(error, key);
  assertEquals(seen, texts(3));
  assertRefused(await assertRejects(() => manager.range(key, "-", "+"), StreamerError), key);
  const { code, stderr } = await run(["dump", key], { env: { REDIS_URL: server.url } });
  assertEquals(code, 1);
  assertStringIncludes(stderr, "client-output-buffer-limit");
  assertEquals(await manager.length(key), 5); // it continues
}, { timeout });

test("if a server evicts the client each time, its own counter shows that the network is fine", async () => {
  await using own = await startServer();
  if (!own.atLeast("7.0")) return;
  const [key, grouped] = [uniqueKey(), uniqueKey()];
  await fill(key, own, 12_000_000);
  const id = await fill(grouped, own, 12_000_000);
  await own.command("CONFIG", "SET", "maxmemory-clients", "6mb");
  await using streamer = await connect(own.url, { reconnect });
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  assertEquals(await takeTexts(consumer, 3), texts(3));
  assertRefused(await assertRejects(() => consumer.next(), StreamerError), key);
  const inGroup = await streamer.createConsumer(grouped, { ...member, autoStreamReset: "earliest" });
  assertEquals(await takeTexts(inGroup, 3), texts(3));
  assertRefused(await assertRejects(() => inGroup.next(), StreamerError), grouped, id);
}, { timeout });

/** How a fake server cuts: after a part of the reply, or before the PING is answered. */
const flapping = {
  "inside of the reply": { sent: 1, answersPing: true },
  "before a PING is answered": { sent: 0, answersPing: false },
};

for (const [name, { sent, answersPing }] of Object.entries(flapping)) {
  test(`a network that cuts each connection ${name}, forty times in a row, ends no consumer`, async () => {
    let cuts = 0;
    const reply = page3(["k", entry("1-1", "msg", "at last")]);
    await using fake = await startFakeServer(async (peer) => {
      await peer.serve({
        ...handshake,
        ...noShards,
        PING: async () => {
          if (answersPing || cuts >= 40) return "+PONG\r\n";
          cuts++;
          await peer.cut();
          return undefined;
        },
        XREAD: async (words) => {
          if (words.at(-1) !== "0-0") return undefined; // blocks
          if (cuts >= 40) return reply;
          cuts++;
          await peer.sendAndCut(reply, sent);
          return undefined;
        },
        XINFO: "-NOPERM no\r\n",
        XREVRANGE: "*0\r\n",
      });
    });
    await using streamer = await connect(fake.url, { reconnect: { initialDelay: 1, maxDelay: 2 } });
    const consumer = await streamer.createConsumer("k", { mode: "real-time", autoStreamReset: "earliest" });
    assertEquals((await consumer.next()).text(), "at last");
    assertEquals(cuts, 40);
  }, { timeout });
}

test("of several commands in flight, only the one that the server closes for rejects", async () => {
  await using fake = await startFakeServer(async (peer) => {
    await peer.serve({
      ...handshake,
      HELLO: HELLO3,
      XLEN: async ([, key]) => {
        if (key !== "poison") return `:${key.length}\r\n`;
        await peer.cut();
        return undefined;
      },
    });
  });
  await using streamer = await connect(fake.url, { reconnect });
  const cuts = cutsOf(streamer);
  const manager = await streamer.createManager();
  const names = ["a", "bb", "poison", "cccc", "ddddd"];
  const results = await Promise.allSettled(names.map((name) => manager.length(name)));
  assertEquals(results.map((result) => result.status === "fulfilled" ? result.value : result.reason.code), [
    1,
    2,
    "DISCONNECTED",
    4,
    5,
  ]);
  assertLessOrEqual(cuts(), 5);
  assertEquals(await manager.length("after"), 5);
});

test("a suspected command that is aborted frees those after it", async () => {
  const stop = new AbortController();
  let poisoned = 0;
  await using fake = await startFakeServer(async (peer) => {
    await peer.serve({
      ...handshake,
      XLEN: async ([, key]) => {
        if (key !== "poison") return `:${key.length}\r\n`;
        if (++poisoned === 3) stop.abort(new Error("enough"));
        await peer.cut();
        return undefined;
      },
    });
  });
  await using streamer = await connect(fake.url, { reconnect });
  const manager = await streamer.createManager();
  const lengths = [manager.length("poison", { signal: stop.signal }), manager.length("a")];
  await assertRejects(() => lengths[0], Error, "enough");
  assertEquals(await lengths[1], 1);
});
