// Tests that messages are stored as they were at the call, in the order of the calls, and that receipts report where.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { connect, Receipt, RedisError, StreamerError } from "../../../mod.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { type RawReply, sharedServer } from "../../support/servers/server.ts";
import { compareIds } from "../../../streamer/model/id.ts";
import { entriesOf, parseEntries } from "../../support/producer/stream_checks.ts";

const server = await sharedServer();
const encoder = new TextEncoder();

/** The values of the first entry, as bytes. */
async function firstEntry(key: string): Promise<{ readonly id: string; readonly fields: RawReply[] }> {
  const reply = await server.commandBytes("XRANGE", key, "-", "+", "COUNT", 1);
  assert(Array.isArray(reply) && Array.isArray(reply[0]) && Array.isArray(reply[0][1]));
  assertInstanceOf(reply[0][0], Uint8Array);
  return { id: new TextDecoder().decode(reply[0][0]), fields: reply[0][1] };
}

async function storedPayload(payload: string | Uint8Array): Promise<Uint8Array> {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send(payload);
  const { fields } = await firstEntry(producer.streamKey);
  assertEquals(fields.length, 2);
  assertInstanceOf(fields[1], Uint8Array);
  await server.command("DEL", producer.streamKey);
  return fields[1];
}

test("messages are stored in the order of the calls, and their receipts ascend", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  const producer = await streamer.createProducer(key);
  const sends = Array.from({ length: 20_000 }, (_, i) => producer.send(`message ${i}`));
  const receipts = await Promise.all(sends);
  const entries = await entriesOf(server, key);
  assertEquals(entries.map(({ payload }) => payload), sends.map((_, i) => `message ${i}`));
  assertEquals(receipts.map(({ id }) => id), entries.map(({ id }) => id));
  receipts.reduce((before, after) => {
    assert(compareIds(before.id, after.id) < 0);
    assert(before.sequence < after.sequence);
    return after;
  });
  assertEquals({ ...producer.stats() }, {
    buffered: 0,
    inFlight: 0,
    sent: 20_000,
    acked: 20_000,
    failed: 0,
    resent: 0,
    conflicts: 0,
  });
});

test("a receipt has the place and the id of its message", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  const producer = await streamer.createProducer(key);
  const receipt = await producer.send("x");
  assertInstanceOf(receipt, Receipt);
  const { id } = await firstEntry(key);
  const [ms, second] = id.split("-").map(BigInt);
  assertEquals([receipt.streamKey, receipt.shardId, receipt.id], [key, 0, id]);
  assertEquals(receipt.sequence, ms << 16n | second);
  assertInstanceOf(receipt.timestamp, Date);
  assertEquals(receipt.timestamp.getTime(), Number(ms));
});

test("an id too large for a sequence is acked all the same; only reading its sequence throws", async () => {
  const key = uniqueKey();
  await server.command("XADD", key, "18446744073709551615-1000000", "msg", "before");
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(key);
  const receipt = await producer.send("x");
  assertEquals(receipt.id, "18446744073709551615-1000001");
  assertEquals(assertThrows(() => receipt.sequence, StreamerError).code, "UNSUPPORTED");
  assert(Number.isNaN(receipt.timestamp.getTime()));
  await server.command("DEL", key);
});

test("an exhausted stream rejects at once, with the server's text", async () => {
  const key = uniqueKey();
  await server.command("XADD", key, "18446744073709551615-18446744073709551615", "msg", "last");
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(key);
  const error = await assertRejects(() => Promise.resolve(producer.send("x")), RedisError);
  assertEquals([error.code, error.command, error.outcome], ["ERR", "XADD", "not-written"]);
});

const texts: Readonly<Record<string, string>> = {
  "an empty text": "",
  "ASCII": "hello",
  "line breaks and zeros": "a\r\nb\0c\n",
  "two, three and four bytes a character": "ü€😀 и 漢字 𝄞",
  "a lone high surrogate": "a\ud800b",
  "a lone low surrogate": "a\udc00b",
  "a lone surrogate at the end": "ab\ud83d",
  "surrogates the wrong way round": "\udc00\ud800",
  "a RESP command": "*1\r\n$8\r\nFLUSHALL\r\n",
  "a byte order mark": "\ufeffx",
};
for (const [what, text] of Object.entries(texts)) {
  test(`${what} is stored as UTF-8`, async () => assertEquals(await storedPayload(text), encoder.encode(text)));
}

test("texts and bytes of every length around the sizes of buffers are stored completely, in order", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  const producer = await streamer.createProducer(key);
  const lengths = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const payloads = [0, 1, 9, 10, 11, 99, 100, 101, 999, 1_000, 9_999, 10_000, 16_384, 32_768, 99_999, 100_000, 131_072]
    .flatMap((length) => ["a".repeat(length), "€".repeat(Math.ceil(length / 3))]);
  // A text reserves three bytes for a character; an entry's other parts are some ninety bytes.
  for (const length of lengths(21_780, 21_850)) payloads.push("b".repeat(length));
  for (const length of lengths(65_420, 65_540)) payloads.push("c".repeat(length));
  for (const payload of payloads) producer.send(payload[0] === "c" ? encoder.encode(payload) : payload);
  await producer.flush();
  let at = 0;
  for (let from = "-"; at < payloads.length;) {
    const page = parseEntries(await server.command("XRANGE", key, from, "+", "COUNT", 20));
    assert(page.length > 0, `only ${at} of ${payloads.length}`);
    for (const { payload } of page) {
      const expected = payloads[at++];
      assert(payload === expected, `number ${at} of ${expected.length} characters`);
    }
    from = `(${page[page.length - 1].id}`;
  }
  assertEquals(await server.command("XLEN", key), at);
  await server.command("DEL", key);
}, { timeout: 20_000 });

test("bytes of every kind are stored as they are, views and Buffers too", async () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  assertEquals(await storedPayload(all), all);
  assertEquals(await storedPayload(new Uint8Array()), new Uint8Array());
  assertEquals(await storedPayload(all.subarray(5, 9)), Uint8Array.of(5, 6, 7, 8));
  const { Buffer } = await import("node:buffer");
  assertEquals(await storedPayload(Buffer.from("hello")), encoder.encode("hello"));
  const shared = new Uint8Array(new SharedArrayBuffer(3));
  shared.set([7, 8, 9]);
  assertEquals(await storedPayload(shared), Uint8Array.of(7, 8, 9));
});

test("1 MiB and 20 MiB are stored completely, as bytes and as text, between small messages", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  const producer = await streamer.createProducer(key);
  const bytes = new Uint8Array(20 * 1024 * 1024);
  for (let i = 0; i < bytes.length; i++) bytes[i] = i * 7 + (i >> 8);
  const text = "ä€😀x".repeat(100_000); // 1 MB in UTF-8
  producer.send("before");
  producer.send(bytes);
  producer.send("between");
  producer.send(text);
  producer.send(bytes.subarray(0, 1024 * 1024));
  producer.send("after");
  await producer.flush();
  const reply = await server.commandBytes("XRANGE", key, "-", "+");
  assert(Array.isArray(reply));
  const payloads = reply.map((entry) => Array.isArray(entry) && Array.isArray(entry[1]) ? entry[1][1] : undefined);
  const expected = [
    encoder.encode("before"),
    bytes,
    encoder.encode("between"),
    encoder.encode(text),
    bytes.subarray(0, 1024 * 1024),
    encoder.encode("after"),
  ];
  assertEquals(payloads.length, expected.length);
  for (const [i, payload] of payloads.entries()) {
    assertInstanceOf(payload, Uint8Array);
    assert(indexOfDifference(payload, expected[i]) === -1, `message ${i}`);
  }
  await server.command("DEL", key);
});

function indexOfDifference(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return Math.min(a.length, b.length);
  return a.findIndex((byte, i) => byte !== b[i]);
}

test("the bytes are copied at the call: later changes of the array, or of a header's, have no effect", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  const producer = await streamer.createProducer(key);
  const [payload, header] = [Uint8Array.of(1, 2, 3), Uint8Array.of(4, 5, 6)];
  const headers: Record<string, Uint8Array> = { h: header };
  const large = new Uint8Array(300_000).fill(7);
  const sends = [producer.send(payload, { headers }), producer.send(large)];
  payload.fill(0);
  header.fill(0);
  headers.other = header;
  large.fill(0);
  await Promise.all(sends);
  const reply = await server.commandBytes("XRANGE", key, "-", "+");
  assert(Array.isArray(reply) && Array.isArray(reply[0]) && Array.isArray(reply[1]) && Array.isArray(reply[1][1]));
  assertEquals(reply[0][1], [
    encoder.encode("msg"),
    Uint8Array.of(1, 2, 3),
    encoder.encode("h"),
    Uint8Array.of(4, 5, 6),
  ]);
  assertInstanceOf(reply[1][1][1], Uint8Array);
  assert(reply[1][1][1].every((byte) => byte === 7));
  await server.command("DEL", key);
});

test("a payload that is neither text nor bytes is refused, and nothing of it is sent", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  for (
    const payload of [
      undefined,
      null,
      7,
      {},
      [1, 2],
      new Uint16Array(2),
      new ArrayBuffer(2),
      new DataView(new ArrayBuffer(2)),
    ]
  ) {
    // as: a value that a program without types may pass
    const receipt = producer.send(payload as unknown as string);
    const error = await assertRejects(() => Promise.resolve(receipt), StreamerError);
    assertEquals([error.code, error.outcome, receipt.outcome], ["INVALID_OPTION", "not-written", "not-written"]);
  }
  assertEquals(await server.command("EXISTS", producer.streamKey), 0);
});

test("one generic producer sends to any stream, each in the order of its calls", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createGenericProducer();
  const keys = Array.from({ length: 50 }, () => uniqueKey());
  for (let i = 0; i < 1_000; i++) producer.sendTo(keys[i * 7 % 50], `${i}`);
  await producer.flush();
  for (const [k, key] of keys.entries()) {
    const expected = Array.from({ length: 1_000 }, (_, i) => i).filter((i) => i * 7 % 50 === k).map(String);
    assertEquals((await entriesOf(server, key)).map(({ payload }) => payload), expected);
  }
});

test("the payload is in the field that messageField names", async () => {
  await using streamer = await connect(server.url, { messageField: "pay load\r\n" });
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("x");
  assertEquals((await entriesOf(server, producer.streamKey))[0].fields, ["pay load\r\n", "x"]);
});

test("a producer is anchored once, by anchor() or at its creation", async () => {
  await using streamer = await connect(server.url);
  const generic = await streamer.createGenericProducer();
  const [key, other] = [uniqueKey(), uniqueKey()];
  assertEquals(assertThrows(() => generic.anchor("not a key"), StreamerError).code, "INVALID_STREAM_KEY");
  const producer = generic.anchor(key);
  await producer.send("a");
  await producer.sendTo(other, "b");
  assertEquals(producer.streamKey, key);
  for (const anchored of [producer, producer.clone(), await streamer.createProducer(key)]) {
    assertEquals(assertThrows(() => anchored.anchor(other), StreamerError).code, "ALREADY_ANCHORED");
  }
  assertEquals([(await entriesOf(server, key)).length, (await entriesOf(server, other)).length], [1, 1]);
});

test("a producer that is not anchored cannot send: NOT_ANCHORED", async () => {
  await using streamer = await connect(server.url);
  const generic = await streamer.createGenericProducer();
  assert("send" in generic && typeof generic.send === "function"); // the types hide it
  const receipt = generic.send("x");
  const error = await assertRejects(() => Promise.resolve(receipt), StreamerError);
  assertEquals([error.code, error.outcome], ["NOT_ANCHORED", "not-written"]);
});
