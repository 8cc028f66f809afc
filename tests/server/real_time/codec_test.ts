// Tests consumers with a codec: messages with values, and the fate of payloads that do not decode, in each mode and
// policy.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Codec, connect, jsonCodec, process, StreamerError, TypedMessage } from "../../../mod.ts";
import { take } from "../../support/consumer/reading.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const server = await sharedServer();

interface Order {
  readonly id: number;
}

const codec = jsonCodec<Order>();
const earliest = { autoStreamReset: "earliest" } as const;
const realTime = { mode: "real-time", ...earliest } as const;
const rolling = { mode: "resumable", group: "g", autoCommit: "rolling", ...earliest } as const;

/** Orders 0, 1, …, with invalid JSON in between. Resolves to the ids of the invalid ones. */
async function mixed(key: string, count: number, isBad: (i: number) => boolean): Promise<string[]> {
  const bad: string[] = [];
  for (let i = 0; i < count; i++) {
    const id = await server.command(
      "XADD",
      key,
      "*",
      "msg",
      isBad(i) ? `{bad ${i}` : JSON.stringify({ id: i }),
      "n",
      i,
    );
    if (isBad(i)) bad.push(String(id));
  }
  return bad;
}

async function pending(key: string, group = "g"): Promise<unknown> {
  return ((await server.command("XPENDING", key, group)) as unknown[])[0];
}

test("messages have values in every way of receiving, in real time and in a group", async () => {
  const key = uniqueKey();
  await mixed(key, 8, () => false);
  await using streamer = await connect(server.url);
  for (const options of [realTime, { ...rolling, group: uniqueKey("g") }] as const) {
    const consumer = await streamer.createConsumer(key, { ...options, codec });
    const values: number[] = [(await consumer.next()).value.id];
    for await (const message of consumer) {
      values.push(message.value.id);
      if (values.length === 3) break;
    }
    for await (const batch of consumer.batches({ max: 2 })) {
      for (const { value } of batch) values.push(value.id);
      break;
    }
    const reader = consumer.readable.getReader();
    const read = await reader.read();
    if (!read.done) values.push(read.value.value.id);
    await reader.cancel();
    assertEquals(values, [0, 1, 2, 3, 4, 5]);
    await consumer.end();
  }
});

test("without a codec a message is not typed", async () => {
  const key = uniqueKey();
  await mixed(key, 1, () => false);
  await using streamer = await connect(server.url);
  const message = await (await streamer.createConsumer(key, realTime)).next();
  assert(!(message instanceof TypedMessage) && !("value" in message));
});

test("fail: an invalid payload is delivered, its value throws, and the loop continues", async () => {
  const key = uniqueKey();
  await mixed(key, 3, (i) => i === 1);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...rolling, codec });
  const [first, bad, last] = await take(consumer, 3);
  assertEquals([first.value.id, last.value.id], [0, 2]);
  assertThrows(() => bad.value, SyntaxError);
  assertEquals([bad.text(), bad.headers.get("n")], ["{bad 1", "1"]);
  consumer.term(bad, "no JSON");
  await consumer.end();
  assertEquals(await pending(key), 2);
});

test("fail with process: an invalid payload is nacked, and becomes a dead letter after the last attempt", async () => {
  const [key, deadLetter] = [uniqueKey(), uniqueKey("dead")];
  const [badId] = await mixed(key, 3, (i) => i === 1);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...rolling, codec, maxDeliveries: 2, deadLetter });
  const dead = nextEvent<{ id: string; reason: string }>(streamer, "dead-letter");
  const done = new AbortController();
  const seen: number[] = [];
  const running = process(consumer, (message) => void seen.push(message.value.id), {
    retryDelay: 1,
    signal: done.signal,
  });
  assertEquals((await dead).detail.id, badId);
  done.abort();
  assertEquals(await running, { handled: 2, failed: 2, repeated: 0 });
  assertEquals(seen, [0, 2]);
});

for (
  const options of [
    realTime,
    rolling,
    { ...rolling, autoCommit: "disabled" },
    { ...rolling, autoCommit: "delayed" },
    { ...rolling, autoCommit: "immediate" },
    { ...rolling, mode: "load-balanced" },
  ] as const
) {
  const name = options.mode === "real-time" ? options.mode : `${options.mode}, ${options.autoCommit}`;
  test(`skip: an invalid payload is skipped, reported, and not pending (${name})`, async () => {
    const key = uniqueKey();
    const bad = await mixed(key, 20, (i) => i % 3 === 1 || i === 0 || i === 19);
    await using streamer = await connect(server.url);
    const told: unknown[] = [];
    streamer.addEventListener("dead-letter", ({ detail }) => {
      assertEquals([detail.streamKey, detail.shardId, detail.target, detail.deliveries], [key, 0, null, 1]);
      assert(detail.reason.startsWith("decode-error: "), detail.reason);
      told.push(detail.id);
    });
    const consumer = await streamer.createConsumer(key, { ...options, codec, onDecodeError: "skip" });
    const messages = await take(consumer, 20 - bad.length);
    assertEquals(messages.map(({ value }) => value.id), [2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]);
    const waiting = consumer.next();
    await until(() => told.length === bad.length);
    assertEquals(told.toSorted(), bad.toSorted());
    assertEquals(consumer.stats().delivered, messages.length);
    await server.command("XADD", key, "*", "msg", '{"id":99}');
    assertEquals((await waiting).value.id, 99);
    if ("ack" in consumer && options.mode !== "real-time" && options.autoCommit !== "immediate") {
      const left = options.autoCommit === "delayed" ? 0 : messages.length + 1;
      await consumer.end();
      assertEquals(await pending(key), left);
    }
  });
}

test("skip: waiting calls of all kinds are not answered with an invalid payload", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", codec, onDecodeError: "skip" });
  const first = consumer.next();
  const second = consumer.batches()[Symbol.asyncIterator]().next();
  const bad = await mixed(key, 4, (i) => i % 2 === 0);
  assertEquals((await first).value.id, 1);
  assertEquals((await second).value.map(({ value }: TypedMessage<Order>) => value.id), [3]);
  assertEquals(bad.length, 2);
});

test("skip: reading continues after skipped messages, also after a page of nothing else", async () => {
  const key = uniqueKey();
  await mixed(key, 300, () => true);
  await using streamer = await connect(server.url);
  for (const options of [realTime, rolling] as const) {
    const consumer = await streamer.createConsumer(key, { ...options, batchSize: 10, codec, onDecodeError: "skip" });
    const next = consumer.next();
    await server.command("XADD", key, "*", "msg", '{"id":7}');
    assertEquals((await next).value.id, 7);
    await consumer.end();
    await server.command("XTRIM", key, "MAXLEN", 300);
    await server.command("XDEL", key, (await next).id);
  }
});

test("dead-letter: an invalid payload is written there with its fields and the reason, and acknowledged", async () => {
  const [key, deadLetter] = [uniqueKey(), uniqueKey("dead")];
  const [badId] = await mixed(key, 3, (i) => i === 1);
  await using streamer = await connect(server.url);
  for (const options of [{ ...rolling, group: "one" }, { ...rolling, mode: "load-balanced", group: "two" }] as const) {
    const dead = nextEvent<{ target: string; reason: string }>(streamer, "dead-letter");
    const consumer = await streamer.createConsumer(key, {
      ...options,
      codec,
      onDecodeError: "dead-letter",
      deadLetter,
    });
    const [first, last] = await take(consumer, 2);
    assertEquals([first.value.id, last.value.id], [0, 2]);
    assertEquals((await dead).detail.target, deadLetter);
    await consumer.end();
    assertEquals(await pending(key, options.group), 2);
    const [entry] = (await server.command("XREVRANGE", deadLetter, "+", "-", "COUNT", 1)) as [string, string[]][];
    const fields = Object.fromEntries(
      Array.from({ length: entry[1].length / 2 }, (_, i) => entry[1].slice(i * 2, i * 2 + 2)),
    );
    assertEquals([fields.msg, fields.n, fields["x-dead-letter-id"]], ["{bad 1", "1", badId]);
    assert(fields["x-dead-letter-reason"].startsWith("decode-error: "));
  }
});

test("dead-letter: invalid payloads of an earlier run are dead-lettered as well", async () => {
  const [key, deadLetter] = [uniqueKey(), uniqueKey("dead")];
  const bad = await mixed(key, 4, (i) => i % 2 === 0);
  await using streamer = await connect(server.url);
  const before = await streamer.createConsumer(key, { ...rolling, consumerId: "c" });
  await take(before, 4);
  await before.end();
  const consumer = await streamer.createConsumer(key, {
    ...rolling,
    consumerId: "c",
    codec,
    onDecodeError: "dead-letter",
    deadLetter,
  });
  assertEquals((await take(consumer, 2)).map(({ value, deliveries }) => [value.id, deliveries]), [[1, 2], [3, 2]]);
  await until(async () => await server.command("XLEN", deadLetter) === bad.length);
});

test("dead-letter: payloads that cannot be written yet count for maxUnacked, and are written later", async () => {
  await using own = await startServer();
  const [key, deadLetter] = [uniqueKey(), uniqueKey("dead")];
  await own.command("XGROUP", "CREATE", key, "g", "0", "MKSTREAM");
  await own.commands(Array.from({ length: 2_000 }, () => ["XADD", key, "*", "msg", "{bad"]));
  await own.command("XADD", key, "*", "msg", '{"id":1}');
  await using streamer = await connect(own.url, { timeout: 2_000, reconnect: { maxDelay: 50 } });
  await own.command("CONFIG", "SET", "maxmemory", "1");
  const options = {
    ...rolling,
    batchSize: 10,
    maxUnacked: 20,
    codec,
    onDecodeError: "dead-letter",
    deadLetter,
  } as const;
  const consumer = await streamer.createConsumer(key, options);
  const next = consumer.next();
  const held = async () => ((await own.command("XPENDING", key, "g")) as unknown[])[0];
  await until(async () => Number(await held()) >= 20);
  for (let i = 0; i < 20; i++) { // it does not read further
    await own.command("PING");
    assert(Number(await held()) <= 100, `${await held()} are pending here`);
  }
  await own.command("CONFIG", "SET", "maxmemory", "0");
  assertEquals((await next).value.id, 1);
  await until(async () => await own.command("XLEN", deadLetter) === 2_000);
}, { oneServer: OWN, ignore: !(await canStartServers()) });

test("a codec that ends the consumer in the middle of a page causes no failure", async () => {
  const key = uniqueKey();
  await mixed(key, 10, () => false);
  await using streamer = await connect(server.url);
  let calls = 0;
  const ending: Codec<string> = {
    encode: String,
    decode(payload) {
      if (++calls === 3) consumer.end();
      return new TextDecoder().decode(payload);
    },
  };
  const consumer = await streamer.createConsumer(key, { ...realTime, codec: ending, onDecodeError: "skip" });
  assertEquals(await consumer.batches()[Symbol.asyncIterator]().next(), { done: true, value: undefined });
  assertEquals((await assertRejects(() => consumer.next(), StreamerError)).code, "CONSUMER_ENDED");
  assertEquals([calls, consumer.stats().queued], [3, 0]);
});

test("values are decoded when they are read, once; not before, if onDecodeError is fail", async () => {
  const key = uniqueKey();
  await mixed(key, 2, () => false);
  await using streamer = await connect(server.url);
  let calls = 0;
  const counting: Codec<Order> = { encode: codec.encode, decode: (payload) => (calls++, codec.decode(payload)) };
  const lazy = await streamer.createConsumer(key, { ...realTime, codec: counting });
  const [one, two] = await take(lazy, 2);
  assertEquals(calls, 0);
  assert(one.value === one.value);
  assertEquals(two.copy().value, { id: 1 });
  assertEquals(calls, 2);
  const eager = await streamer.createConsumer(key, { ...realTime, codec: counting, onDecodeError: "skip" });
  const [first] = await take(eager, 1);
  assertEquals([calls, first.value.id, calls], [3, 0, 3]);
});

test("forbidden combinations are refused by name", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  const refused: [string, unknown][] = [
    ["onDecodeError", { ...realTime, onDecodeError: "skip" }],
    ["onDecodeError", { ...realTime, codec, onDecodeError: "dead-letter" }],
    ["onDecodeError", { ...rolling, codec, onDecodeError: "dead-letter" }],
    ["onDecodeError", { ...rolling, codec, onDecodeError: "ignore" }],
    ["codec", { ...rolling, codec: JSON }],
  ];
  for (const [name, options] of refused) {
    const made = () => streamer.createConsumer(key, options as Parameters<typeof streamer.createConsumer>[1]);
    const error = await assertRejects(made, StreamerError);
    assertEquals(error.code, "INVALID_OPTION");
    assert(error.message.includes(name), error.message);
  }
});

/** Never called: it compiles only while the types have these members. */
export async function typed(): Promise<void> {
  const streamer = await connect(server.url);
  const options = { ...realTime, codec };
  const known: number = (await (await streamer.createConsumer("s", options)).next()).value.id;
  const consumer = await streamer.createConsumer("s", { ...rolling, codec, onDecodeError: "skip" });
  const id: number = (await consumer.next()).value.id + known;
  // @ts-expect-error: not in an order
  (await consumer.next()).value.name;
  // @ts-expect-error: no commit with rolling
  consumer.commit();
  const disabled = await streamer.createConsumer("s", { ...rolling, autoCommit: "disabled", codec });
  await disabled.commit();
  // @ts-expect-error: without a codec there is no value
  (await (await streamer.createConsumer("s", realTime)).next()).value;
  await process(consumer, (message) => `${message.value.id + id}`, {
    onError: (_error, message) => void message.value.id,
  });
}
