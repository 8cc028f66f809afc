// Tests that a doubtful reply ends the connection, and that no caller ever gets another message's reply.

import { assert, assertEquals, assertInstanceOf, assertNotEquals } from "@std/assert";
import { connect, type ProducerOptions, StreamerError } from "../../../mod.ts";
import { nextEvent } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { FakeRedis, type Judge } from "../../support/producer/fake_redis.ts";
import { endingsOf } from "../../support/producer/stream_checks.ts";

const PAYLOADS = ["m0", "m1", "m2", "m3", "m4"];
const SECOND = "m1";

/** Judges the second message once, in its first flight. */
function oddOnce(odd: string | ((reply: string) => string)): Judge {
  let done = false;
  return (xadd, redis) => {
    const reply = redis.store(xadd);
    if (done || xadd.payload !== SECOND) return reply;
    done = true;
    return typeof odd === "string" ? odd : odd(reply);
  };
}

async function sendAll(judge: Judge, options: ProducerOptions = {}) {
  await using redis = await FakeRedis.start({ judge });
  await using streamer = await connect(redis.url, { reconnect: { initialDelay: 1 } });
  const lost: unknown[] = [];
  streamer.addEventListener("disconnect", ({ detail }) => {
    if (detail.cause !== undefined) lost.push(detail.cause);
  });
  const producer = await streamer.createProducer("k", { sendTimeout: 5_000, ...options });
  const endings = await endingsOf(PAYLOADS.map((payload) => [payload, producer.send(payload)]));
  return { endings, lost, entries: redis.streams.get("k") ?? [], kills: redis.kills };
}

const shapes: Readonly<Record<string, string>> = {
  "a number": ":7\r\n",
  "a simple string": "+OK\r\n",
  "a null": "_\r\n",
  "a null of RESP2": "$-1\r\n",
  "an array": "*1\r\n$3\r\n1-1\r\n",
  "a bulk string that is not an id": "$5\r\nhello\r\n",
  "an empty bulk string": "$0\r\n\r\n",
  "an id with a stray letter": "$5\r\n1-1x1\r\n",
  "an id without its second half": "$4\r\n1234\r\n",
  "an id above 64 bits": "$22\r\n18446744073709551616-0\r\n",
  "a boolean": "#t\r\n",
};

for (const [what, bytes] of Object.entries(shapes)) {
  test(`${what} in place of an id ends the connection, and every message is sent again and acked with its own id`, async () => {
    const { endings, lost, entries, kills } = await sendAll(oddOnce(bytes));
    for (const ending of endings) {
      assert("receipt" in ending, `${ending.payload} must be acked`);
      assertEquals(entries.find(({ id }) => id === ending.receipt.id)?.payload, ending.payload);
    }
    assertEquals(lost.length, 1);
    assertInstanceOf(lost[0], StreamerError);
    assertEquals(lost[0].code, "PROTOCOL");
    assertEquals(kills.length, 1);
    assertEquals([...new Set(entries.map(({ payload }) => payload))], PAYLOADS);
  });
}

test("with at-most-once a reply of the wrong type leaves its message and all later ones unknown, and each is sent once", async () => {
  const { endings, entries } = await sendAll(oddOnce(":7\r\n"), { delivery: "at-most-once" });
  assertEquals("receipt" in endings[0], true);
  for (const ending of endings.slice(1)) {
    assert("error" in ending, `${ending.payload} must fail`);
    assertInstanceOf(ending.error, StreamerError);
    assertEquals([ending.error.code, ending.outcome], ["AMBIGUOUS", "unknown"]);
  }
  assertEquals(new Set(entries.map(({ payload }) => payload)).size, entries.length);
});

test("garbage before a reply ends the connection, and no send gets another message's id", async () => {
  const { endings, lost, entries } = await sendAll(oddOnce((reply) => `hello\r\n${reply}`));
  for (const ending of endings) {
    assert("receipt" in ending);
    assertEquals(entries.find(({ id }) => id === ending.receipt.id)?.payload, ending.payload);
  }
  assertEquals(lost.length, 1);
});

test("a length with a stray byte ends the connection", async () => {
  const { endings, lost } = await sendAll(oddOnce((reply) => reply.replace("$15", "$1o")));
  assert(endings.every((ending) => "receipt" in ending));
  assertEquals(lost.map((cause) => Reflect.get(Object(cause), "code")), ["PROTOCOL"]);
});

test("one reply too many ends the connection as soon as no command waits", async () => {
  let spare = "";
  await using redis = await FakeRedis.start({ judge: (xadd, fake) => fake.store(xadd) + spare });
  await using streamer = await connect(redis.url, { reconnect: { initialDelay: 1 } });
  const producer = await streamer.createProducer("k");
  await producer.send("first");
  spare = "$17\r\n1600000000000-999\r\n";
  const lost = nextEvent<{ cause: unknown }>(streamer, "disconnect");
  const receipt = await producer.send("second");
  spare = "";
  assertEquals(Reflect.get(Object((await lost).detail.cause), "code"), "PROTOCOL");
  const third = await producer.send("third");
  assertNotEquals(third.id, "1600000000000-999");
  assertEquals(redis.streams.get("k")?.map(({ id }) => id), [redis.streams.get("k")?.[0].id, receipt.id, third.id]);
});

test("an unrequested reply on an idle connection ends it, and no later message gets it", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url, { reconnect: { initialDelay: 1 } });
  const producer = await streamer.createProducer("k");
  await producer.send("first");
  const lost = nextEvent<{ cause: unknown }>(streamer, "disconnect");
  await redis.added[0].peer.send("$17\r\n1600000000000-999\r\n");
  assertEquals(Reflect.get(Object((await lost).detail.cause), "code"), "PROTOCOL");
  const receipt = await producer.send("second");
  assertEquals(redis.streams.get("k")?.at(-1), { id: receipt.id, payload: "second" });
});

test("pushes and attributes between the replies are ignored", async () => {
  const { endings, lost, entries } = await sendAll((xadd, redis) =>
    `>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n|1\r\n+ttl\r\n:3\r\n${redis.store(xadd)}>1\r\n+noise\r\n`
  );
  assertEquals(entries.map(({ payload }) => payload), PAYLOADS);
  assertEquals(endings.map((ending) => "receipt" in ending && ending.receipt.id), entries.map(({ id }) => id));
  assertEquals(lost, []);
});

test("replies in single bytes are read like any others", async () => {
  const { endings, entries } = await sendAll(async (xadd, redis) => {
    await xadd.peer.sendSplit(redis.store(xadd));
    return undefined;
  });
  assertEquals(endings.map((ending) => "receipt" in ending && ending.receipt.id), entries.map(({ id }) => id));
});
