// Tests that invalid options are refused before a connection is dialled. The error has the name, the value and the
// rule.

import { assert, assertEquals, assertRejects, assertStrictEquals, assertStringIncludes } from "@std/assert";
import { connect, type ConnectOptions, type ProducerOptions, type RedisStreamer, StreamerError } from "../../../mod.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { closedPort } from "../../support/network/sockets.ts";
import { handshake, startFakeServer } from "../../support/network/fake_server.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";

/** Values that a program without types may pass. */
type Loose = Readonly<Record<string, unknown>>;

const refusedByConnect: readonly (readonly [string, Loose])[] = [
  ["db", { db: -1 }],
  ["db", { db: 1.5 }],
  ["db", { db: NaN }],
  ["db", { db: "2" }],
  ["timeout", { timeout: 0 }],
  ["timeout", { timeout: -5 }],
  ["timeout", { timeout: NaN }],
  ["timeout", { timeout: "10" }],
  ["cluster", { cluster: "yes" }],
  ["cluster", { cluster: 1 }],
  ["tls", { tls: { insecure: true } }], // the url is no rediss://
  ["timestampFormat", { timestampFormat: "seconds" }],
  ["messageField", { messageField: 5 }],
  ["clientName", { clientName: "with space" }],
  ["clientName", { clientName: "line\nbreak" }],
  ["clientName", { clientName: "" }],
  ["clientName", { clientName: "ä" }],
  ["clientName", { clientName: 5 }],
  ["reconnect.initialDelay", { reconnect: { initialDelay: 0 } }],
  ["reconnect.initialDelay", { reconnect: { initialDelay: -1 } }],
  ["reconnect.maxDelay", { reconnect: { maxDelay: 10 } }], // below initialDelay
  ["reconnect.maxDelay", { reconnect: { initialDelay: 100, maxDelay: 99 } }],
  ["reconnect.maxAttempts", { reconnect: { maxAttempts: -1 } }],
  ["reconnect.maxAttempts", { reconnect: { maxAttempts: NaN } }],
  ["delay", { reconnect: { delay: 1 } }],
  ["limits.bulk", { limits: { bulk: 0 } }],
  ["limits.depth", { limits: { depth: 1.5 } }],
  ["limits.reply", { limits: { reply: -1 } }],
  ["allowNode", { allowNode: true }],
  ["mapNode", { mapNode: {} }],
  ["sentinel", { sentinel: {} }], // the url is no redis+sentinel://
  ["password", { password: 7 }],
  ["username", { username: {} }],
  ["password", { password: null }],
  ["password", { password: Promise.resolve("secret") }],
  ["password", { username: "app" }], // a user name alone does not name an identity
  ["password", { username: () => "app" }],
  ["password", { username: "" }],
  ["protocol", { protocol: 4 }],
  ["protocol", { protocol: "3" }],
  ["protocol", { protocol: null }],
  ["clientInfo", { clientInfo: "no" }],
  ["clientInfo", { clientInfo: 0 }],
  ["clientName", { clientInfo: false, clientName: "orders-7" }],
  ["wait", { wait: 1 }],
  ["wait", { wait: "yes" }],
  ["dbs", { dbs: 1 }],
  ["reconnect", { reconnect: null }],
  ["limits", { limits: "all" }],
];

for (const [name, options] of refusedByConnect) {
  test(`connect refuses ${JSON.stringify(options)} with INVALID_OPTION that names ${name}`, async () => {
    await using fake = await startFakeServer(() => {});
    // as: a value that a program without types may pass
    const error = await assertRejects(() => connect(fake.url, options as ConnectOptions), StreamerError);
    assertEquals(error.code, "INVALID_OPTION");
    assertStringIncludes(error.message, name);
    assertEquals(fake.peers.length, 0, "nothing was dialled");
  });
}

test("a refusal shows the value and the rule, but never the value of a password", async () => {
  const url = "redis://127.0.0.1:1";
  const db = await assertRejects(() => connect(url, { db: -7 }), StreamerError);
  assertStringIncludes(db.message, "-7");
  assertStringIncludes(db.message, "0");
  // as: a value that a program without types may pass
  const password = ["Canary-7f3a"] as unknown as string;
  const secret = await assertRejects(() => connect(url, { password }), StreamerError);
  assert(!secret.message.includes("Canary"), secret.message);
});

test("a user name in the url without a password is refused, unless an option gives the password", async () => {
  await using fake = await startFakeServer(async (peer) => void await peer.serve(handshake));
  for (const userinfo of ["app@", "us%40er@"]) {
    const url = fake.url.replace("://", `://${userinfo}`);
    const error = await assertRejects(() => connect(url), StreamerError);
    assertEquals(error.code, "INVALID_OPTION");
    assertStringIncludes(error.message, "password");
  }
  assertEquals(fake.peers.length, 0, "nothing was dialled");
  const url = fake.url.replace("://", "://app@");
  for (const password of ["secret", () => "secret"]) await (await connect(url, { password })).disconnect();
  await (await connect(fake.url.replace("://", "://:secret@"), { username: "app" })).disconnect();
  assertEquals(fake.peers.map(({ commands }) => commands[0].join(" ")), Array(3).fill("HELLO 3 AUTH app secret"));
});

test("tls with half a client certificate is refused", async () => {
  for (const tls of [{ cert: "x" }, { key: "x" }]) {
    const error = await assertRejects(() => connect("rediss://127.0.0.1:1", { tls }), StreamerError);
    assertEquals(error.code, "INVALID_OPTION");
  }
});

test("a database together with a cluster is refused, and so are several nodes with cluster: false", async () => {
  const cases: readonly (readonly [string, ConnectOptions])[] = [
    ["redis://a/1", { cluster: true }],
    ["redis://a", { cluster: true, db: 1 }],
    ["redis://a,b/1", {}],
    ["redis://a,b", { db: 1 }],
    ["redis://a,b", { cluster: false }],
  ];
  for (const [url, options] of cases) {
    assertEquals((await assertRejects(() => connect(url, options), StreamerError)).code, "INVALID_OPTION", url);
  }
});

test("cluster: true with Sentinel is refused, and so are unix sockets of a cluster", async () => {
  const cases: readonly (readonly [string | string[], ConnectOptions])[] = [
    ["redis+sentinel://a/name", { cluster: true }],
    ["redis+unix:///s", { cluster: true }],
    [["redis+unix:///s", "redis+unix:///t"], {}],
    [["redis://a", "redis+unix:///t"], {}],
  ];
  for (const [url, options] of cases) {
    assertEquals((await assertRejects(() => connect(url, options), StreamerError)).code, "INVALID_OPTION", String(url));
  }
});

const refusedWithSentinel: readonly (readonly [string, Loose])[] = [
  ["sentinel", { sentinel: null }],
  ["sentinel", { sentinel: "secret-canary" }],
  ["name", { sentinel: { name: "mymaster" } }],
  ["sentinel.password", { sentinel: { password: ["secret-canary"] } }],
  ["sentinel.username", { sentinel: { username: 7, password: "secret-canary" } }],
  ["sentinel.password", { sentinel: { username: "secret-canary" } }],
  ["sentinel.tls", { sentinel: { tls: "secret-canary" } }],
  ["sentinel.tls", { sentinel: { tls: null } }],
  ["sentinel.tls.cert", { sentinel: { tls: { key: "secret-canary" } } }],
  ["sentinel.tls.insecure", { sentinel: { tls: { insecure: 1 } } }],
  ["tls", { tls: { insecure: true } }], // for the primary, whose url is no rediss+sentinel://
  ["password", { username: "app", sentinel: { password: "secret-canary" } }],
];

for (const [name, options] of refusedWithSentinel) {
  test(`connect through Sentinel refuses ${JSON.stringify(options)}, naming ${name}`, async () => {
    const uri = "redis+sentinel://127.0.0.1:1/mymaster";
    // as: a value that a program without types may pass
    const error = await assertRejects(() => connect(uri, options as ConnectOptions), StreamerError);
    assertEquals(error.code, "INVALID_OPTION");
    assertStringIncludes(error.message, name);
    assert(!error.message.includes("canary"), error.message);
  });
}

test("a seed that allowNode does not allow is never dialled", async () => {
  await using fake = await startFakeServer(() => {});
  const asked: unknown[] = [];
  const allowNode = (...address: unknown[]) => asked.push(address) > 1;
  const error = await assertRejects(() => connect(fake.url, { allowNode }), StreamerError);
  assertEquals(error.code, "CONNECT");
  assertStringIncludes(error.message, "allowNode");
  assertEquals(asked, [["127.0.0.1", fake.port]]);
  assertEquals(fake.peers.length, 0);
});

test("an invalid URL rejects the promise with INVALID_URL, and does not throw", async () => {
  const promise = connect("http://nowhere");
  assertEquals((await assertRejects(() => promise, StreamerError)).code, "INVALID_URL");
});

test("an aborted signal rejects with its reason before anything is dialled", async () => {
  await using fake = await startFakeServer(() => {});
  const reason = new Error("no longer wanted");
  const signal = AbortSignal.abort(reason);
  assertStrictEquals(await assertRejects(() => connect(fake.url, { signal })), reason);
  assertStrictEquals(
    await assertRejects(async () => connect(`redis://127.0.0.1:${await closedPort()}`, { signal })),
    reason,
  );
  assertEquals(fake.peers.length, 0);
});

const refusedByProducer: readonly (readonly [string, Loose, string?])[] = [
  ["delivery", { delivery: "maybe" }],
  ["delivery", { delivery: 1 }],
  ["exactly-once", { delivery: "exactly-once" }, "UNSUPPORTED"],
  ["sharder", { sharder: () => 0 }],
  ["sharder", { sharder: 8 }],
  ["sharder", { sharder: null }],
  ["sharder", { sharder: { shard: 8 } }],
  ["sharder", { sharder: () => undefined }],
  ["sharder", { sharder: class {} }], // not a function
  ["sendTimeout", { sendTimeout: 0 }],
  ["sendTimeout", { sendTimeout: -1 }],
  ["sendTimeout", { sendTimeout: "10" }],
  ["highWaterMark", { highWaterMark: 0 }],
  ["highWaterMark", { highWaterMark: NaN }],
  ["maxBuffered", { maxBuffered: -1 }],
  ["maxLength", { maxLength: -1 }],
  ["maxLength", { maxLength: 1.5 }],
  ["maxLength", { maxLength: Infinity }],
  ["maxAge", { maxAge: -1 }],
  ["maxAge", { maxAge: NaN }],
  ["maxAge", { maxAge: 10, maxLength: 10 }],
  ["maxlength", { maxlength: 5 }],
];

test("a producer's options are refused by name, before its connection is opened", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url);
  for (const [name, options, code = "INVALID_OPTION"] of refusedByProducer) {
    // as: a value that a program without types may pass
    const loose = options as ProducerOptions;
    for (const make of [() => streamer.createProducer("k", loose), () => streamer.createGenericProducer(loose)]) {
      const error = await assertRejects(make, StreamerError);
      assertEquals(error.code, code, name);
      assertStringIncludes(error.message, name);
    }
  }
  assertEquals(redis.server.peers.length, 1);
  assertEquals(countsOf(streamer), [0, 0]);
});

test("a producer with an invalid stream key is refused", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url);
  for (const key of ["", "a b", "SEA_STREAMER_INTERNAL"]) {
    assertEquals((await assertRejects(() => streamer.createProducer(key), StreamerError)).code, "INVALID_STREAM_KEY");
  }
  const generic = await streamer.createGenericProducer();
  for (const key of ["", "a b", "SEA_STREAMER_INTERNAL"]) {
    const receipt = generic.sendTo(key, "x");
    const error = await assertRejects(() => Promise.resolve(receipt), StreamerError);
    assertEquals([error.code, error.outcome, receipt.outcome], ["INVALID_STREAM_KEY", "not-written", "not-written"]);
  }
  assertEquals(redis.added, []);
});

test("an aborted signal prevents the creation of a producer", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url);
  const reason = new Error("no longer wanted");
  const error = await assertRejects(() => streamer.createProducer(uniqueKey(), { signal: AbortSignal.abort(reason) }));
  assertStrictEquals(error, reason);
  assertEquals(redis.server.peers.length, 1);
});

function countsOf(streamer: RedisStreamer): number[] {
  const { producers, consumers } = streamer.stats();
  return [producers, consumers];
}
