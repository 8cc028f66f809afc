// Tests the options of a message: headers, timestamps, keys.

import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { connect, RedisError, type SendOptions, StreamerError } from "../../../mod.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";
import { entriesOf } from "../../support/producer/stream_checks.ts";

const server = await sharedServer();
const bytes = (text: string) => new TextEncoder().encode(text);

async function fieldsOf(options: SendOptions): Promise<unknown> {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("x", options);
  const reply = await server.commandBytes("XRANGE", producer.streamKey, "-", "+");
  assert(Array.isArray(reply) && Array.isArray(reply[0]));
  return reply[0][1];
}

test("headers are given as an object, as pairs, as a Map, or from a generator, in their order", async () => {
  const expected = [bytes("msg"), bytes("x"), bytes("b"), bytes("1"), bytes("a"), Uint8Array.of(0, 255, 13, 10)];
  const binary = Uint8Array.of(0, 255, 13, 10);
  function* pairs(): Generator<[string, string | Uint8Array]> {
    yield ["b", "1"];
    yield ["a", binary];
  }
  const forms = [{ b: "1", a: binary }, [["b", "1"], ["a", binary]] as const, new Map(pairs()), pairs()];
  for (const headers of forms) assertEquals(await fieldsOf({ headers }), expected);
});

test("a header may be repeated, and names and values may be empty or any text", async () => {
  const headers = [["a", "1"], ["a", "2"], ["", ""], ["ü €\r\n", "😀\ud800"], ["__proto__", "p"]] as const;
  const flat = headers.flatMap(([name, value]) => [bytes(name), bytes(value)]);
  assertEquals(await fieldsOf({ headers }), [bytes("msg"), bytes("x"), ...flat]);
});

test("empty headers are no headers", async () => {
  for (const headers of [{}, [], new Map<string, string>()]) {
    assertEquals(await fieldsOf({ headers }), [bytes("msg"), bytes("x")]);
  }
});

test("many and large headers are stored completely", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  const many = Array.from({ length: 2_000 }, (_, i) => [`h${i}`, "v".repeat(i % 97)] as const);
  producer.send("first");
  producer.send("x", { headers: many });
  producer.send("y", { headers: { large: "z".repeat(2_000_000) } });
  producer.send("last");
  await producer.flush();
  const [first, x, y, last] = await entriesOf(server, producer.streamKey);
  assertEquals(x.fields, ["msg", "x", ...many.flat()]);
  assertEquals([y.fields.length, y.fields[3].length], [4, 2_000_000]);
  assertEquals([first.fields, last.fields], [["msg", "first"], ["msg", "last"]]);
  await server.command("DEL", producer.streamKey);
});

test("a header with the name of the payload field, or with a value of another type, is refused", async () => {
  await using streamer = await connect(server.url, { messageField: "body" });
  const producer = await streamer.createProducer(uniqueKey());
  const wrong: readonly unknown[] = [
    { body: "1" },
    [["a", "1"], ["body", "2"]],
    { a: 7 },
    { a: null },
    [[7, "x"]],
    [["a"]],
    "text",
    7,
    [7],
  ];
  for (const headers of wrong) {
    // as: a value that a program without types may pass
    const receipt = producer.send("x", { headers } as SendOptions);
    const error = await assertRejects(() => Promise.resolve(receipt), StreamerError, undefined);
    assertEquals([error.code, error.outcome], ["INVALID_OPTION", "not-written"], JSON.stringify(headers));
  }
  await producer.send("x", { headers: { msg: "free here" } });
  assertEquals((await entriesOf(server, producer.streamKey)).map(({ fields }) => fields), [[
    "body",
    "x",
    "msg",
    "free here",
  ]]);
});

test("headers that throw make the send fail, and nothing of it is sent", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  const thrown = new Error("from the generator");
  function* broken(): Generator<[string, string]> {
    yield ["a", "1"];
    throw thrown;
  }
  const receipt = producer.send("x", { headers: broken() });
  assertEquals(await receipt.catch((error) => error), thrown);
  assertEquals(receipt.outcome, "not-written");
  await producer.send("y");
  assertEquals((await entriesOf(server, producer.streamKey)).map(({ payload }) => payload), ["y"]);
});

test("a timestamp becomes the first half of the id, from a Date or a bigint", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  const sends = [
    producer.send("a", { timestamp: new Date(1_500_000_000_123) }),
    producer.send("b", { timestamp: new Date(1_500_000_000_123) }),
    producer.send("c", { timestamp: 1_500_000_000_124n, headers: { h: "1" } }),
    producer.send("d"),
  ];
  const ids = (await Promise.all(sends)).map(({ id }) => id);
  assertEquals(ids.slice(0, 3), ["1500000000123-0", "1500000000123-1", "1500000000124-0"]);
  assertEquals((await sends[0]).timestamp, new Date(1_500_000_000_123));
  assert(Number(ids[3].split("-")[0]) > 1_600_000_000_000);
}, { ignore: !server.atLeast("7.0") });

test("in a stream of nanoseconds ids hold nanoseconds, given ones too, and receipts return the time", async () => {
  await using streamer = await connect(server.url, { timestampFormat: "nanoseconds" });
  const producer = await streamer.createProducer(uniqueKey());
  const early = await producer.send("a", { timestamp: new Date(1_500_000_000_123) });
  const exact = await producer.send("b", { timestamp: 1_500_000_000_123_456_789n });
  assertEquals([early.id, exact.id], ["1500000000123000000-0", "1500000000123456789-0"]);
  assertEquals([early.timestamp, exact.timestamp], [new Date(1_500_000_000_123), new Date(1_500_000_000_123)]);
  const before = Date.now();
  const receipts = await Promise.all(Array.from({ length: 100 }, (_, i) => producer.send(`${i}`)));
  const after = Date.now();
  for (const { timestamp } of receipts) {
    // A clock that is set while the test runs may be off; the unit may not.
    assert(timestamp.getTime() >= before - 60_000 && timestamp.getTime() <= after + 60_000, String(timestamp));
  }
  assertEquals(
    (await entriesOf(server, producer.streamKey)).map(({ id }) => id).slice(2),
    receipts.map(({ id }) => id),
  );
}, { ignore: !server.atLeast("7.0") });

test("a timestamp before the last one is refused by the server; later sends continue", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("a", { timestamp: 2_000n });
  const error = await assertRejects(() => Promise.resolve(producer.send("b", { timestamp: 1_000n })), RedisError);
  assertEquals([error.code, error.outcome], ["ERR", "not-written"]);
  await producer.send("c", { timestamp: 3_000n });
}, { ignore: !server.atLeast("7.0") });

test("invalid times, and times that do not fit, are refused", async () => {
  await using redis = await FakeRedis.start();
  for (const timestampFormat of ["milliseconds", "nanoseconds"] as const) {
    await using streamer = await connect(redis.url, { timestampFormat });
    const producer = await streamer.createProducer("k");
    const wrong: readonly unknown[] = [new Date(NaN), new Date(-1), -1n, 2n ** 64n, 5, "2020-01-01", null, {}];
    const tooLate = timestampFormat === "nanoseconds" ? [new Date(8.64e15)] : [];
    for (const timestamp of [...wrong, ...tooLate]) {
      // as: a value that a program without types may pass
      const receipt = producer.send("x", { timestamp } as SendOptions);
      const error = await assertRejects(() => Promise.resolve(receipt), StreamerError);
      assertEquals([error.code, error.outcome], ["INVALID_OPTION", "not-written"], String(timestamp));
    }
  }
  assertEquals(redis.added, []);
}, { oneServer: OWN });

test("a server without partial ids makes a timestamp UNSUPPORTED, and plain sends continue", async () => {
  await using redis = await FakeRedis.start({
    judge: (xadd, fake) =>
      xadd.id === "*" ? fake.store(xadd) : "-ERR Invalid stream ID specified as stream command argument\r\n",
  });
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  const receipt = producer.send("x", { timestamp: 1_000n });
  const error = await assertRejects(() => Promise.resolve(receipt), StreamerError);
  assertEquals([error.code, error.outcome], ["UNSUPPORTED", "not-written"]);
  assertInstanceOf(error.cause, RedisError);
  await producer.send("y");
  assertEquals(redis.payloads("k"), ["y"]);
}, { oneServer: OWN });

test("a key of a message is not stored, and must be a text", async () => {
  assertEquals(await fieldsOf({ key: "customer 7" }), [bytes("msg"), bytes("x")]);
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  // as: a value that a program without types may pass
  const error = await assertRejects(
    () => Promise.resolve(producer.send("x", { key: 7 } as unknown as SendOptions)),
    StreamerError,
  );
  assertEquals(error.code, "INVALID_OPTION");
});
