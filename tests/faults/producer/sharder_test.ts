// Tests that a program's own sharder is called as promised, and that one which misbehaves affects that one send alone.

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  connect,
  type GenericProducer,
  jsonCodec,
  type ProducerOptions,
  type RedisStreamer,
  roundRobinSharder,
  type Sharder,
  type SharderFactory,
  StreamerError,
} from "../../../mod.ts";
import { test } from "../../support/runner.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

async function errorOf(promise: PromiseLike<unknown>): Promise<StreamerError> {
  return await assertRejects(() => Promise.resolve(promise), StreamerError, undefined);
}

test("a custom sharder is called once for each send, in their order, with the stream, the payload and the key", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url);
  const asked: unknown[] = [];
  class Own implements Sharder {
    readonly #shards = [4, 9_007_199_254_740_991, 0, -0];
    shard(...args: Parameters<Sharder["shard"]>): number {
      asked.push(args);
      return this.#shards[asked.length - 1];
    }
  }
  const producer = await streamer.createProducer("k", { sharder: new Own() });
  const bytes = Uint8Array.of(1, 2);
  const sends = [
    producer.send("a"),
    producer.send(bytes, { key: "key" }),
    producer.send("c", { headers: { h: "1" }, key: "" }),
    producer.send("d", {}),
  ];
  assertEquals(asked, [
    ["k", "a", undefined],
    ["k", bytes, "key"],
    ["k", "c", ""],
    ["k", "d", undefined],
  ]);
  assertEquals((await Promise.all(sends)).map(({ shardId }) => shardId), [4, 9_007_199_254_740_991, 0, 0]);
  assertEquals(redis.added.map(({ key }) => key), ["k:4", "k:9007199254740991", "k:0", "k:0"]);
});

test("with a codec the sharder gets the encoded value, and a value that cannot be encoded takes no turn", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url);
  const asked: unknown[] = [];
  const sharder: Sharder = {
    shard(_streamKey, payload) {
      asked.push(payload);
      return asked.length;
    },
  };
  const producer = await streamer.createProducer("k", { codec: jsonCodec<unknown>(), sharder });
  await assertRejects(() => Promise.resolve(producer.send(undefined)));
  await producer.send({ id: 7 }, { key: "7" });
  assertEquals([asked, redis.payloads("k:1")], [['{"id":7}'], ['{"id":7}']]);
});

const MISBEHAVING: Readonly<Record<string, () => unknown>> = {
  "a negative number": () => -1,
  "a fraction": () => 1.5,
  "NaN": () => NaN,
  "Infinity": () => Infinity,
  "more than 2^53": () => 2 ** 53,
  "a text": () => "1",
  "a bigint": () => 1n,
  "nothing": () => undefined,
  "a promise": () => Promise.resolve(1),
  "a promise that rejects": () => Promise.reject(new Error("later")),
};

for (const [what, shard] of Object.entries(MISBEHAVING)) {
  test(`a sharder that returns ${what} fails that send alone: INVALID_OPTION, not written`, async () => {
    await using redis = await FakeRedis.start();
    await using streamer = await connect(redis.url);
    // as: a value that a program without types may pass
    const sharder = { shard: (_: string, payload: unknown) => payload === "bad" ? shard() : 1 } as Sharder;
    const producer = await streamer.createProducer("k", { sharder });
    const [before, bad, after] = [producer.send("a"), producer.send("bad"), producer.send("b")];
    const error = await errorOf(bad);
    assertEquals([error.code, error.outcome, bad.outcome], ["INVALID_OPTION", "not-written", "not-written"]);
    assert(error.message.includes("whole number of at least 0, got "), error.message);
    await Promise.all([before, after]);
    await producer.flush();
    assertEquals(redis.payloads("k:1"), ["a", "b"]);
    assertEquals(producer.stats().buffered, 0);
  });
}

test("a sharder that throws fails that send alone, with its error as the cause; unseen, flush reports it", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url);
  const thrown = new Error("from the sharder");
  const sharder: Sharder = {
    shard(_streamKey, payload) {
      if (payload === "bad") throw thrown;
      return 2;
    },
  };
  const producer = await streamer.createGenericProducer({ sharder });
  const error = await errorOf(producer.sendTo("k", "bad"));
  assertEquals([error.code, error.outcome, error.cause], ["INVALID_OPTION", "not-written", thrown]);
  for (let i = 0; i < 3; i++) producer.sendTo(`k${i}`, "bad");
  producer.sendTo("k", "good");
  const failed = await errorOf(producer.flush());
  assertEquals([failed.code, failed.count], ["SEND_FAILED", 3]);
  assertEquals(redis.payloads("k:2"), ["good"]);
});

test("a sharder that itself sends works", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url);
  const producers: GenericProducer[] = [];
  const sharder: Sharder = {
    shard(streamKey, payload) {
      if (streamKey === "k") producers[0].sendTo("audit", payload);
      return 0;
    },
  };
  const producer = await streamer.createGenericProducer({ sharder });
  producers.push(producer);
  for (let i = 0; i < 20; i++) producer.sendTo("k", `${i}`);
  await producer.flush();
  assertEquals([redis.payloads("k:0"), redis.payloads("audit:0")], [numbers(20).map(String), numbers(20).map(String)]);
});

test("a factory is called once for each producer, and an error or an invalid result refuses the producer", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url);
  let made = 0;
  const sharder: SharderFactory = () => {
    made++;
    return { shard: () => made };
  };
  const producer = await streamer.createProducer("k", { sharder });
  producer.clone();
  producer.send("x");
  assertEquals(made, 1);
  await streamer.createGenericProducer({ sharder });
  assertEquals(made, 2);
  // as: a value that a program without types may pass
  const loose = (options: unknown) => errorOf(streamer.createProducer("k", options as ProducerOptions));
  assertEquals((await loose({ sharder, maxLength: -1 })).code, "INVALID_OPTION");
  assertEquals(made, 2); // all other options are checked first
  const thrown = new Error("no sharder today");
  const error = await loose({
    sharder: () => {
      throw thrown;
    },
  });
  assertEquals([error.code, error.cause], ["INVALID_OPTION", thrown]);
  assertEquals(streamer.stats().producers, 3);
});

/** Never called: the compiler checks this code. */
export async function types(streamer: RedisStreamer): Promise<void> {
  await streamer.createProducer("k", { sharder: roundRobinSharder(8) });
  await streamer.createProducer("k", { sharder: { shard: () => 1 } });
  await streamer.createProducer("k", {
    sharder: () => ({ shard: (streamKey, payload) => streamKey.length + payload.length }),
  });
  await streamer.createProducer("k", { sharder: { shard: (_streamKey, _payload, key) => key?.length ?? 0 } });
  await streamer.createProducer("k", { sharder: undefined });
  // @ts-expect-error a number of shards is no sharder
  await streamer.createProducer("k", { sharder: 8 });
  // @ts-expect-error a sharder answers at once
  await streamer.createProducer("k", { sharder: { shard: () => Promise.resolve(1) } });
  // @ts-expect-error a sharder gives a number
  await streamer.createProducer("k", { sharder: { shard: () => "1" } });
  // @ts-expect-error a function gives a sharder and is none
  await streamer.createProducer("k", { sharder: () => 1 });
  // @ts-expect-error how many shards is to be said
  roundRobinSharder();
  // @ts-expect-error a key is a text
  (await streamer.createProducer("k")).send("x", { key: 7 });
}
