// Tests the wait for a server that is away, or refuses for now: createConsumer and the manager wait for the timeout of
// `connect`, an existing consumer without a limit.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, type ConsumerOptions, RedisError, StreamerError } from "../../../mod.ts";
import { bulk } from "../../unit/commands/frames.ts";
import { EAGER } from "../../support/consumer/group_faults.ts";
import { addMany } from "../../support/consumer/reading.ts";
import { nextEvent } from "../../support/events.ts";
import { handshake, noShards, startFakeServer } from "../../support/network/fake_server.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { OWN, PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());
const server = await sharedServer();
const MODES: readonly ConsumerOptions[] = [
  { mode: "real-time" },
  { mode: "resumable", group: "g", mkstream: true },
  { mode: "load-balanced", group: "g", mkstream: true },
];

test("creating a consumer in a group of a permanent replica is given up, with READONLY as the cause", async () => {
  await using own = await startServer();
  await own.command("XADD", "k", "*", "msg", "a");
  await own.command("REPLICAOF", "127.0.0.1", "1"); // a replica of no server: it answers reads
  await using streamer = await connect(own.url, { ...EAGER, timeout: 500 });
  for (const options of MODES.slice(1)) {
    const error = await assertRejects(() => streamer.createConsumer("k", options), StreamerError);
    assertEquals(error.code, "TIMEOUT");
    assert(error.cause instanceof RedisError && error.cause.code === "READONLY", String(error.cause));
  }
  const reading = await streamer.createConsumer("k", { mode: "real-time", autoStreamReset: "earliest" });
  assertEquals((await reading.next()).text(), "a", "what writes nothing can be had of a replica");
  assertEquals(streamer.stats().consumers, 1);
}, { oneServer: OWN, ignore });

for (const options of MODES) {
  test(`creating a ${options.mode} consumer of a server that is away is given up, with the reason`, async () => {
    await using proxy = await startProxy(server);
    await using streamer = await connect(proxy.url, { ...EAGER, timeout: 400 });
    proxy.refuse();
    await proxy.cut();
    const error = await assertRejects(() => streamer.createConsumer(uniqueKey(), options), StreamerError);
    assertEquals(error.code, "TIMEOUT");
    assert(error.cause instanceof StreamerError && error.cause.code !== "TIMEOUT", String(error.cause));
    const back = nextEvent(streamer, "connect");
    proxy.refuse(false);
    await back;
    await (await streamer.createConsumer(uniqueKey(), options)).end(); // the streamer still works
  }, { oneServer: PROXIED });

  test(`creating a ${options.mode} consumer with a silent server is given up`, async () => {
    await using proxy = await startProxy(server);
    await using streamer = await connect(proxy.url, { ...EAGER, timeout: 400 });
    proxy.toClient.hold();
    const error = await assertRejects(() => streamer.createConsumer(uniqueKey(), options), StreamerError);
    assertEquals(error.code, "TIMEOUT");
    assert(error.cause !== undefined);
    proxy.toClient.release();
  }, { oneServer: PROXIED });
}

test("the last of several replies is the cause", async () => {
  let asked = 0;
  await using fake = await startFakeServer(async (peer) => {
    await peer.serve({ ...handshake, ...noShards, XINFO: () => ++asked < 3 ? "-LOADING x\r\n" : "-MASTERDOWN y\r\n" });
  });
  await using streamer = await connect(fake.url, { ...EAGER, timeout: 300 });
  const error = await assertRejects(() => streamer.createConsumer("k", { mode: "real-time" }), StreamerError);
  assertEquals([error.code, String(error.cause)], ["TIMEOUT", "RedisError: MASTERDOWN y"]);
}, { oneServer: OWN });

test("as long as the server replies, createConsumer may take longer than the timeout", async () => {
  const keys = Array.from({ length: 40 }, (_, i) => `k${i}`);
  const XINFO = `%1\r\n${bulk("last-generated-id")}${bulk("5-0")}`;
  await using fake = await startFakeServer(async (peer) => {
    const slowly = () => new Promise<string>((resolve) => setTimeout(() => resolve(XINFO), 20));
    await peer.serve({ ...handshake, ...noShards, XINFO: slowly, XREAD: () => undefined });
  });
  await using streamer = await connect(fake.url, { timeout: 400 });
  const consumer = await streamer.createConsumer(keys, { mode: "real-time" }); // 40 replies in sequence
  assertEquals(consumer.streamShards.length, 40);
}, { oneServer: OWN });

test("the signal has priority, with its own reason", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { ...EAGER, timeout: 60_000 });
  proxy.refuse();
  await proxy.cut();
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  for (const options of MODES) {
    assertEquals(await assertRejects(() => streamer.createConsumer(uniqueKey(), { ...options, signal })), reason);
  }
  const controller = new AbortController();
  const making = assertRejects(() => streamer.createConsumer(uniqueKey(), { ...MODES[1], signal: controller.signal }));
  controller.abort(reason);
  assertEquals(await making, reason);
  proxy.refuse(false);
}, { oneServer: PROXIED });

test("an existing consumer waits for its server longer than the timeout, and so do its moves", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { ...EAGER, timeout: 200 });
  const key = uniqueKey();
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const next = consumer.next();
  proxy.refuse();
  await proxy.cut();
  const refused = proxy.refused;
  const moved = consumer.rewind("beginning");
  await addMany(server, key, 1);
  const later = performance.now() + 600;
  while (performance.now() < later || proxy.refused === refused) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  proxy.refuse(false);
  await moved;
  assertEquals((await next).text(), "0");
}, { oneServer: PROXIED });

test("the manager waits for the timeout, then rejects with the server's last reply, or DISCONNECTED", async () => {
  await using own = await startServer();
  await using proxy = await startProxy(own);
  await using streamer = await connect(proxy.url, { ...EAGER, timeout: 3_000 });
  const manager = await streamer.createManager();
  const producer = await streamer.createProducer("k");
  await producer.send("a");
  await own.command("REPLICAOF", "127.0.0.1", "1");
  const writes = [
    assertRejects(() => manager.trim("k", { maxLength: 0 }), RedisError),
    assertRejects(() => manager.createGroup("k", "g", "beginning"), RedisError),
    assertRejects(() => producer.trim({ maxLength: 0 }), RedisError),
  ];
  assertEquals((await Promise.all(writes)).map(({ code }) => code), ["READONLY", "READONLY", "READONLY"]);
  assertEquals(await manager.length("k"), 1, "reading is not refused");
  proxy.refuse();
  await proxy.cut();
  const reads = [
    assertRejects(() => manager.length("k"), StreamerError),
    assertRejects(() => manager.range("k", "-", "+"), StreamerError),
    assertRejects(() => manager.info("k"), StreamerError),
  ];
  assertEquals((await Promise.all(reads)).map(({ code }) => code), ["DISCONNECTED", "DISCONNECTED", "DISCONNECTED"]);
  const trimmed = manager.trim("k", { maxLength: 0, exact: true });
  await own.command("REPLICAOF", "NO", "ONE");
  proxy.refuse(false);
  assertEquals(await trimmed, 1, "a server that returns in time is awaited");
}, { oneServer: PROXIED, ignore });

test("the manager rejects at once if the server is full or the command is wrong", async () => {
  await using fake = await startFakeServer(async (peer) => {
    await peer.serve({ ...handshake, XGROUP: "-OOM no\r\n", XLEN: "-WRONGTYPE no\r\n" });
  });
  await using streamer = await connect(fake.url);
  const manager = await streamer.createManager();
  const codes = await Promise.all([
    assertRejects(() => manager.createGroup("k", "g", "beginning"), RedisError),
    assertRejects(() => manager.length("k"), RedisError),
  ]);
  assertEquals(codes.map(({ code }) => code), ["OOM", "WRONGTYPE"]);
  assertEquals(fake.peers.flatMap(({ commands }) => commands).filter(([name]) => name.startsWith("X")).length, 2);
}, { oneServer: OWN });
