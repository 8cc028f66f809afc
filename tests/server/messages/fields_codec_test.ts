// Tests streams that are shared with other clients: entries of plain fields, written and read by the raw client.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Codec, connect, fieldsCodec, jsonCodec, process } from "../../../mod.ts";
import { addEach, take } from "../../support/consumer/reading.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { parseEntries } from "../../support/producer/stream_checks.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const earliest = { autoStreamReset: "earliest" } as const;
const realTime = { mode: "real-time", ...earliest } as const;
const rolling = { mode: "resumable", group: "g", autoCommit: "rolling", ...earliest } as const;

async function fieldsIn(key: string): Promise<(readonly string[])[]> {
  return parseEntries(await server.command("XRANGE", key, "-", "+")).map(({ fields }) => fields);
}

for (
  const options of [
    realTime,
    rolling,
    { ...rolling, mode: "load-balanced" },
    { ...rolling, autoCommit: "delayed" },
  ] as const
) {
  const name = options.mode === "real-time" ? options.mode : `${options.mode}, ${options.autoCommit}`;
  test(`a stream of other clients is read as objects (${name})`, async () => {
    const key = uniqueKey();
    await addEach(server, [
      ["XADD", key, "*", "user", "7", "action", "login"],
      ["XADD", key, "*", "user", "8", "user", "9", "naïve €", "\ufeffü"],
      ["XADD", key, "*", "msg", "first", "msg", "second", "a", "1"],
      ["XADD", key, "*", "bytes", new Uint8Array([0x61, 0xff])],
    ]);
    await using streamer = await connect(server.url);
    for (const onDecodeError of ["fail", "skip"] as const) {
      const group = options.mode === "real-time" ? {} : { group: uniqueKey("g") };
      const consumer = await streamer.createConsumer(key, {
        ...options,
        ...group,
        codec: fieldsCodec<Record<string, string>>(),
        onDecodeError,
      });
      const messages = await take(consumer, 4);
      assertEquals(messages.map(({ value }) => value), [
        { user: "7", action: "login" },
        { user: "8", "naïve €": "\ufeffü" },
        { msg: "first", a: "1" },
        { bytes: "a\ufffd" },
      ]);
      assertEquals(messages[3].headers.getBytes("bytes"), new Uint8Array([0x61, 0xff]));
      assertEquals(messages[0].copy().value, { user: "7", action: "login" });
      await consumer.end();
    }
  });
}

test("entries of fieldsCodec are read by other clients, and by another consumer, as they were sent", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const codec = fieldsCodec<Record<string, string | number | boolean | bigint | Uint8Array | undefined>>();
  const producer = await streamer.createProducer(key, { codec });
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  await producer.send({ user: 7, big: 2n ** 60n, active: true, left: undefined, name: "ü" });
  await producer.send({ bytes }, { headers: { trace: "abc" } });
  const raw = await server.commandBytes("XRANGE", key, "-", "+");
  const text = (word: string) => new TextEncoder().encode(word);
  const fields = (raw as [unknown, unknown[]][]).map(([, words]) => words);
  assertEquals(fields, [
    ["user", "7", "big", "1152921504606846976", "active", "true", "name", "ü"].map(text),
    [text("bytes"), bytes, text("trace"), text("abc")],
  ]);
  const consumer = await streamer.createConsumer(key, { ...realTime, codec: fieldsCodec() });
  const [first, second] = await take(consumer, 2);
  assertEquals(first.value, { user: "7", big: "1152921504606846976", active: "true", name: "ü" });
  assertEquals([second.value.trace, second.headers.getBytes("bytes")], ["abc", bytes]);
});

test("the property named as the message field is that field, in both directions", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url, { messageField: "body" });
  const codec = fieldsCodec<{ readonly kind: string; readonly body?: string }>();
  const producer = await streamer.createProducer(key, { codec });
  producer.send({ kind: "a", body: "hello" });
  producer.send({ kind: "b" });
  await producer.flush();
  assertEquals(await fieldsIn(key), [["kind", "a", "body", "hello"], ["kind", "b"]]);
  const consumer = await streamer.createConsumer(key, { ...realTime, codec });
  const [one, two] = await take(consumer, 2);
  assertEquals([one.text(), one.headers.size, one.value], ["hello", 1, { kind: "a", body: "hello" }]);
  assertEquals([two.text(), two.headers.size, two.value], ["", 1, { kind: "b" }]);
});

test("a codec decodes with the headers and the name of the payload field", async () => {
  const key = uniqueKey();
  await addEach(server, [
    ["XADD", key, "*", "msg", "1", "unit", "kg"],
    ["XADD", key, "*", "unit", "m", "msg", "2"],
    ["XADD", key, "*", "unit", "s", "unit", "h"],
  ]);
  const codec: Codec<string> = {
    encode: (value) => ({ payload: value.split(" ")[0], headers: { unit: value.split(" ")[1] } }),
    decode(payload, { headers, payloadField }) {
      return `${payloadField}=${new TextDecoder().decode(payload)} ${headers.get("unit")} ${headers.size}`;
    },
  };
  await using streamer = await connect(server.url);
  await (await streamer.createProducer(key, { codec })).send("4 N");
  const consumer = await streamer.createConsumer(key, { ...realTime, codec });
  const values = (await take(consumer, 4)).map(({ value }) => value);
  assertEquals(values, ["msg=1 kg 1", "msg=2 m 1", "undefined= s 2", "msg=4 N 1"]);
  assertEquals((await fieldsIn(key))[3], ["msg", "4", "unit", "N"]);
});

test("process writes its outputs with a codec of fields", async () => {
  const [from, to] = [uniqueKey(), uniqueKey()];
  await addEach(server, Array.from({ length: 10 }, (_, i) => ["XADD", from, "*", "n", `${i}`, "unit", "kg"]));
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(from, {
    ...rolling,
    codec: fieldsCodec<{ n: string; unit: string }>(),
  });
  const producer = await streamer.createProducer(to, { codec: fieldsCodec<{ twice: number; unit: string }>() });
  const done = new AbortController();
  let handled = 0;
  const counts = await process(consumer, ({ value, headers }) => {
    if (++handled === 10) queueMicrotask(() => done.abort());
    if (value.n === "3") return { payload: { twice: 6, unit: "kg" }, headers }; // unit is given twice
    return { payload: { twice: Number(value.n) * 2, unit: value.unit }, headers: { of: value.n } };
  }, { producer, signal: done.signal, concurrency: 1 });
  assertEquals(counts, { handled: 9, failed: 1, repeated: 0 });
  const expected = [0, 1, 2, 4, 5, 6, 7, 8, 9].map((n) => ["twice", `${n * 2}`, "unit", "kg", "of", `${n}`]);
  assertEquals(await fieldsIn(to), expected);
});

test("dead letters keep all fields of an entry without payload, repeated ones too", async () => {
  const [key, deadLetter] = [uniqueKey(), uniqueKey("dead")];
  const bytes = new Uint8Array([0, 255]);
  await addEach(server, [["XADD", key, "*", "a", "1", "b", bytes, "a", "2"], ["XADD", key, "*", "a", "good"]]);
  const codec: Codec<string> = {
    encode: (value) => ({ headers: { a: value } }),
    decode(_payload, { headers }) {
      if (headers.has("b")) throw new Error("no b is wanted");
      return headers.get("a") ?? "";
    },
  };
  await using streamer = await connect(server.url);
  const dead = nextEvent<{ reason: string }>(streamer, "dead-letter");
  const consumer = await streamer.createConsumer(key, { ...rolling, codec, onDecodeError: "dead-letter", deadLetter });
  assertEquals((await consumer.next()).value, "good");
  assert((await dead).detail.reason.includes("no b is wanted"));
  const raw = await server.commandBytes("XRANGE", deadLetter, "-", "+");
  const [[, words]] = raw as [unknown, Uint8Array[]][];
  const text = (word: Uint8Array) => new TextDecoder().decode(word);
  assertEquals(words.slice(0, 2).map(text), ["a", "1"]);
  assertEquals([text(words[2]), words[3]], ["b", bytes]);
  assertEquals(words.slice(4, 6).map(text), ["a", "2"]);
  const names = words.slice(6).filter((_, i) => i % 2 === 0).map(text);
  assert(names.length > 0 && names.every((name) => name.startsWith("x-dead-letter-")), names.join());
});

test("JSON in a stream of fields fails with the remedies, and each codec reads the entries it can", async () => {
  const key = uniqueKey();
  await addEach(server, [["XADD", key, "*", "user", "7"], ["XADD", key, "*", "data", '{"n":1}']]);
  await using streamer = await connect(server.url, { messageField: "data" });
  const consumer = await streamer.createConsumer(key, { ...realTime, codec: jsonCodec<{ n: number }>() });
  const [one, two] = await take(consumer, 2);
  assertEquals(assertThrows(() => one.value, SyntaxError).message.includes("fieldsCodec"), true);
  assertEquals([one.headers.get("user"), two.value], ["7", { n: 1 }]);
});

test("a consumer finds the fields of copied messages after their page is reused", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, codec: fieldsCodec<{ n: string }>() });
  const kept: { readonly value: { readonly n: string } }[] = [];
  const reading = (async () => {
    for await (const message of consumer) {
      kept.push(message.copy());
      if (kept.length === 2_000) break;
    }
  })();
  await addEach(server, Array.from({ length: 2_000 }, (_, i) => ["XADD", key, "*", "n", `${i}`]));
  await reading;
  await until(() => kept.length === 2_000);
  assertEquals(kept.map(({ value }) => value.n), Array.from({ length: 2_000 }, (_, i) => `${i}`));
});
