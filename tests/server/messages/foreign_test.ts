// Tests entries of other clients: any fields, any bytes, any id that a real server accepts, as messages of a consumer.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { addEach, take } from "../../support/consumer/reading.ts";
import { Random } from "../../support/resp/drive.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer, type Word } from "../../support/servers/server.ts";

const server = await sharedServer();
const earliest = { mode: "real-time", autoStreamReset: "earliest" } as const;
const MAX = 2n ** 64n - 1n;
const ascii = (text: string) => new TextEncoder().encode(text);

async function received(entries: readonly (readonly Word[])[], options = {}) {
  const key = uniqueKey();
  await addEach(server, entries.map((words) => ["XADD", key, ...words]));
  const streamer = await connect(server.url, options);
  const consumer = await streamer.createConsumer(key, earliest);
  const messages = await take(consumer, entries.length);
  await streamer.disconnect();
  return messages;
}

test("an entry without the payload field is not lost", async () => {
  const [one] = await received([["*", "a", "1", "b", "2"]]);
  assertEquals([one.bytes().length, one.text(), one.headers.size], [0, "", 2]);
  assertEquals([...one.headers], [["a", ascii("1")], ["b", ascii("2")]]);
});

test("entries of any fields have these in the stored order", async () => {
  const [one, two, three] = await received([
    ["*", "x", "1", "msg", "payload", "x", "2", "", ""],
    ["*", "msg", "first", "msg", "second", "msg", "third"],
    ["*", "msg", ""],
  ]);
  assertEquals([one.text(), [...one.headers]], ["payload", [["x", ascii("1")], ["x", ascii("2")], ["", ascii("")]]]);
  assertEquals([one.headers.getAll("x"), one.headers.get("")], [[ascii("1"), ascii("2")], ""]);
  assertEquals([two.text(), two.headers.getAll("msg")], ["first", [ascii("second"), ascii("third")]]);
  assertEquals([three.text(), three.bytes().length, three.headers.size], ["", 0, 0]);
});

test("names and values of any bytes arrive as they were written", async () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  const crlf = ascii("\r\n$-1\r\n*0\r\n");
  const [one, two] = await received([["*", all, all, "msg", all], ["*", crlf, crlf, "msg", crlf]]);
  assertEquals(one.bytes(), all);
  assertEquals([...one.headers].map(([, value]) => value), [all]);
  assertEquals([two.bytes(), two.headers.getBytes("\r\n$-1\r\n*0\r\n")], [crlf, crlf]);
});

test("another payload field has another payload", async () => {
  const [one] = await received([["*", "msg", "header", "données", "payload"]], { messageField: "données" });
  assertEquals([one.text(), one.headers.get("msg")], ["payload", "header"]);
});

test("random entries equal those on the server, copies included (seed 71)", async () => {
  const random = new Random(71);
  const bytes = () => Uint8Array.from({ length: random.below(random.once(8) ? 3_000 : 20) }, () => random.below(256));
  const entries = Array.from({ length: 150 }, () => {
    const fields = Array.from({ length: 1 + random.below(6) }, () => random.once(3) ? ascii("msg") : bytes());
    return ["*", ...fields.flatMap((name) => [name, bytes()])];
  });
  const messages = await received(entries);
  for (const [i, message] of messages.entries()) {
    const words = entries[i].slice(1).filter((word) => word instanceof Uint8Array);
    const pairs = Array.from({ length: words.length / 2 }, (_, n) => [words[n * 2], words[n * 2 + 1]]);
    const payload = pairs.findIndex(([name]) => name.length === 3 && new TextDecoder().decode(name) === "msg");
    const headers = pairs.filter((_, n) => n !== payload).map(([, value]) => value);
    for (const one of [message, message.copy()]) {
      assertEquals(one.bytes(), payload < 0 ? new Uint8Array(0) : pairs[payload][1]);
      assertEquals([...one.headers].map(([, value]) => value), headers);
    }
  }
});

test("ids of any size are exact, and only the sequence of a large second half throws", async () => {
  const ids = [
    "0-1",
    "5-65535",
    "5-65536",
    "1526919030474-18446744073709551615",
    "9007199254740993-9007199254740993",
    `${MAX - 1n}-65535`,
    `${MAX}-0`,
    `${MAX}-${MAX}`,
  ];
  const messages = await received(ids.map((id) => [id, "msg", id]));
  for (const [i, message] of messages.entries()) {
    const [first, second] = ids[i].split("-").map(BigInt);
    assertEquals([message.id, message.text(), message.identifier.id], [ids[i], ids[i], ids[i]]);
    if (second <= 65535n) assertEquals(message.sequence, (first << 16n) | second);
    else assertEquals(assertThrows(() => message.sequence, StreamerError).code, "UNSUPPORTED");
    assertEquals(message.timestampNs, first * 1_000_000n);
    const time = message.timestamp.getTime();
    assert(first <= 8_640_000_000_000_000n ? time === Number(first) : Number.isNaN(time), `${ids[i]}: ${time}`);
    assertEquals(message.copy().id, ids[i]);
  }
});

test("in nanoseconds ids hold nanoseconds, from a producer's clock and from others", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url, { timestampFormat: "nanoseconds" });
  const consumer = await streamer.createConsumer(key, earliest);
  await server.command("XADD", key, "1700000000123456789-3", "msg", "x");
  const message = await consumer.next();
  assertEquals(message.timestampNs, 1700000000123456789n);
  assertEquals(message.timestamp, new Date(1700000000123));
  assertEquals(message.sequence, (1700000000123456789n << 16n) | 3n);
  await server.command("XADD", key, `${MAX}-0`, "msg", "x");
  const far = await consumer.next();
  assertEquals([far.timestampNs, far.timestamp], [MAX, new Date(18446744073709)]);
});
