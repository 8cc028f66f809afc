// What `console.log` and `JSON.stringify` show of messages, headers, identifiers, receipts, streamers, producers and consumers.

import { assert, assertEquals, assertFalse, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { inspect } from "node:util";
import { connect, type Message } from "../../../mod.ts";
import { uniqueKey } from "../../support/keys.ts";
import { printed } from "../../support/printing.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer, startServer, type Word } from "../../support/servers/server.ts";

const server = await sharedServer();
const TIME = "2026-11-25T08:00:00.000Z";
const ID = `${Date.parse(TIME)}-7`;

/** The message of an entry with these fields. */
async function messageOf(fields: readonly Word[], id = ID): Promise<Message> {
  const key = uniqueKey();
  await server.command("XADD", key, id, ...fields);
  await using streamer = await connect(server.url);
  const [message] = await (await streamer.createManager()).range(key, "-", "+");
  return message;
}

/** A print on one line with single quotes, as runtimes differ in both. */
function flat(value: unknown): string {
  return printed(value).replaceAll('"', "'").replace(/\s+/g, " ").replaceAll(", }", " }").replaceAll(", ]", " ]");
}

test("a message prints its stream, shard, id, time, deliveries, headers and payload", async () => {
  const message = await messageOf(["msg", "paid", "trace", "7f3a", "tag", "a", "tag", "b"]);
  const { streamKey } = message;
  for (const text of [flat(message), flat({ in: [message] })]) {
    assertStringIncludes(text, `Message { streamKey: '${streamKey}', shardId: 0, id: '${ID}', timestamp: ${TIME},`);
    assertStringIncludes(text, "deliveries: 1, headers: { trace: '7f3a', tag: [ 'a', 'b' ] }, payload: 'paid' }");
  }
  assertStringIncludes(inspect(message), "payload: 'paid'", "node:util prints the same on each runtime");
});

test("a message too deep in an object prints as its name only", async () => {
  const message = await messageOf(["msg", "paid"]);
  assertStringIncludes(inspect({ a: { b: { c: { d: message } } } }, { depth: 2 }), "[Object]");
  assertStringIncludes(inspect({ a: message }, { depth: 0 }), "[Message]");
});

test("a payload that is not UTF-8 prints as its number of bytes, and a long one is cut", async () => {
  assertStringIncludes(flat(await messageOf(["msg", Uint8Array.of(0xff, 0, 1)])), "payload: <3 bytes> }");
  const long = printed(await messageOf(["msg", "ü".repeat(600_000)]));
  assert(long.length < 1_000, `${long.length}`);
  assertStringIncludes(long, "…");
  assertStringIncludes(long, "<1200000 bytes>");
  const control = printed(await messageOf(["msg", "\x1b[31mred"]));
  assertFalse(control.includes("\x1b"), "control characters are escaped");
});

test("many headers and long ones are cut", async () => {
  const fields = Array.from({ length: 500 }, (_, i) => [`h${i}`, "x".repeat(5_000)]).flat();
  const text = printed(await messageOf(["msg", "a", ...fields]));
  assert(text.length < 10_000, `${text.length}`);
  assertStringIncludes(text, "<480 more>");
});

test("a header named like a part of every object prints and serialises as any other", async () => {
  const { headers } = await messageOf(["msg", "a", "__proto__", "b", "constructor", "c", "toString", "d"]);
  assertStringIncludes(flat(headers), "'b'");
  assertEquals(Object.entries(headers.toObject()), [["__proto__", "b"], ["constructor", "c"], ["toString", "d"]]);
  assertEquals(JSON.stringify(headers), '[["__proto__","b"],["constructor","c"],["toString","d"]]');
});

test("headers give an object of texts, of repeated names the first", async () => {
  const { headers } = await messageOf(["a", "1", "msg", "x", "b", Uint8Array.of(0xff), "a", "2"]);
  assertEquals(headers.toObject(), { a: "1", b: "\ufffd" });
  assertEquals(JSON.parse(JSON.stringify(headers)), [["a", "1"], ["b", "\ufffd"], ["a", "2"]]);
  assertStringIncludes(flat(headers), "MessageHeaders { a: [ '1', '2' ], b: <1 bytes> }");
});

test("a message serialises with its payload as text, and in Base64 if it is not UTF-8", async () => {
  const message = await messageOf(["msg", "paid ü", "trace", "7f3a"]);
  assertEquals(JSON.parse(JSON.stringify(message)), {
    streamKey: message.streamKey,
    shardId: 0,
    id: ID,
    sequence: String(message.sequence),
    timestamp: TIME,
    deliveries: 1,
    headers: [["trace", "7f3a"]],
    payload: "paid ü",
  });
  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i * 7 & 0xff);
  const binary = JSON.parse(JSON.stringify(await messageOf(["msg", bytes])));
  assertFalse("payload" in binary);
  assertEquals(Uint8Array.from(atob(binary.payloadBase64), (character) => character.charCodeAt(0)), bytes);
  assertEquals(message.copy().toJSON(), message.toJSON());
});

test("a message without a sequence, or with a time that Date cannot represent, prints and serialises", async () => {
  const id = "18446744073709551615-65536";
  const message = await messageOf(["msg", "a"], id);
  const { sequence, timestamp } = JSON.parse(JSON.stringify(message));
  assertEquals([sequence, timestamp], [null, null]);
  assertStringIncludes(flat(message), `id: '${id}', timestamp: Invalid Date`);
  assertStringIncludes(flat(message.identifier), `shardId: 0, sequence: null, id: '${id}' }`);
  assertEquals(JSON.parse(JSON.stringify(message.identifier)).sequence, null);
});

test("an identifier prints its sequence, serialises it as text, and equals a plain object", async () => {
  const { identifier, streamKey, sequence } = await messageOf(["msg", "a"]);
  assertEquals(flat(identifier), `{ streamKey: '${streamKey}', shardId: 0, sequence: ${sequence}n, id: '${ID}' }`);
  assertEquals(JSON.parse(JSON.stringify({ identifier })), {
    identifier: { streamKey, shardId: 0, sequence: String(sequence), id: ID },
  });
  assertEquals(identifier, { streamKey, shardId: 0, sequence, id: ID });
  assertEquals(Object.keys(identifier), ["streamKey", "shardId", "sequence", "id"]);
});

test("receipts print and serialise, before and after the message is stored", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  const producer = await streamer.createProducer(key);
  const sending = producer.send("secret payload", { timestamp: new Date(TIME) });
  assertEquals(flat(sending), `SendReceipt { outcome: 'pending', streamKey: '${key}', shardId: 0 }`);
  if (!server.atLeast("7.0")) return;
  const receipt = await sending;
  const { id } = receipt;
  assertEquals(flat(sending), `SendReceipt { outcome: 'acked', streamKey: '${key}', shardId: 0, id: '${id}' }`);
  assertEquals(flat(receipt), `Receipt { streamKey: '${key}', shardId: 0, id: '${id}', timestamp: ${TIME} }`);
  const sequence = String(receipt.sequence);
  assertEquals(JSON.parse(JSON.stringify(receipt)), { streamKey: key, shardId: 0, id, sequence, timestamp: TIME });
  assertEquals(JSON.parse(JSON.stringify(sending)), { outcome: "acked", streamKey: key, shardId: 0, id });
});

test("streamers, producers and consumers print what they are for, and never a password", async () => {
  await using own = await startServer({ password: "Canary" });
  await using streamer = await connect(own.url);
  const key = uniqueKey();
  const generic = await streamer.createGenericProducer();
  const producer = await streamer.createProducer(key);
  await producer.send("a");
  const alone = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  await alone.next();
  const grouped = await streamer.createConsumer(key, { mode: "resumable", group: "g", consumerId: "c" });
  const { host, port } = own;
  const uri = `redis://:***@${host}:${port}`;
  const name = `${host}:${port}`;
  const nodes = `nodes: [ { name: '${name}', slots: 16384, connections: 4 } ]`;
  const places = `streamShards: [ { streamKey: '${key}', shardId: 0 } ]`;
  assertEquals(flat(streamer), `RedisStreamer { uri: '${uri}', producers: 2, consumers: 2, ${nodes} }`);
  assertStringIncludes(flat(generic), "GenericProducer { buffered: 0, inFlight: 0, sent: 0");
  assertStringIncludes(flat(producer), `Producer { streamKey: '${key}', buffered: 0, inFlight: 0, sent: 1, acked: 1`);
  assertStringIncludes(flat(alone), `Consumer { mode: 'real-time', ${places}, queued: 0`);
  assertMatch(flat(alone), /delivered: 1/);
  assertStringIncludes(
    flat(grouped),
    `Consumer { mode: 'resumable', groupId: 'g', consumerId: 'c', ${places}, queued: 0`,
  );
  assertEquals(JSON.parse(JSON.stringify(streamer)), {
    uri,
    producers: 2,
    consumers: 2,
    nodes: [{ name, slots: 16_384, connections: 4 }],
  });
  assertEquals(JSON.parse(JSON.stringify(producer)), { streamKey: key, ...producer.stats() });
  assertEquals(JSON.parse(JSON.stringify(alone)), { ...alone.toJSON() });
  const { groupId, consumerId, mode } = JSON.parse(JSON.stringify(grouped));
  assertEquals([mode, groupId, consumerId], ["resumable", "g", "c"]);
  for (const object of [streamer, generic, producer, alone, grouped, await streamer.createManager()]) {
    for (const text of [printed(object), JSON.stringify(object), inspect(object, { depth: 20, showHidden: true })]) {
      assertNotMatch(text, /Canary/);
      assert(text.length < 2_000, text);
    }
  }
}, { oneServer: OWN });
