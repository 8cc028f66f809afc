// Tests producers with a codec: the stored values, the failures, and that their types offer nothing else.

import { assertEquals, assertRejects } from "@std/assert";
import runtime from "node:process";
import { type Codec, connect, jsonCodec, process, type Producer, StreamerError } from "../../../mod.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

interface Order {
  readonly id: number;
  readonly items?: readonly string[];
}

const doubling: Codec<number> = {
  encode(value) {
    if (value < 0) throw new RangeError("below zero");
    return new Uint8Array([value * 2]);
  },
  decode: (payload) => payload[0] / 2,
};

async function payloads(key: string): Promise<unknown[]> {
  const reply = await server.command("XRANGE", key, "-", "+");
  return (reply as [string, string[]][]).map(([, fields]) => fields[fields.indexOf("msg") + 1]);
}

async function refusal(sent: PromiseLike<unknown>): Promise<StreamerError> {
  const error = await assertRejects(async () => await sent, StreamerError);
  assertEquals([error.code, error.outcome], ["INVALID_OPTION", "not-written"]);
  return error;
}

test("a producer with a codec stores encoded values, from every way of sending", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const producer: Producer<Order> = await streamer.createProducer(key, { codec: jsonCodec<Order>() });
  await producer.send({ id: 1 });
  await producer.sendTo(key, { id: 2, items: ["ä"] }, { headers: { kind: "test" } });
  await producer.clone().send({ id: 3 });
  const generic = await streamer.createGenericProducer({ codec: jsonCodec<Order>() });
  await generic.sendTo(key, { id: 4 });
  await generic.anchor(key).send({ id: 5 });
  const writer = producer.writable.getWriter();
  await writer.write({ id: 6 });
  await writer.close();
  assertEquals(await payloads(key), [
    '{"id":1}',
    '{"id":2,"items":["ä"]}',
    '{"id":3}',
    '{"id":4}',
    '{"id":5}',
    '{"id":6}',
  ]);
});

test("values are encoded at the call: later changes are not sent", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(key, { codec: jsonCodec<{ id: number }>() });
  const order = { id: 1 };
  const receipt = producer.send(order);
  order.id = 2;
  await receipt;
  assertEquals(await payloads(key), ['{"id":1}']);
});

test("a value that cannot be encoded fails alone, not written, with the codec's error as its cause", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(key, { codec: doubling });
  const [before, bad, after] = [producer.send(1), producer.send(-1), producer.send(2)];
  const error = await refusal(bad);
  assertEquals((error.cause as Error).message, "below zero");
  await before;
  await after;
  assertEquals((await payloads(key)).length, 2);
  await producer.flush();
});

test("a failure that is never awaited is reported by flush, like any other", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), { codec: doubling });
  producer.send(-1);
  producer.send(-2);
  const error = await assertRejects(() => producer.flush(), StreamerError);
  assertEquals([error.code, error.count], ["SEND_FAILED", 2]);
});

test("a codec that returns no payload fails the message", async () => {
  await using streamer = await connect(server.url);
  const codec = { encode: () => 5 as unknown as string, decode: () => 5 };
  const producer = await streamer.createProducer(uniqueKey(), { codec });
  await refusal(producer.send(5));
});

test("an asynchronous codec fails the message, and its later result raises no unhandled rejection", async () => {
  await using streamer = await connect(server.url);
  const encode = (() => Promise.reject(new Error("later"))) as unknown as () => string;
  const producer = await streamer.createProducer(uniqueKey(), { codec: { encode, decode: () => "" } });
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  runtime.on("unhandledRejection", note);
  try {
    await refusal(producer.send("x"));
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve)); // it would be reported by then
  } finally {
    runtime.off("unhandledRejection", note);
  }
  assertEquals(unhandled, []);
});

test("an invalid codec is refused by name", async () => {
  await using streamer = await connect(server.url);
  const codec = { encode: () => "" } as unknown as Codec<string>;
  const error = await assertRejects(() => streamer.createProducer(uniqueKey(), { codec }), StreamerError);
  assertEquals(error.code, "INVALID_OPTION");
});

test("outputs of handlers go through the producer's codec as { payload }", async () => {
  const [from, to] = [uniqueKey(), uniqueKey()];
  await using streamer = await connect(server.url);
  for (const value of ["1", "2", "-3"]) await server.command("XADD", from, "*", "msg", value);
  const consumer = await streamer.createConsumer(from, {
    mode: "resumable",
    group: "g",
    autoCommit: "rolling",
    autoStreamReset: "earliest",
  });
  const producer = await streamer.createProducer(to, { codec: doubling });
  const done = new AbortController();
  const failures: unknown[] = [];
  let handled = 0;
  const counts = await process(consumer, (message) => {
    if (++handled === 3) queueMicrotask(() => done.abort());
    return { payload: Number(message.text()) };
  }, { producer, signal: done.signal, onError: (error) => void failures.push(error) });
  assertEquals(counts, { handled: 2, failed: 1, repeated: 0 });
  assertEquals(failures.map((error) => (error as StreamerError).code), ["INVALID_OPTION"]);
  assertEquals(((await payloads(to)) as string[]).map((payload) => payload.charCodeAt(0)), [2, 4]);
});

/** Never called: it compiles only while the types have these members. */
export async function typed(): Promise<void> {
  const streamer = await connect(server.url);
  const producer = await streamer.createProducer("s", { codec: jsonCodec<Order>() });
  producer.send({ id: 1 });
  // @ts-expect-error: no order
  producer.send("text");
  // @ts-expect-error: no order
  producer.sendTo("s", { name: "x" });
  const plain = await streamer.createProducer("s", { maxLength: 5 });
  plain.send("text");
  // @ts-expect-error: without a codec only payloads are sent
  plain.send({ id: 1 });
  const consumer = await streamer.createConsumer("s", { mode: "resumable", autoCommit: "rolling" });
  await process(consumer, () => ({ payload: { id: 1 } }), { producer });
  // @ts-expect-error: a value is given as { payload }
  await process(consumer, () => ({ id: 1 }), { producer });
  // @ts-expect-error: no order
  await process(consumer, () => ({ payload: "text" }), { producer });
  await process(consumer, (message) => message.text().length > 1 ? "text" : new Uint8Array(1), { producer: plain });
}
