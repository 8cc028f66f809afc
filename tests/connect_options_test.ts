// Owns the proof that options which cannot be used are refused before anything is dialled, by name, value and what is allowed.

import { assert, assertEquals, assertRejects, assertStrictEquals, assertStringIncludes } from "@std/assert";
import { connect, type ConnectOptions, type ProducerOptions, StreamerError } from "../mod.ts";
import { uniqueKey } from "./support/keys.ts";
import { test } from "./support/runner.ts";
import { closedPort } from "./support/sockets.ts";
import { startFakeServer } from "./support/fake_server.ts";
import { FakeRedis } from "./streamer/producer/fake_redis.ts";

/** What a program without types may pass. */
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
  ["password", { password: 7 }],
  ["username", { username: {} }],
  ["dbs", { dbs: 1 }],
  ["reconnect", { reconnect: null }],
  ["limits", { limits: "all" }],
];

for (const [name, options] of refusedByConnect) {
  test(`connect refuses ${JSON.stringify(options)} with INVALID_OPTION that names ${name}`, async () => {
    await using fake = await startFakeServer(() => {});
    // as: what a program without types may pass
    const error = await assertRejects(() => connect(fake.url, options as ConnectOptions), StreamerError);
    assertEquals(error.code, "INVALID_OPTION");
    assertStringIncludes(error.message, name);
    assertEquals(fake.peers.length, 0, "nothing was dialled");
  });
}

test("a refusal shows the value and what is allowed, but never a password's", async () => {
  const url = "redis://127.0.0.1:1";
  const db = await assertRejects(() => connect(url, { db: -7 }), StreamerError);
  assertStringIncludes(db.message, "-7");
  assertStringIncludes(db.message, "0");
  // as: what a program without types may pass
  const password = ["Canary-7f3a"] as unknown as string;
  const secret = await assertRejects(() => connect(url, { password }), StreamerError);
  assert(!secret.message.includes("Canary"), secret.message);
});

test("tls with half a client certificate is refused", async () => {
  for (const tls of [{ cert: "x" }, { key: "x" }]) {
    const error = await assertRejects(() => connect("rediss://127.0.0.1:1", { tls }), StreamerError);
    assertEquals(error.code, "INVALID_OPTION");
  }
});

test("a database together with a cluster is refused, and several nodes that are said to be no cluster", async () => {
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

test("an url that cannot be used rejects the promise with INVALID_URL, it does not throw", async () => {
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
  ["exactly once", { delivery: "exactly-once" }, "UNSUPPORTED"],
  ["sharder", { sharder: () => 0 }],
  ["sharder", { sharder: 8 }],
  ["sharder", { sharder: null }],
  ["sharder", { sharder: { shard: 8 } }],
  ["sharder", { sharder: () => undefined }],
  ["sharder", { sharder: class {} }], // no function that can be called
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

test("a producer's options are refused by name, before a connection is made for it", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url);
  for (const [name, options, code = "INVALID_OPTION"] of refusedByProducer) {
    // as: what a program without types may pass
    const loose = options as ProducerOptions;
    for (const make of [() => streamer.createProducer("k", loose), () => streamer.createGenericProducer(loose)]) {
      const error = await assertRejects(make, StreamerError);
      assertEquals(error.code, code, name);
      assertStringIncludes(error.message, name);
    }
  }
  assertEquals(redis.server.peers.length, 1);
  assertEquals(streamer.stats(), { producers: 0, consumers: 0 });
});

test("a producer for a name that is no stream key is refused", async () => {
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

test("an aborted signal keeps a producer from being made", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url);
  const reason = new Error("no longer wanted");
  const error = await assertRejects(() => streamer.createProducer(uniqueKey(), { signal: AbortSignal.abort(reason) }));
  assertStrictEquals(error, reason);
  assertEquals(redis.server.peers.length, 1);
});
