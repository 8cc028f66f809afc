// Tests which cuts count against a message: only those of a connection that had answered, was closed by the other side,
// and returned no byte of a reply.

import { assert, assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { test } from "../../support/runner.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";
import {
  checkUndeliverable,
  failureOf,
  KEY,
  once,
  poisonable,
  RECONNECT,
  sendAll,
} from "../../support/producer/poison.ts";
import { endingsOf } from "../../support/producer/stream_checks.ts";

test("a part of a reply is a reply: such a message is not given up too early", async () => {
  await using redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      if (xadd.payload !== "half") return fake.store(xadd);
      await xadd.peer.send("$15\r\n17000");
      return await xadd.cut({ gently: true });
    },
  });
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer(KEY, { sendTimeout: 1_500 });
  const [ending] = await endingsOf([["half", producer.send("half")]]);
  const { code, outcome } = failureOf(ending);
  assertEquals([code, outcome], ["TIMEOUT", "unknown"]);
  assert(redis.added.length > 5, `${redis.added.length} times`);
});

test("silence is not a close: a server that is suspended gets the message when it answers again", async () => {
  let silences = 0;
  await using redis = await FakeRedis.start({
    judge: (xadd, fake) => silences++ < 7 ? undefined : fake.store(xadd),
  });
  await using streamer = await connect(redis.url, { timeout: 60, reconnect: RECONNECT });
  const producer = await streamer.createProducer(KEY);
  const [a, b] = await endingsOf(["a", "b"].map((payload) => [payload, producer.send(payload)]));
  assert("receipt" in a && "receipt" in b);
  assertEquals(redis.payloads(KEY), ["a", "b"]);
});

test("a series of cuts that is interrupted by another kind of cut starts again", async () => {
  let cuts = 0;
  await using redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      cuts++;
      if (cuts > 12) return fake.store(xadd);
      if (cuts % 3 === 0) await xadd.peer.send("$"); // a byte of a reply
      return await xadd.cut({ gently: true });
    },
  });
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer(KEY);
  await producer.send("a");
  assertEquals(redis.added.length, 13);
});

for (const [what, answer] of [["a refusal", "-NOPERM no\r\n"], ["an error", "-ERR unknown command 'PING'\r\n"]]) {
  test(`${what} in reply to the PING shows that the connection works, too`, async () => {
    await using redis = await poisonable({ answers: { PING: answer } });
    const endings = await sendAll(redis, ["a", "poison", "b"]);
    checkUndeliverable(endings[1]);
    assertEquals(once(redis.streams.get(KEY)), ["first", "a", "b", "last"]);
  });
}

test("if connections are closed because of the PING itself, messages are still sent, and none is given up", async () => {
  let cuts = 0;
  let pings = 0;
  await using redis = await FakeRedis.start({
    judge: (xadd, fake) => cuts++ < 6 ? xadd.cut() : fake.store(xadd),
    answers: {
      PING: () => {
        pings++;
        for (const peer of redis.server.peers.slice(1)) peer.cut();
        return undefined;
      },
    },
  });
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer(KEY);
  await Promise.all(["a", "b", "c"].map((payload) => producer.send(payload)));
  assertEquals(redis.payloads(KEY), ["a", "b", "c"]);
  assert(pings > 1, `${pings} times`);
});
