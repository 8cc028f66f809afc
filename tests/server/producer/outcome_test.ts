// Tests that the error of every failed send has an outcome, equal to that of its receipt, also if the program's own
// code failed.

import { assert, assertEquals, assertInstanceOf, assertStrictEquals, assertStringIncludes } from "@std/assert";
import { type Codec, connect, type Producer, type SendOptions, type SendReceipt, StreamerError } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";

const server = await sharedServer();
const KEY = uniqueKey();

async function failureOf(receipt: SendReceipt): Promise<unknown> {
  return await receipt.then(() => assert(false, "it must fail"), (error: unknown) => error);
}

function outcomeIn(error: unknown): unknown {
  return Reflect.get(Object(error), "outcome");
}

/** Checks that nothing was written, and that the error and the receipt agree on it. */
async function checkNotWritten(receipt: SendReceipt, code?: string): Promise<unknown> {
  assertEquals(receipt.outcome, "not-written");
  const error = await failureOf(receipt);
  assertEquals([outcomeIn(error), receipt.outcome], ["not-written", "not-written"]);
  if (code !== undefined) {
    assertInstanceOf(error, StreamerError);
    assertEquals(error.code, code);
  }
  return error;
}

function throwing(thrown: unknown): Generator<[string, string]> {
  return (function* () {
    yield ["a", "1"];
    throw thrown;
  })();
}

const noText = Object.create(null);
const broken = {
  get h(): string {
    throw new RangeError("the program's own");
  },
};

/** Invalid arguments. as: values that a program without types may pass. */
const wrong: Readonly<Record<string, (producer: Producer) => SendReceipt>> = {
  "no payload": (producer) => producer.send(7 as unknown as string),
  "a payload without a text form": (producer) => producer.send(noText as string),
  "options null": (producer) => producer.send("x", null as unknown as SendOptions),
  "options as a text": (producer) => producer.send("x", "fast" as unknown as SendOptions),
  "a number as key": (producer) => producer.send("x", { key: 7 as unknown as string }),
  "an invalid signal": (producer) => producer.send("x", { signal: {} as AbortSignal }),
  "a text as signal": (producer) => producer.send("x", { signal: "stop" as unknown as AbortSignal }),
  "a number as headers": (producer) => producer.send("x", { headers: 7 as unknown as [] }),
  "a header without a value": (producer) => producer.send("x", { headers: [["a"]] as unknown as [] }),
  "a header with the name of the payload field": (producer) => producer.send("x", { headers: { msg: "" } }),
  "a value without a text form": (producer) => producer.send("x", { headers: { h: noText } }),
  "a number as timestamp": (producer) => producer.send("x", { timestamp: 5 as unknown as bigint }),
  "an invalid Date": (producer) => producer.send("x", { timestamp: new Date(NaN) }),
  "a timestamp beyond 64 bits": (producer) => producer.send("x", { timestamp: 2n ** 64n }),
};

test("invalid arguments of a send fail with INVALID_OPTION, not written", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer(KEY);
  for (const [what, send] of Object.entries(wrong)) {
    const receipt = send(producer);
    assertEquals(receipt.outcome, "not-written", what);
    const error = await failureOf(receipt);
    assertInstanceOf(error, StreamerError, what);
    assertEquals([error.code, error.outcome], ["INVALID_OPTION", "not-written"], what);
    if (/timestamp|Date/.test(what)) assertStringIncludes(error.message, "'timestamp' must be");
  }
  for (const key of ["", "not a key", 7, undefined, null, noText, Symbol("s")]) {
    // as: a value that a program without types may pass
    await checkNotWritten(producer.sendTo(key as string, "x"), "INVALID_STREAM_KEY");
  }
  await producer.flush();
  assertEquals(redis.added, []);
}, { oneServer: OWN });

test("an error that the program's headers throw is the rejection of the send, with the outcome set", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  const thrown = new RangeError("the program's own");
  assertStrictEquals(await checkNotWritten(producer.send("x", { headers: throwing(thrown) })), thrown);
  assertInstanceOf(await checkNotWritten(producer.send("x", { headers: broken })), RangeError);
  const options = {
    get headers(): never {
      throw new RangeError("a getter");
    },
  };
  assertInstanceOf(await checkNotWritten(producer.send("x", options)), RangeError);
});

test("if the outcome cannot be set on the error, the error is the cause of an INVALID_OPTION", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  const others = new StreamerError("AMBIGUOUS", "of another send", { outcome: "unknown" });
  const foreign = Object.assign(new Error("x"), { outcome: "draw" });
  for (const thrown of ["a text", 0, Object.freeze(new Error("frozen")), others, foreign]) {
    const error = await checkNotWritten(producer.send("x", { headers: throwing(thrown) }), "INVALID_OPTION");
    assertStrictEquals(Reflect.get(Object(error), "cause"), thrown);
  }
  await checkNotWritten(producer.send("x", { headers: throwing(undefined) }), "INVALID_OPTION");
  assertEquals([others.outcome, foreign.outcome], ["unknown", "draw"]);
});

test("codecs and sharders that throw or return nonsense fail their send with INVALID_OPTION, not written", async () => {
  await using streamer = await connect(server.url);
  const thrown = new StreamerError("AMBIGUOUS", "of another send", { outcome: "unknown" });
  const encoders: readonly (() => unknown)[] = [() => 7, () => undefined, () => noText, () => {
    throw thrown;
  }];
  for (const encode of encoders) {
    const codec = { encode, decode: () => "" } as unknown as Codec<string>;
    const producer = await streamer.createProducer(uniqueKey(), { codec });
    await checkNotWritten(producer.send("x"), "INVALID_OPTION");
  }
  const shards: readonly (() => unknown)[] = [() => -1, () => 1.5, () => "0", () => noText, () => Symbol("s"), () => {
    throw thrown;
  }];
  for (const shard of shards) {
    const sharder = { shard } as unknown as { shard(): number };
    const producer = await streamer.createProducer(uniqueKey(), { sharder });
    await checkNotWritten(producer.send("x"), "INVALID_OPTION");
  }
});

test("a full buffer, an ended producer and one without a stream report not-written", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), { maxBuffered: 1_000 });
  await checkNotWritten(producer.send("x".repeat(2_000)), "BUFFER_FULL");
  await producer.end();
  await checkNotWritten(producer.send("x"), "PRODUCER_ENDED");
  await checkNotWritten(producer.sendTo("k", "x"), "PRODUCER_ENDED");
  const generic = await streamer.createGenericProducer();
  // as: its type does not offer send
  await checkNotWritten((generic as Producer).send("x"), "NOT_ANCHORED");
});

test("a signal's reason is the rejection of a send, with the outcome set if possible", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  const aborted = AbortSignal.abort();
  assertStrictEquals(await checkNotWritten(producer.send("x", { signal: aborted })), aborted.reason);
  const reason = new Error("enough");
  const controller = new AbortController();
  const taken = producer.send("x", { signal: controller.signal });
  controller.abort(reason);
  assertStrictEquals(await checkNotWritten(taken), reason);
  for (const plain of ["a text", null, 7, Object.freeze({ frozen: true })]) {
    const receipt = producer.send("x", { signal: AbortSignal.abort(plain) });
    assertStrictEquals(await failureOf(receipt), plain);
    assertEquals(receipt.outcome, "not-written");
  }
  assertEquals(await server.command("EXISTS", producer.streamKey), 0);
});

test("a signal that is aborted while the headers are read takes the message back", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  const controller = new AbortController();
  const reason = new Error("enough");
  const headers = (function* (): Generator<[string, string]> {
    yield ["a", "1"];
    controller.abort(reason);
  })();
  assertStrictEquals(await checkNotWritten(producer.send("x", { headers, signal: controller.signal })), reason);
  await producer.send("y");
  assertEquals(await server.command("XLEN", producer.streamKey), 1);
});

test("a reason that ends sends before and after they are written reports unknown", async () => {
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  await using redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      await promise;
      return fake.store(xadd);
    },
  });
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer(KEY);
  const controller = new AbortController();
  const { signal } = controller;
  const written = producer.send("written", { signal });
  await until(() => redis.added.length === 1);
  const fresh = producer.send("fresh", { signal });
  const reason = new Error("enough");
  controller.abort(reason);
  for (const receipt of [written, fresh]) assertStrictEquals(await failureOf(receipt), reason);
  assertEquals(outcomeIn(reason), "unknown");
  assertEquals(fresh.outcome, "not-written");
  const later = producer.send("later", { signal });
  assertStrictEquals(await failureOf(later), reason);
  assertEquals([later.outcome, outcomeIn(reason)], ["not-written", "unknown"]);
  answer();
  await producer.flush();
  assertEquals([written.outcome, redis.payloads(KEY)], ["acked", ["written"]]);
}, { oneServer: OWN });
