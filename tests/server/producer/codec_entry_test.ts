// Tests codecs that return an object: which fields are stored, which results are refused, and codecs whose code
// misbehaves.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import runtime from "node:process";
import {
  type Codec,
  connect,
  type EncodedMessage,
  fieldsCodec,
  jsonCodec,
  type Producer,
  type ProducerOptions,
  type Sharder,
  StreamerError,
  type StreamShard,
} from "../../../mod.ts";
import { uniqueKey } from "../../support/keys.ts";
import { parseEntries } from "../../support/producer/stream_checks.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

/** A codec that returns its values. */
const identity: Codec<unknown> = { encode: (value) => value as EncodedMessage, decode: (payload) => payload };

/** The fields of each entry of a stream, as the raw client reads them. */
async function fieldsIn(key: string): Promise<(readonly string[])[]> {
  return parseEntries(await server.command("XRANGE", key, "-", "+")).map(({ fields }) => fields);
}

async function refusal(sent: PromiseLike<unknown>): Promise<StreamerError> {
  const error = await assertRejects(async () => await sent, StreamerError);
  assertEquals([error.code, error.outcome], ["INVALID_OPTION", "not-written"], error.message);
  return error;
}

async function within<T>(
  options: ProducerOptions<T> & { readonly codec: Codec<T> },
  run: (producer: Producer<T>) => Promise<void>,
  field = "msg",
): Promise<(readonly string[])[]> {
  await using streamer = await connect(server.url, { messageField: field });
  const producer = await streamer.createProducer(uniqueKey(), options);
  await run(producer);
  return await fieldsIn(producer.streamKey);
}

test("a codec's payload and headers are stored before the headers of the send", async () => {
  const stored = await within({ codec: identity }, async (producer) => {
    producer.send({ payload: "a", headers: { v: "1" } });
    producer.send({ payload: new TextEncoder().encode("b"), headers: [["v", new Uint8Array([50])]] });
    producer.send({ payload: "c" });
    producer.send({ payload: "d", headers: {} }, { headers: { trace: "7" } });
    producer.send({ payload: "", headers: new Map([["x", "1"], ["y", "2"]]) }, { headers: [["trace", "8"]] });
    producer.send("f", { headers: [["h", "1"], ["h", "2"]] });
    producer.send({ payload: "€".repeat(20_000), headers: { v: "3" } });
    await producer.flush();
  });
  assertEquals(stored, [
    ["msg", "a", "v", "1"],
    ["msg", "b", "v", "2"],
    ["msg", "c"],
    ["msg", "d", "trace", "7"],
    ["msg", "", "x", "1", "y", "2", "trace", "8"],
    ["msg", "f", "h", "1", "h", "2"],
    ["msg", "€".repeat(20_000), "v", "3"],
  ]);
});

test("without a payload the entry has no payload field, unless a header has its name", async () => {
  const stored = await within({ codec: identity }, async (producer) => {
    producer.send({ headers: { a: "1", b: "2" } });
    producer.send({ headers: { a: "1" } }, { headers: { b: "2" } });
    producer.send({ payload: undefined, headers: [["a", ""]] });
    producer.send({ headers: [["a", "1"], ["msg", "x"], ["b", "2"]] });
    producer.send({ headers: { msg: "x" } });
    producer.send({}, { headers: { a: "1" } });
    await producer.flush();
  });
  assertEquals(stored, [
    ["a", "1", "b", "2"],
    ["a", "1", "b", "2"],
    ["a", ""],
    ["a", "1", "msg", "x", "b", "2"],
    ["msg", "x"],
    ["a", "1"],
  ]);
});

test("two fields of one name, and an entry without fields, are refused, and their neighbours stored", async () => {
  const stored = await within({ codec: identity }, async (producer) => {
    const sends = [
      producer.send({ payload: "x", headers: { msg: "y" } }),
      producer.send({ payload: "x", headers: [["a", "1"], ["a", "2"]] }),
      producer.send({ headers: [["a", "1"], ["b", "2"], ["a", "1"]] }),
      producer.send({ payload: "x", headers: { a: "1" } }, { headers: { a: "2" } }),
      producer.send({ headers: { a: "1" } }, { headers: { a: "1" } }),
      producer.send({ payload: "x" }, { headers: [["a", "1"], ["a", "2"]] }),
      producer.send({ headers: { a: "1" } }, { headers: { msg: "x" } }),
      producer.send({}),
      producer.send({ headers: [] }),
    ];
    producer.send({ payload: "stored" });
    for (const sent of sends) assert((await refusal(sent)).message.length < 300);
    await producer.flush();
  });
  assertEquals(stored, [["msg", "stored"]]);
});

test("other results of a codec are refused, also where a program without types returns them", async () => {
  const wrong: unknown[] = [
    undefined,
    null,
    7,
    () => "x",
    [],
    ["x"],
    new Uint16Array(2),
    { payload: null },
    { payload: 7 },
    { payload: "x", headers: null },
    { payload: "x", headers: "a=1" },
    { payload: "x", headers: { a: 1 } },
    { payload: "x", headers: [["a"]] },
    { payload: "x", headers: [[1, "a"]] },
    { payload: "x", header: { a: "1" } },
    { payload: "x", key: "k" },
    { payload: "x", headers: { a: Object.create(null) } },
  ];
  const stored = await within({ codec: identity }, async (producer) => {
    for (const value of wrong) await refusal(producer.send(value));
    await producer.flush();
  });
  assertEquals(stored, []);
});

test("codecs whose code throws or answers later fail one send each, and no rejection is unhandled", async () => {
  const thrown = new RangeError("the codec's own");
  const fail = (): never => {
    throw thrown;
  };
  const throwing: readonly (() => unknown)[] = [
    fail,
    () => ({
      get payload() {
        return fail();
      },
    }),
    () => ({
      get headers() {
        return fail();
      },
    }),
    () => ({
      payload: "x",
      headers: {
        get a() {
          return fail();
        },
      },
    }),
    () => ({
      payload: "x",
      headers: (function* () {
        yield ["a", "1"];
        fail();
      })(),
    }),
    () => new Proxy({}, { ownKeys: fail, get: fail, getPrototypeOf: fail }),
    () => new Proxy({ payload: "x" }, { get: fail }),
  ];
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  runtime.on("unhandledRejection", note);
  try {
    const codec: Codec<() => unknown> = { encode: (make) => make() as string, decode: () => fail };
    const stored = await within({ codec }, async (producer) => {
      for (const make of throwing) assertStrictEquals((await refusal(producer.send(make))).cause, thrown);
      for (const make of [() => Promise.reject(thrown), () => Promise.resolve("x"), () => ({ then: fail })]) {
        await refusal(producer.send(make));
      }
      await producer.send(() => "stored");
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve));
    });
    assertEquals(stored, [["msg", "stored"]]);
  } finally {
    runtime.off("unhandledRejection", note);
  }
  assertEquals(unhandled, []);
});

test("each property of a codec's result is read once", async () => {
  const reads: string[] = [];
  const stored = await within({ codec: identity }, async (producer) => {
    await producer.send({
      get payload() {
        reads.push("payload");
        return reads.length > 1 ? 7 : "x";
      },
      get headers() {
        reads.push("headers");
        return { a: "1" };
      },
    });
  });
  assertEquals([reads, stored], [["payload", "headers"], [["msg", "x", "a", "1"]]]);
});

test("a codec that sends, flushes or ends its producer has no side effects on others", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const inner: Promise<unknown>[] = [];
  const codec: Codec<string> = {
    encode(value) {
      if (value === "outer") {
        producer.send("inner 1");
        producer.send("inner 2", { headers: { a: "1" } });
        inner.push(producer.flush());
      }
      if (value === "last") inner.push(producer.end());
      return { payload: value, headers: { of: value } };
    },
    decode: String,
  };
  const producer: Producer<string> = await streamer.createProducer(key, { codec });
  await producer.send("outer");
  assertEquals((await fieldsIn(key)).map(([, payload]) => payload), ["inner 1", "inner 2", "outer"]);
  const last = producer.send("last");
  const outcome = await last.then(() => "acked", (error) => error.code);
  assert(outcome === "acked" || outcome === "DISCONNECTED", `${outcome}`);
  await Promise.all(inner.map((promise) => promise.catch(() => {})));
  assertEquals(producer.stats().buffered, 0);
});

test("bytes are copied at the call: a codec may use one array for all values", async () => {
  const shared = new Uint8Array(1);
  const codec: Codec<number> = {
    encode(value) {
      shared[0] = 48 + value;
      return value % 2 ? { payload: shared, headers: { h: shared } } : { headers: { h: shared } };
    },
    decode: ([byte]) => byte - 48,
  };
  const stored = await within({ codec }, async (producer) => {
    for (let i = 0; i < 4; i++) producer.send(i);
    shared[0] = 120;
    await producer.flush();
  });
  assertEquals(stored, [["h", "0"], ["msg", "1", "h", "1"], ["h", "2"], ["msg", "3", "h", "3"]]);
});

test("own timestamps, maxLength, maxAge, nanoseconds and another message field work for entries without payload", async () => {
  const codec = fieldsCodec<Record<string, string>>();
  const fixed = await within({ codec }, async (producer) => {
    const timestamp = new Date(1_500_000_000_123);
    const { id } = await producer.send({ a: "1" }, { timestamp, headers: { h: "2" } });
    assertEquals(id, "1500000000123-0");
  });
  assertEquals(fixed, [["a", "1", "h", "2"]]);
  const trimmed = await within({ codec, maxLength: 1 }, async (producer) => {
    for (let i = 0; i < 500; i++) producer.send({ a: `${i}` });
    await producer.flush();
  });
  assert(trimmed.length < 300, `${trimmed.length} are left`);
  assertEquals(trimmed.at(-1), ["a", "499"]);
  const young = await within({ codec, maxAge: 60_000 }, async (producer) => {
    await producer.send({ a: "1" }, { headers: { b: "2" } });
  });
  assertEquals(young, [["a", "1", "b", "2"]]);
  const named = await within({ codec }, async (producer) => {
    producer.send({ a: "1", body: "x" });
    producer.send({ msg: "y" });
    await producer.flush();
  }, "body");
  assertEquals(named, [["a", "1", "body", "x"], ["msg", "y"]]);
  await using streamer = await connect(server.url, { timestampFormat: "nanoseconds" });
  const producer = await streamer.createProducer(uniqueKey(), { codec });
  const sends = Array.from({ length: 50 }, (_, i) => producer.send({ a: `${i}` }));
  await Promise.all(sends);
  const entries = parseEntries(await server.command("XRANGE", producer.streamKey, "-", "+"));
  assertEquals(entries.map(({ fields }) => fields), Array.from({ length: 50 }, (_, i) => ["a", `${i}`]));
  assert(entries.every(({ id }) => /^\d{19}-\d+$/.test(id)), entries[0].id);
});

test("a sharder gets the value of the payload field, or an empty text", async () => {
  const seen: unknown[] = [];
  const sharder: Sharder = {
    shard(_streamKey, payload, key) {
      seen.push([payload, key]);
      return seen.length % 2;
    },
  };
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), {
    codec: fieldsCodec<Record<string, string>>(),
    sharder,
  });
  const receipts: StreamShard[] = await Promise.all([
    producer.send({ a: "1" }),
    producer.send({ a: "1", msg: "x" }, { key: "k" }),
  ]);
  assertEquals(seen, [["", undefined], ["x", "k"]]);
  assertEquals(receipts.map(({ shardId }) => shardId), [1, 0]);
  assertEquals(await fieldsIn(`${producer.streamKey}:1`), [["a", "1"]]);
});

test("a value that the schema refuses rejects its send and errors a writable", async () => {
  const schema = {
    "~standard": {
      version: 1 as const,
      vendor: "test",
      validate: (value: unknown) =>
        Number(value) > 0 ? { value: Number(value) } : { issues: [{ message: "not positive", path: ["n"] }] },
    },
  };
  const codec = jsonCodec(schema);
  const stored = await within({ codec }, async (producer) => {
    const [before, bad, after] = [producer.send(1), producer.send(-1), producer.send(2)];
    assertEquals(bad.outcome, "not-written");
    const error = await refusal(bad);
    assert(error.message.includes("not positive at n"), error.message);
    assertEquals(error.cause, [{ message: "not positive", path: ["n"] }]);
    await Promise.all([before, after]);
    producer.send(-5);
    const failed = await assertRejects(() => producer.flush(), StreamerError);
    assertEquals([failed.code, failed.count], ["SEND_FAILED", 1]);
    const writer = producer.writable.getWriter();
    await writer.write(3);
    await refusal(writer.write(-3));
    await refusal(writer.closed);
  });
  assertEquals(stored, [["msg", "1"], ["msg", "2"], ["msg", "3"]]);
});

test("a writable takes values of any codec", async () => {
  const stored = await within({ codec: fieldsCodec<Record<string, string>>() }, async (producer) => {
    const values: Record<string, string>[] = [{ a: "1" }, { b: "2", msg: "x" }];
    await ReadableStream.from(values).pipeTo(producer.writable);
  });
  assertEquals(stored, [["a", "1"], ["b", "2", "msg", "x"]]);
});

test("a full buffer refuses an entry without payload as any other", async () => {
  await using streamer = await connect(server.url);
  const codec = fieldsCodec<Record<string, string>>();
  const producer = await streamer.createProducer(uniqueKey(), { codec, maxBuffered: 1_000 });
  const error = await assertRejects(async () => await producer.send({ a: "x".repeat(2_000) }), StreamerError);
  assertInstanceOf(error, StreamerError);
  assertEquals([error.code, error.outcome], ["BUFFER_FULL", "not-written"]);
  await producer.send({ a: "x".repeat(200) });
});
