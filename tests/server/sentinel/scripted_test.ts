// Connections through scripted Sentinels: which of them is asked, what becomes of their answers, and who gets which credentials.

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, type ConnectOptions, StreamerError } from "../../../mod.ts";
import { eventsOf } from "../../support/consumer/group_faults.ts";
import { nextEvent, until } from "../../support/events.ts";
import { FakeSentinel, sentinelUrl } from "../../support/network/fake_sentinel.ts";
import { closedPort } from "../../support/network/sockets.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";
import { test } from "../../support/runner.ts";

const MASTER = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";
const SLAVE = "*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:0\r\n";
const EAGER = { reconnect: { initialDelay: 5, maxDelay: 50 } } as const;

/** A server whose role a test can change. */
async function startRedis(role = MASTER) {
  const state = { role };
  const redis = await FakeRedis.start({ answers: { ROLE: () => state.role } });
  const { host, port } = redis.server;
  return { redis, state, host, port, place: `${host}:${port}`, [Symbol.asyncDispose]: () => redis.server.stop() };
}

async function failure(url: string, options: ConnectOptions = {}): Promise<StreamerError> {
  return await assertRejects(() => connect(url, options), StreamerError);
}

/** Addresses on which nobody listens. */
async function nobody(count: number): Promise<string[]> {
  const places: string[] = [];
  for (let i = 0; i < count; i++) places.push(`127.0.0.1:${await closedPort()}`);
  return places;
}

test("the first Sentinel that names the primary is enough, and the kept connection is closed with the streamer", async () => {
  await using primary = await startRedis();
  await using one = await FakeSentinel.start({ primary });
  await using two = await FakeSentinel.start({ primary });
  const began = performance.now();
  await using streamer = await connect(sentinelUrl(one, two));
  const isPrompt = performance.now() - began < 400; // else the next Sentinel is asked, too
  assertEquals(streamer.stats().nodes, [{ name: primary.place, slots: 16_384, connections: 1 }]);
  assertEquals(streamer.uri, sentinelUrl(one, two));
  const producer = await streamer.createProducer("k");
  await producer.send("x");
  assertEquals(primary.redis.payloads("k"), ["x"]);
  if (isPrompt) assertEquals(two.server.peers.length, 0);
  assertEquals(one.server.peers.length, 1, "one connection for all questions");
  await streamer.disconnect();
  await one.server.peers[0].closed;
});

test("each side gets its own credentials, and never those of the other", async () => {
  await using primary = await startRedis();
  await using one = await FakeSentinel.start({ primary });
  const url = sentinelUrl(one).replace("://", "://app:data-canary@");
  const sentinel = { username: "watcher", password: () => "sentinel-canary" };
  await using streamer = await connect(url, { sentinel, clientName: "orders" });
  assertStringIncludes(one.commands[0], "HELLO 3 AUTH watcher sentinel-canary SETNAME orders");
  const [peer] = primary.redis.server.peers;
  assertStringIncludes(peer.commands[0].join(" "), "HELLO 3 AUTH app data-canary SETNAME orders");
  assert(!one.commands.join().includes("data-canary"));
  assert(!peer.commands.join().includes("sentinel-canary"));
  for (const text of [streamer.uri, JSON.stringify(streamer), JSON.stringify(streamer.stats())]) {
    assert(!text.includes("canary"), text);
  }
});

test("Sentinels without credentials of their own get none", async () => {
  await using primary = await startRedis();
  await using one = await FakeSentinel.start({ primary });
  await using _streamer = await connect(sentinelUrl(one).replace("://", "://:data-canary@"));
  assertEquals(one.commands[0], "HELLO 3");
});

test("a dead Sentinel costs nothing, and a frozen one less than a second", async () => {
  await using primary = await startRedis();
  await using frozen = await FakeSentinel.start({ primary, isFrozen: true });
  await using good = await FakeSentinel.start({ primary });
  const began = performance.now();
  await using streamer = await connect(sentinelUrl(...await nobody(1), frozen, good));
  assert(performance.now() - began < 1_500, `${performance.now() - began} ms`);
  assertEquals(streamer.stats().nodes[0].name, primary.place);
});

test("an unknown name at every Sentinel: CONNECT, also with wait, and the error lists them", async () => {
  await using one = await FakeSentinel.start({ primary: null });
  await using two = await FakeSentinel.start({ primary: null });
  for (const wait of [false, true]) {
    const error = await failure(sentinelUrl(one, two), { wait });
    assertEquals(error.code, "CONNECT");
    for (const text of ["mymaster", one.place, two.place, "does not know the name"]) {
      assertStringIncludes(error.message, text);
    }
  }
});

test("with wait, a name that nobody knows is looked for as long as a Sentinel may know it", async () => {
  await using primary = await startRedis();
  await using one = await FakeSentinel.start({ primary: null });
  const connecting = connect(sentinelUrl(one, ...await nobody(1)), { wait: true, ...EAGER });
  await until(() => one.asked >= 3);
  one.script = { primary };
  await using streamer = await connecting;
  assertEquals(streamer.stats().nodes[0].name, primary.place);
});

test("dead Sentinels: CONNECT at once, with the cause of each", async () => {
  const places = await nobody(3);
  const error = await failure(sentinelUrl(...places));
  assertEquals(error.code, "CONNECT");
  for (const place of places) assertStringIncludes(error.message, `${place}: the connection was refused`);
  assert(error.cause instanceof StreamerError && error.cause.cause !== undefined);
});

test("frozen Sentinels: TIMEOUT", async () => {
  await using one = await FakeSentinel.start({ primary: null, isFrozen: true });
  assertEquals((await failure(sentinelUrl(one), { timeout: 100 })).code, "TIMEOUT");
});

test("a Sentinel that requires a password: AUTH, and the error names the option", async () => {
  const answers = {
    HELLO: "-NOAUTH HELLO must be called with the client already authenticated\r\n",
    PING: "-NOAUTH no\r\n",
  };
  await using one = await FakeSentinel.start({ primary: null, answers });
  const error = await failure(sentinelUrl(one).replace("://", "://:data-canary@"), { wait: true });
  assertEquals(error.code, "AUTH");
  assertStringIncludes(error.message, "see the option sentinel");
  assert(!one.commands.join().includes("data-canary"));
});

test("a server that is no Sentinel: CONNECT, and the error says so, also with RESP2", async () => {
  await using primary = await startRedis();
  for (const protocol of ["auto", 2] as const) {
    const redis = protocol === 2
      ? await FakeRedis.start({ answers: { SENTINEL: "-ERR unknown command 'SENTINEL'\r\n" } })
      : primary.redis;
    const error = await failure(sentinelUrl(redis.url.replace("redis://", "")), { wait: true, protocol });
    assertEquals(error.code, "CONNECT");
    assertStringIncludes(error.message, "it is not a Sentinel");
    if (redis !== primary.redis) await redis.server.stop();
  }
});

test("a primary that cannot be reached: the error names it, the Sentinel and mapNode", async () => {
  const port = await closedPort();
  await using one = await FakeSentinel.start({ primary: { host: "127.0.0.1", port } });
  const error = await failure(sentinelUrl(one));
  assertEquals(error.code, "CONNECT");
  assertStringIncludes(error.message, `Cannot connect to 127.0.0.1:${port}: the connection was refused`);
  assertStringIncludes(error.message, `Sentinel ${one.place} answered, and announces this node`);
  assertStringIncludes(error.message, "see mapNode");
});

test("mapNode says where the primary is reached; it is asked for Sentinels that others announce, not for those in the URL", async () => {
  await using primary = await startRedis();
  const announced = { host: "10.255.0.1", port: 6379 };
  await using two = await FakeSentinel.start({ primary: announced });
  await using one = await FakeSentinel.start({ primary: announced, peers: [{ host: "10.255.0.2", port: 26379 }] });
  const asked: string[] = [];
  const mapNode = (host: string, port: number) => {
    asked.push(`${host}:${port}`);
    return { hostname: "127.0.0.1", port: port === 6379 ? primary.port : two.port };
  };
  await using streamer = await connect(sentinelUrl(one), { mapNode, ...EAGER });
  assertEquals([asked, streamer.stats().nodes[0].name], [["10.255.0.1:6379"], "10.255.0.1:6379"]);
  one.script = { primary: null };
  await one.cut();
  await until(() => two.asked > 0, { what: "the other Sentinel is asked" });
  assert(asked.includes("10.255.0.2:26379"), asked.join());
});

test("a primary that allowNode does not allow is never dialled: CONNECT, at once and with wait", async () => {
  await using primary = await startRedis();
  await using one = await FakeSentinel.start({ primary });
  const allowNode = (_host: string, port: number) => port === one.port;
  for (const wait of [false, true]) {
    const error = await failure(sentinelUrl(one), { allowNode, wait });
    assertEquals(error.code, "CONNECT");
    assertStringIncludes(error.message, primary.place);
    assertStringIncludes(error.message, "allowNode");
  }
  assertEquals(primary.redis.server.peers.length, 0);
});

test("Sentinels that allowNode does not allow are never dialled", async () => {
  await using primary = await startRedis();
  await using other = await FakeSentinel.start({ primary });
  await using one = await FakeSentinel.start({ primary, peers: [other] });
  const refused = await failure(sentinelUrl(one), { allowNode: () => false, wait: true });
  assertEquals([refused.code, one.server.peers.length], ["CONNECT", 0]);
  assertStringIncludes(refused.message, one.place);
  await using streamer = await connect(sentinelUrl(one), { allowNode: (_, port) => port !== other.port, ...EAGER });
  const trouble = nextEvent(streamer, "reconnect");
  one.script = { primary: null };
  await primary.redis.server.peers[0].cut();
  await trouble;
  assertEquals(other.server.peers.length, 0);
});

test("after a failover to an address that allowNode does not allow, sends reject, not written, at once", async () => {
  await using primary = await startRedis();
  await using next = await startRedis();
  await using one = await FakeSentinel.start({ primary });
  await using streamer = await connect(sentinelUrl(one), { allowNode: (_, port) => port !== next.port, ...EAGER });
  const producer = await streamer.createProducer("k");
  await producer.send("a");
  one.script = { primary: next };
  const lost = eventsOf(streamer, "disconnect");
  for (const peer of primary.redis.server.peers) await peer.cut();
  await until(() => lost.length === 2);
  const began = performance.now();
  const error = await assertRejects(async () => await producer.send("b"), StreamerError);
  assertEquals([error.code, error.outcome], ["CONNECT", "not-written"]);
  assertStringIncludes(error.message, "allowNode");
  assert(performance.now() - began < 2_000);
  assertEquals(next.redis.server.peers.length, 0);
});

test("a Sentinel that does not know of a failover yet is no obstacle to connect", async () => {
  await using old = await startRedis(SLAVE);
  await using primary = await startRedis();
  await using stale = await FakeSentinel.start({ primary: old });
  await using good = await FakeSentinel.start({ primary });
  await using streamer = await connect(sentinelUrl(stale, good));
  assertEquals(streamer.stats().nodes[0].name, primary.place);
});

test("only replicas: CONNECT, which says that it is not the primary", async () => {
  await using replica = await startRedis(SLAVE);
  await using one = await FakeSentinel.start({ primary: replica });
  const error = await failure(sentinelUrl(one));
  assertEquals(error.code, "CONNECT");
  assertStringIncludes(error.message, `${replica.place}: the server is not the primary`);
});

test("an announced switch: connections are closed at once, messages follow in order, and moved comes once", async () => {
  await using primary = await startRedis();
  await using next = await startRedis();
  await using one = await FakeSentinel.start({ primary, epoch: 1 });
  await using streamer = await connect(sentinelUrl(one), EAGER);
  const moved = eventsOf(streamer, "moved");
  const producer = await streamer.createProducer("k");
  await producer.send("a");
  await until(() => one.commands.includes("SUBSCRIBE +switch-master"));
  await one.switchTo(next, 2);
  await until(() => moved.length > 0);
  await Promise.all(["b", "c", "d"].map((payload) => producer.send(payload)));
  assertEquals([primary.redis.payloads("k"), next.redis.payloads("k")], [["a"], ["b", "c", "d"]]);
  assertEquals(moved, [{ slots: [[0, 16_383]], from: primary.place, to: next.place }]);
  for (const peer of primary.redis.server.peers) await peer.closed;
  assertEquals(streamer.stats().nodes, [{ name: next.place, slots: 16_384, connections: 2 }]);
  assertEquals(next.redis.kills.length, 0, "nothing was in flight, so nothing is killed");
});

test("a Sentinel that refuses SUBSCRIBE is asked every two seconds instead", async () => {
  await using primary = await startRedis();
  await using next = await startRedis();
  const answers = { SUBSCRIBE: "-NOPERM this user has no permissions to access one of the channels\r\n" };
  await using one = await FakeSentinel.start({ primary, answers });
  await using streamer = await connect(sentinelUrl(one), EAGER);
  one.script = { primary: next, answers };
  const { detail } = await nextEvent<{ readonly to: string }>(streamer, "moved", { timeout: 4_000 });
  assertEquals(detail.to, next.place);
  const refusals = one.commands.filter((command) => command.startsWith("SUBSCRIBE")).length;
  assertEquals(refusals, 1, "it is not asked for that again");
});

test("an answer that is older than what another Sentinel has said is not believed", async () => {
  await using old = await startRedis();
  await using primary = await startRedis();
  await using first = await FakeSentinel.start({ primary, epoch: 2 });
  await using stale = await FakeSentinel.start({ primary: old, epoch: 1 });
  await using good = await FakeSentinel.start({ primary, epoch: 2 });
  await using streamer = await connect(sentinelUrl(first, stale, good), EAGER);
  await first.server.stop();
  await primary.redis.server.peers[0].cut();
  await nextEvent(streamer, "connect");
  assertEquals([streamer.stats().nodes[0].name, old.redis.server.peers.length], [primary.place, 0]);
  assert(stale.asked > 0);
});

test("Sentinels that were set up again are believed, although they know of no failover", async () => {
  await using primary = await startRedis();
  await using next = await startRedis();
  await using one = await FakeSentinel.start({ primary, epoch: 7 });
  await using two = await FakeSentinel.start({ primary, epoch: 7 });
  await using streamer = await connect(sentinelUrl(one, two), EAGER);
  one.script = two.script = { primary: next, epoch: 0 };
  await one.cut();
  await primary.redis.server.peers[0].cut();
  const { detail } = await nextEvent<{ readonly to: string }>(streamer, "moved");
  assertEquals(detail.to, next.place);
});

test("Sentinels that others announce are asked when those in the URL are gone", async () => {
  await using primary = await startRedis();
  await using next = await startRedis();
  await using other = await FakeSentinel.start({ primary: next });
  const one = await FakeSentinel.start({ primary, peers: [other, { host: "", port: 1 }, { host: "a b", port: 2 }] });
  await using streamer = await connect(sentinelUrl(one), EAGER);
  await one.server.stop();
  await primary.redis.server.peers[0].cut();
  const { detail } = await nextEvent<{ readonly to: string }>(streamer, "moved");
  assertEquals(detail.to, next.place);
});

test("when no Sentinel answers, everything waits, and continues once one of them does", async () => {
  await using primary = await startRedis();
  await using one = await FakeSentinel.start({ primary });
  await using streamer = await connect(sentinelUrl(one), EAGER);
  const tries = eventsOf(streamer, "reconnect");
  const producer = await streamer.createProducer("k");
  one.script = { primary: null }; // not even the name is known
  for (const peer of primary.redis.server.peers) await peer.cut();
  const sending = producer.send("late");
  await until(() => tries.length >= 3);
  const { node, cause } = tries[tries.length - 1];
  assertEquals(node, primary.place);
  assertStringIncludes(String(cause), one.place);
  one.script = { primary };
  await sending;
  assertEquals(primary.redis.payloads("k"), ["late"]);
});

test("an answer that names no valid address counts as none", async () => {
  for (
    const primary of [{ host: "", port: 6379 }, { host: "?", port: 6379 }, { host: "a b", port: 1 }, {
      host: "a",
      port: 0,
    }]
  ) {
    await using one = await FakeSentinel.start({ primary });
    const error = await failure(sentinelUrl(one));
    assertEquals(error.code, "CONNECT");
    assertStringIncludes(error.message, "it names an invalid address");
  }
});

test("of ten thousand announced Sentinels few are remembered, and none is dialled without need", async () => {
  await using primary = await startRedis();
  const peers = Array.from({ length: 10_000 }, (_, i) => ({ host: `10.1.${i >> 8}.${i & 255}`, port: 26_379 }));
  await using one = await FakeSentinel.start({ primary, peers });
  const dialled = new Set<string>();
  const mapNode = (host: string) => {
    dialled.add(host);
    return { hostname: "127.0.0.1", port: host.startsWith("10.") ? one.port : primary.port };
  };
  await using streamer = await connect(sentinelUrl(one), { mapNode, ...EAGER });
  assertEquals([...dialled], ["127.0.0.1"]);
  const trouble = eventsOf(streamer, "reconnect");
  one.script = { primary: null };
  await primary.redis.server.peers[0].cut();
  await until(() => trouble.length >= 2);
  assert(dialled.size <= 20, `${dialled.size}`);
});
