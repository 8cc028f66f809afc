// Tests when acknowledgements reach the server, for each policy, and which messages may be acknowledged.

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { systemClock } from "../../../resp/connection/clock.ts";
import { nativeDial } from "../../../resp/transport/dial.ts";
import { connectWith } from "../../../streamer/connect.ts";
import {
  addMany,
  blockedClient,
  Monitor,
  restUpToMark,
  take,
  takeTexts,
  texts,
} from "../../support/consumer/reading.ts";
import { groupOf, pendingIds, readBy, untilPending } from "../../support/consumer/grouping.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const member = { mode: "resumable", group, consumerId: "me" } as const;
const disabled = { ...member, autoCommit: "disabled" } as const;

/** A clock that the test sets. */
class HandClock {
  #offset = 0;
  readonly #timers = new Set<{ at: number; run: () => void; stop: () => void }>();

  now = (): number => systemClock.now() + this.#offset;
  random = (): number => 0.5;

  after = (delay: number, run: () => void): { stop: () => void } => {
    const timer = { at: this.now() + delay, run: () => {}, stop: () => {} };
    const real = systemClock.after(delay, () => timer.run());
    timer.run = () => {
      timer.stop();
      run();
    };
    timer.stop = () => {
      real.stop();
      this.#timers.delete(timer);
    };
    this.#timers.add(timer);
    return timer;
  };

  /** Advances the clock at once. */
  pass(ms: number): void {
    this.#offset += ms;
    // One may stop others that are due.
    for (const timer of [...this.#timers]) if (timer.at <= this.now() && this.#timers.has(timer)) timer.run();
  }
}

test("delayed acknowledges a returned message after its delay, also while a read blocks", async () => {
  const { key, ids } = await groupOf(server, group, 5);
  const clock = new HandClock();
  const clientName = uniqueKey("client");
  await using streamer = await connectWith({ dial: nativeDial(), clock }, server.url, { clientName });
  const consumer = await streamer.createConsumer(key, { ...member, autoCommitDelay: 300_000, batchSize: 3 });
  assertEquals(await takeTexts(consumer, 3), texts(3));
  clock.pass(200_000);
  assertEquals(await takeTexts(consumer, 1), ["3"]);
  await blockedClient(server, clientName);
  assertEquals(await pendingIds(server, key, group), ids);
  clock.pass(150_000);
  await untilPending(server, key, group, 2);
  assertEquals(await pendingIds(server, key, group), ids.slice(3));
  assertEquals([consumer.stats().inHand, consumer.stats().queued], [1, 1]);
  clock.pass(200_000);
  await untilPending(server, key, group, 1);
});

test("delayed acknowledges at the end all returned messages, whatever their age, and no prefetched one", async () => {
  const { key, ids } = await groupOf(server, group, 10);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...member, autoCommitDelay: 3_600_000 });
  await take(consumer, 4);
  await consumer.end();
  assertEquals(await pendingIds(server, key, group), ids.slice(4));
  assertEquals(consumer.stats().acked, 4);
});

test("all messages of a batch count as returned", async () => {
  const { key } = await groupOf(server, group, 6);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...member, autoCommitDelay: 0, autoCommitInterval: 0 });
  for await (const batch of consumer.batches()) {
    assertEquals(batch.length, 6);
    break;
  }
  await untilPending(server, key, group, 0);
});

test("immediate leaves nothing pending, and acknowledges pending entries of an earlier run", async () => {
  const { key } = await groupOf(server, group, 8);
  await readBy(server, { key, group, consumer: "me", count: 3 });
  await using streamer = await connect(server.url);
  await using monitor = await Monitor.open(server);
  const consumer = await streamer.createConsumer(key, { ...member, autoCommit: "immediate" });
  assertEquals(await takeTexts(consumer, 8), texts(8));
  await untilPending(server, key, group, 0);
  await monitor.settled(server);
  const reads = monitor.of("XREADGROUP", key).filter((words) => words.includes(">"));
  assert(reads.length > 0 && reads.every((words) => words.includes("NOACK")));
});

test("rolling sends acks by itself, together, and nothing else", async () => {
  const { key, ids } = await groupOf(server, group, 10);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...member, autoCommit: "rolling", autoCommitInterval: 50 });
  const messages = await take(consumer, 10);
  for (const i of [7, 0, 3, 3]) consumer.ack(messages[i]);
  assertEquals(consumer.stats().unsentAcks, 3);
  await untilPending(server, key, group, 7);
  assertEquals(await pendingIds(server, key, group), ids.filter((_, i) => ![0, 3, 7].includes(i)));
  await monitor.settled(server);
  assertEquals(monitor.count("XACK", key), 1);
});

test("rolling keeps its interval between two commands", async () => {
  const { key } = await groupOf(server, group, 3);
  const clock = new HandClock();
  await using monitor = await Monitor.open(server);
  await using streamer = await connectWith({ dial: nativeDial(), clock }, server.url);
  const options = { ...member, autoCommit: "rolling", autoCommitInterval: 1_000_000 } as const;
  const consumer = await streamer.createConsumer(key, options);
  const messages = await take(consumer, 3);
  consumer.ack(messages[0]);
  clock.pass(1_000_001);
  await untilPending(server, key, group, 2);
  consumer.ack(messages[1]);
  clock.pass(900_000);
  consumer.ack(messages[2]);
  await monitor.settled(server);
  assertEquals(monitor.count("XACK", key), 1);
  clock.pass(100_001);
  await untilPending(server, key, group, 0);
  await monitor.settled(server);
  assertEquals(monitor.count("XACK", key), 2);
});

test("disabled sends nothing before commit, and commit resolves when the server has replied", async () => {
  const { key, ids } = await groupOf(server, group, 4);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, disabled);
  const messages = await take(consumer, 4);
  for (const message of messages.slice(1)) consumer.ack(message);
  await monitor.settled(server);
  assertEquals(monitor.count("XACK", key), 0);
  await consumer.commit();
  assertEquals(await pendingIds(server, key, group), [ids[0]]);
  const { inHand, unsentAcks, acked, delivered } = consumer.stats();
  assertEquals([inHand, unsentAcks, acked, delivered], [1, 0, 3, 4]);
});

test("concurrent commits each resolve when all earlier acks are on the server", async () => {
  const { key } = await groupOf(server, group, 3_000);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, disabled);
  const messages = (await take(consumer, 3_000)).reverse();
  const commits: Promise<void>[] = [];
  for (let i = 0; i < 3_000; i++) {
    consumer.ack(messages[i]);
    if (i % 500 !== 499) continue;
    commits.push(
      consumer.commit().then(async () => {
        const left = (await pendingIds(server, key, group)).length;
        assert(left <= 2_999 - i, `${left} pending after ${i + 1} acks`);
      }),
    );
    await consumer.commit({ signal: AbortSignal.abort() }).catch(() => {});
  }
  await Promise.all(commits);
  assertEquals(await pendingIds(server, key, group), []);
  await consumer.commit();
});

test("an aborted commit ends only the wait", async () => {
  const { key } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, disabled);
  consumer.ack(await consumer.next());
  const controller = new AbortController();
  const reason = new Error("no longer");
  const commit = consumer.commit({ signal: controller.signal });
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => commit), reason);
  await consumer.commit();
  assertEquals(await pendingIds(server, key, group), []);
});

test("acks in any order, twice, by identifier, of a copy, and of an earlier run, are sent as requested", async () => {
  const { key, ids } = await groupOf(server, group, 8);
  await readBy(server, { key, group, consumer: "someone", count: 2 });
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, disabled);
  const messages = await take(consumer, 6);
  const { identifier } = messages[2];
  consumer.ack(messages[5]);
  consumer.ack(messages[0].copy());
  consumer.ackWith(identifier);
  consumer.ack(messages[2]);
  consumer.ackWith({ streamKey: key, shardId: 0, id: ids[1] }); // another consumer's, of an earlier run
  await consumer.commit();
  consumer.ack(messages[5]);
  consumer.ackWith(identifier);
  await consumer.commit();
  assertEquals(await pendingIds(server, key, group), [ids[0], ids[3], ids[5], ids[6]]);
});

test("a message of another consumer of the same stream is acked in this one's group", async () => {
  const { key, ids } = await groupOf(server, group, 2);
  await server.command("XGROUP", "CREATE", key, "h", "0");
  await using streamer = await connect(server.url);
  const one = await streamer.createConsumer(key, disabled);
  const two = await streamer.createConsumer(key, { ...disabled, group: "h" });
  const three = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  await take(one, 2);
  one.ack(await two.next());
  await three.next();
  one.ack(await three.next());
  await one.commit();
  await two.commit();
  assertEquals([await pendingIds(server, key, group), await pendingIds(server, key, "h")], [[], ids]);
});

test("a prefetched message that is acked by its identifier is not returned", async () => {
  const { key, ids } = await groupOf(server, group, 4);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, disabled);
  await take(consumer, 1);
  consumer.ackWith({ streamKey: key, shardId: 0, id: ids[2] });
  assertEquals(await takeTexts(consumer, 2), ["1", "3"]);
  await consumer.commit();
  assertEquals(await pendingIds(server, key, group), [ids[0], ids[1], ids[3]]);
});

test("an ack of a shard that is not read is refused", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, disabled);
  const code = (streamKey: string, shardId: number, id: string) =>
    assertThrows(() => consumer.ackWith({ streamKey, shardId, id }), StreamerError).code;
  assertEquals(code("other", 0, ids[0]), "STREAM_KEY_NOT_FOUND");
  assertEquals(code(key, 1, ids[0]), "STREAM_KEY_NOT_FOUND");
  for (const id of ["", "1", "x-1", "1-1-1", "*"]) assertEquals(code(key, 0, id), "INVALID_OPTION", id);
  await consumer.commit();
  assertEquals(consumer.stats().unsentAcks, 0);
});

test("an ack after the end is accepted and sends nothing, and a commit then rejects", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, disabled);
  const message = await consumer.next();
  await consumer.end();
  consumer.ack(message);
  consumer.nack(message);
  assertEquals((await assertRejects(() => consumer.commit(), StreamerError)).code, "CONSUMER_ENDED");
  assertEquals(await pendingIds(server, key, group), ids);
});

test("acking by twos counts each message once", async () => {
  const { key } = await groupOf(server, group, 2);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, disabled);
  const messages = await take(consumer, 2);
  for (let i = 0; i < 3; i++) {
    for (const message of messages) consumer.ack(message);
    await consumer.commit();
  }
  const { delivered, acked } = consumer.stats();
  assertEquals([delivered, acked], [2, 2]);
  await addMany(server, key, 1, "new");
  assertEquals(await restUpToMark(server, consumer, key), ["new0"]);
});
