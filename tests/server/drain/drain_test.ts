// Tests `end({ drain })`: which calls reject at once, which still act until the drain ends, and when it ends.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { type AckConsumer, connect, type RedisStreamer, StreamerError } from "../../../mod.ts";
import {
  consumerNames,
  eventsOf,
  groupOf,
  pendingIds,
  pendingRows,
  untilPending,
} from "../../support/consumer/grouping.ts";
import { group, long, rolling } from "../../support/consumer/draining.ts";
import { addMany, clientsNamed, idsInRange, restUpToMark, take, texts } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
/** Claims often, and only entries that have been idle for the default time. */
const other = { ...rolling, consumerId: "other", autoClaimInterval: 20 } as const;

/** Whether a promise has been settled, after other work has been done. */
async function isSettled(promise: PromiseLike<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(() => settled = true, () => settled = true);
  await server.command("PING"); // a round trip: promises that can be settled are
  return settled;
}

async function endedWith(asked: Promise<unknown>): Promise<void> {
  assertEquals((await assertRejects(() => asked, StreamerError)).code, "CONSUMER_ENDED");
}

/** A consumer with so many messages in flight, of as many. */
async function holding(streamer: RedisStreamer, count: number, options: object = {}) {
  const { key, ids } = await groupOf(server, group, count);
  const consumer: AckConsumer = await streamer.createConsumer(key, { ...rolling, ...options });
  return { key, ids, consumer, messages: await take(consumer, count) };
}

test("when the drain begins calls that wait and later ones reject, loops finish, and no message is returned", async () => {
  await using streamer = await connect(server.url);
  const { key, consumer, messages } = await holding(streamer, 1);
  const loops = [
    (async () => {
      for await (const _ of consumer) assert(false);
    })(),
    (async () => {
      for await (const _ of consumer.batches()) assert(false);
    })(),
    (async () => {
      for await (const _ of consumer.readable) assert(false);
    })(),
  ];
  const waiting = [endedWith(consumer.next()), endedWith(consumer.next())];
  const end = consumer.end({ drain: long });
  await Promise.all([...waiting, ...loops]);
  await addMany(server, key, 3);
  for (let i = 0; i < 3; i++) await endedWith(consumer.next());
  for await (const _ of consumer.messages()) assert(false);
  await endedWith(consumer.rewind("beginning"));
  await endedWith(consumer.assign(key, 1));
  assertEquals([await isSettled(end), consumer.stats().inHand, streamer.stats().consumers], [false, 1, 1]);
  consumer.ack(messages[0]);
  await end;
  assertEquals(streamer.stats().consumers, 0);
  // A read that blocked when the drain began may have got one of the new entries: it is released.
  const rows = await pendingRows(server, key, group);
  assertEquals(rows.filter(({ deliveries, idle }) => deliveries > 0 || idle < 60_000), []);
});

for (const mode of ["resumable", "load-balanced"] as const) {
  for (const autoCommit of ["rolling", "disabled"] as const) {
    test(`a drain ends when the last message is acked, nacked or termed, and commits (${mode}, ${autoCommit})`, async () => {
      const { key, ids } = await groupOf(server, group, 5);
      await using streamer = await connect(server.url);
      const dead = uniqueKey("dead");
      const options = { mode, group, consumerId: "me", deadLetter: dead } as const;
      const consumer: AckConsumer = autoCommit === "rolling"
        ? await streamer.createConsumer(key, { ...options, autoCommit })
        : await streamer.createConsumer(key, { ...options, autoCommit });
      const messages = await take(consumer, 5);
      consumer.ack(messages[0]);
      const end = consumer.end({ drain: long });
      consumer.ack(messages[1]);
      consumer.ackWith(messages[2].identifier);
      consumer.term(messages[3], "no use");
      assertEquals(await isSettled(end), false);
      consumer.nack(messages[4], { delay: long });
      await end;
      const rows = await pendingRows(server, key, group);
      assertEquals(rows.map(({ id, deliveries }) => [id, deliveries]), [[ids[4], 1]]);
      assert(rows[0].idle > 60_000, "the nacked one is released");
      assertEquals((await idsInRange(server, dead)).length, 1);
    });
  }
}

test("a drain without messages in flight ends at once", async () => {
  const { key } = await groupOf(server, group, 3);
  await using streamer = await connect(server.url);
  const idle = await streamer.createConsumer(key, rolling);
  await idle.end({ drain: long });
  const done = await streamer.createConsumer(key, rolling);
  for (const message of await take(done, 3)) done.ack(message);
  await done.end({ drain: Infinity });
  assertEquals(await pendingIds(server, key, group), []);
});

test("at its limit the drain ends: acks are committed, the rest stays pending, and later acks do nothing", async () => {
  await using streamer = await connect(server.url);
  const { key, ids, consumer, messages } = await holding(streamer, 3);
  const end = consumer.end({ drain: 30 });
  consumer.ack(messages[1]);
  await end;
  consumer.ack(messages[0]);
  consumer.nack(messages[2]);
  consumer.term(messages[2]);
  await consumer.end();
  const rows = await pendingRows(server, key, group);
  assertEquals(rows.map(({ id, deliveries }) => [id, deliveries]), [[ids[0], 1], [ids[2], 1]]);
  assert(rows.every(({ idle }) => idle < 60_000), "they are the program's still");
});

test("commit acts during the drain", async () => {
  const { key, ids } = await groupOf(server, group, 3);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "resumable", group, autoCommit: "disabled" });
  const messages = await take(consumer, 3);
  const end = consumer.end({ drain: long });
  consumer.ack(messages[0]);
  await consumer.commit();
  assertEquals([await pendingIds(server, key, group), consumer.stats().acked], [ids.slice(1), 1]);
  consumer.ack(messages[1]);
  await consumer.commit();
  consumer.ack(messages[2]);
  await end;
  assertEquals(await pendingIds(server, key, group), []);
  await endedWith(consumer.commit());
});

test("messages that were prefetched, or are nacked during the drain, go to others during the drain", async () => {
  const { key } = await groupOf(server, group, 10);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, rolling);
  const [nacked, kept, acked] = await take(consumer, 3);
  const end = consumer.end({ drain: long });
  const taker = await streamer.createConsumer(key, other);
  const got = await take(taker, 7);
  assertEquals(got.map((message) => [message.text(), message.deliveries]), texts(7, "", 3).map((text) => [text, 1]));
  consumer.nack(nacked, { delay: long });
  const again = await taker.next();
  assertEquals([again.text(), again.deliveries], ["0", 2]);
  assertEquals(await isSettled(end), false);
  consumer.ack(kept);
  consumer.ack(acked);
  await end;
  assertEquals(await pendingIds(server, key, group, "me"), []);
});

test("the lease of a message in flight is renewed during the drain, however long that lasts", async () => {
  await using streamer = await connect(server.url);
  const quick = { autoClaimIdle: 150, autoClaimInterval: 20 };
  const { key, ids, consumer, messages } = await holding(streamer, 1, quick);
  const end = consumer.end({ drain: long });
  const taker = await streamer.createConsumer(key, { ...other, ...quick });
  await taker.next({ signal: AbortSignal.timeout(600) }).then(() => assert(false, "it was claimed"), () => {});
  assertEquals(await pendingIds(server, key, group, "me"), ids);
  consumer.ack(messages[0]);
  await end;
  assertEquals(await pendingIds(server, key, group), []);
});

test("a message that maxHold releases is no longer awaited", async () => {
  await using streamer = await connect(server.url);
  const released = eventsOf(streamer, "released");
  const { key, ids, consumer } = await holding(streamer, 1, { maxHold: 50 });
  await consumer.end({ drain: long });
  assertEquals(released.map((detail) => detail.ids), [ids]);
  assertEquals(await pendingIds(server, key, group), ids);
});

test("a message that another consumer has claimed is no longer awaited", async () => {
  await using streamer = await connect(server.url);
  const lost = eventsOf(streamer, "lost");
  const { key, ids, consumer } = await holding(streamer, 1, { autoClaimIdle: 60 });
  const end = consumer.end({ drain: long });
  await server.command("XCLAIM", key, group, "thief", 0, ids[0]);
  await end;
  assertEquals(lost.map((detail) => detail.ids), [ids]);
  assertEquals(await pendingIds(server, key, group, "thief"), ids);
});

test("a consumer that was moved away from its group waits for messages in flight from before", async () => {
  const { key } = await groupOf(server, group, 3);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, rolling);
  const messages = await take(consumer, 2);
  await consumer.rewind("beginning");
  const free = await take(consumer, 3);
  const end = consumer.end({ drain: long });
  for (const message of free) consumer.ack(message); // not pending in any group
  consumer.ack(messages[0]);
  assertEquals(await isSettled(end), false);
  consumer.nack(messages[1]);
  await end;
  assertEquals((await pendingRows(server, key, group)).map(({ deliveries }) => deliveries), [1, 0]);
});

test("a paused consumer drains as any other", async () => {
  await using streamer = await connect(server.url);
  const { key, consumer, messages } = await holding(streamer, 2);
  consumer.pause();
  const end = consumer.end({ drain: long });
  for (const message of messages) consumer.ack(message);
  await end;
  assertEquals(await pendingIds(server, key, group), []);
});

test("with delayed and immediate, and in real time, there is no wait", async () => {
  await using streamer = await connect(server.url);
  for (const autoCommit of ["delayed", "immediate"] as const) {
    const { key } = await groupOf(server, group, 3);
    const consumer = await streamer.createConsumer(key, { mode: "load-balanced", group, autoCommit });
    await take(consumer, 2);
    await consumer.end({ drain: long });
    assertEquals(
      await pendingIds(server, key, group),
      autoCommit === "delayed" ? (await idsInRange(server, key)).slice(2) : [],
    );
  }
  const key = uniqueKey();
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  await addMany(server, key, 1);
  await consumer.next();
  await consumer.end({ drain: long });
  await endedWith(consumer.next());
});

test("several calls of end during a drain end together; only one that names a shorter drain shortens it", async () => {
  await using streamer = await connect(server.url);
  const { key, ids, consumer, messages } = await holding(streamer, 2);
  const ends = [
    consumer.end({ drain: long }),
    consumer.end({ drain: 2 * long }),
    consumer.end(),
    consumer[Symbol.asyncDispose](),
  ];
  consumer.ack(messages[0]);
  for (const end of ends) assertEquals(await isSettled(end), false);
  await Promise.all([...ends, consumer.end({ drain: 0 })]);
  assertEquals(await pendingIds(server, key, group), ids.slice(1));
  await consumer.end({ drain: long });
});

test("a second end is answered when the messages are settled", async () => {
  await using streamer = await connect(server.url);
  const { key, consumer, messages } = await holding(streamer, 1);
  const first = consumer.end({ drain: long });
  const second = consumer.end();
  consumer.ack(messages[0]);
  await Promise.all([first, second]);
  assertEquals(await pendingIds(server, key, group), []);
});

test("a signal ends the drain and rejects: acks are committed, the rest stays pending", async () => {
  const streamer = await connect(server.url);
  const { key, ids, consumer, messages } = await holding(streamer, 2);
  const [stop, reason] = [new AbortController(), new Error("no longer")];
  const end = consumer.end({ drain: long, signal: stop.signal });
  consumer.ack(messages[0]);
  stop.abort(reason);
  assertStrictEquals(await assertRejects(() => end), reason);
  await endedWith(consumer.next());
  await consumer.end();
  consumer.ack(messages[1]);
  await streamer.disconnect();
  assertEquals(await pendingIds(server, key, group), ids.slice(1));
});

test("a signal of a second call ends the drain, too, and rejects that call alone", async () => {
  await using streamer = await connect(server.url);
  const { key, ids, consumer } = await holding(streamer, 1);
  const [stop, reason] = [new AbortController(), new Error("no longer")];
  const first = consumer.end({ drain: long });
  const second = consumer.end({ signal: stop.signal });
  stop.abort(reason);
  assertStrictEquals(await assertRejects(() => second), reason);
  await first;
  assertEquals(await pendingIds(server, key, group), ids);
});

test("with a signal that is aborted already, or invalid options, nothing has ended", async () => {
  await using streamer = await connect(server.url);
  const { key, consumer, messages } = await holding(streamer, 1);
  const live = await streamer.createConsumer(key, { mode: "real-time" });
  const reason = new Error("before");
  for (const one of [consumer, live]) {
    assertStrictEquals(await assertRejects(() => one.end({ drain: 5, signal: AbortSignal.abort(reason) })), reason);
    for (const drain of [-1, NaN, "5", null]) {
      const bad = { drain } as { drain: number }; // as: from a program without types
      assertEquals((await assertRejects(() => one.end(bad), StreamerError, "drain")).code, "INVALID_OPTION");
    }
    const typo = { drian: 5 } as object; // as: a misspelt option
    assertEquals((await assertRejects(() => one.end(typo), StreamerError, "drian")).code, "INVALID_OPTION");
  }
  consumer.ack(messages[0]);
  assertEquals(await restUpToMark(server, consumer, key), []);
  await live.next();
});

test("disconnect during a drain lets handlers finish, commits, and closes every connection", async () => {
  const clientName = uniqueKey("client");
  const streamer = await connect(server.url, { clientName });
  const { key, consumer, messages } = await holding(streamer, 2);
  const end = consumer.end({ drain: long });
  const disconnected = streamer.disconnect();
  await server.command("PING");
  for (const message of messages) consumer.ack(message);
  await Promise.all([end, disconnected]);
  assertEquals(await pendingIds(server, key, group), []);
  await until(async () => (await clientsNamed(server, clientName)).length === 0);
});

test("disconnect ends a drain that does not end by itself, within its timeout, with acks committed", async () => {
  const clientName = uniqueKey("client");
  const streamer = await connect(server.url, { clientName });
  const { key, ids, consumer, messages } = await holding(streamer, 2);
  const end = consumer.end({ drain: long });
  consumer.ack(messages[0]);
  await streamer.disconnect({ timeout: 400 });
  await end;
  assertEquals(await pendingIds(server, key, group), ids.slice(1));
  await until(async () => (await clientsNamed(server, clientName)).length === 0);
});

test("a generated name leaves the group after the drain if nothing is pending for it", async () => {
  await using streamer = await connect(server.url);
  for (const acked of [true, false]) {
    const { key, consumer, messages } = await holding(streamer, 1, { consumerId: undefined });
    const end = consumer.end({ drain: acked ? long : 20 });
    if (acked) consumer.ack(messages[0]);
    await end;
    assertEquals(await consumerNames(server, key, group), acked ? [] : [consumer.consumerId]);
  }
});

test("the timeout counts from the end of the drain", async () => {
  await using streamer = await connect(server.url);
  const { key, consumer, messages } = await holding(streamer, 1);
  const end = consumer.end({ drain: long, timeout: 1_000 });
  const late = await streamer.createConsumer(uniqueKey(), { mode: "real-time" });
  await late.next({ signal: AbortSignal.timeout(1_100) }).catch(() => {}); // longer than the timeout
  assertEquals(await isSettled(end), false);
  consumer.ack(messages[0]);
  await end;
  assertEquals(await pendingIds(server, key, group), []);
});

test("messages of many concurrent calls before the drain are settled in it, and the rest is another consumer's", async () => {
  const { key } = await groupOf(server, group, 500);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...rolling, batchSize: 7 });
  const handled: string[] = [];
  const handle = async (message: { text(): string }) => {
    await server.command("PING");
    handled.push(message.text());
  };
  const works: Promise<void>[] = [];
  const begin = (message: Parameters<AckConsumer["ack"]>[0]) => {
    works.push(handle(message).then(() => consumer.ack(message)));
  };
  const loops = [
    (async () => {
      for await (const message of consumer) begin(message);
    })(),
    (async () => {
      for await (const batch of consumer.batches({ max: 3 })) for (const message of batch) begin(message);
    })(),
    (async () => {
      for await (const message of consumer.readable) begin(message);
    })(),
    (async () => {
      for (;;) {
        const message = await consumer.next().catch(() => undefined);
        if (message === undefined) return;
        begin(message);
      }
    })(),
  ];
  await until(() => handled.length > 100);
  await consumer.end({ drain: long });
  await Promise.all(loops);
  assertEquals(handled.length, works.length, "the drain has waited for all of them");
  assertEquals(await pendingIds(server, key, group).then((ids) => ids.length) <= 500 - handled.length, true);
  const rest = await streamer.createConsumer(key, other);
  while (handled.length < 500) {
    const message = await rest.next();
    assertEquals(message.deliveries, 1);
    handled.push(message.text());
    rest.ack(message);
  }
  assertEquals(handled.map(Number).sort((a, b) => a - b), texts(500).map(Number));
  await rest.end();
  await untilPending(server, key, group, 0);
});
