// Tests older messages of a group consumer that is moved: those in flight stay, prefetched ones are for others.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, type Message, process, StreamerError } from "../../../mod.ts";
import { eventsOf, groupOf, leftBy, pendingIds, pendingRows, untilPending } from "../../support/consumer/grouping.ts";
import {
  addMany,
  addVeryMany,
  blockedClient,
  idsInRange,
  Monitor,
  take,
  takeIds,
  takeTexts,
  texts,
} from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { type Server, sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const balanced = { mode: "load-balanced", group } as const;
const mine = { ...balanced, consumerId: "me", autoCommit: "disabled", batchSize: 10 } as const;
/** Claims entries at once that seem to be idle for long, and no others. */
const other = { ...balanced, consumerId: "other", autoCommit: "rolling", autoClaimInterval: 20 } as const;

/** A URL of a user with all rights except the given ones. */
async function urlOf(from: Server, ...forbidden: string[]): Promise<string> {
  const user = uniqueKey("user");
  await from.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", ...forbidden);
  return from.url.replace("redis://", `redis://${user}:pw@`);
}

test("messages in flight can be acked and committed after the move", async () => {
  const { key, ids } = await groupOf(server, group, 10);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, mine);
  const held = await take(consumer, 6);
  await consumer.rewind("beginning");
  const again = await take(consumer, 10);
  for (const message of again) consumer.ack(message);
  await consumer.commit();
  assertEquals((await pendingIds(server, key, group)).length, 10, "those are other messages");
  assertEquals(consumer.stats().inHand, 6);
  consumer.ack(held[0]);
  consumer.ackWith(held[1].identifier);
  for (const message of held.slice(2)) consumer.ack(message.copy());
  await consumer.commit();
  assertEquals(await pendingIds(server, key, group), ids.slice(6));
  assertEquals([consumer.stats().inHand, consumer.stats().acked], [0, 6]);
});

test("with delayed, messages returned before the move are acked by their age, and at the end whatever that is", async () => {
  const { key, ids } = await groupOf(server, group, 8);
  await using streamer = await connect(server.url);
  const options = { ...balanced, autoCommitInterval: 10, batchSize: 5, prefetch: 0 } as const;
  const soon = await streamer.createConsumer(key, { ...options, autoCommitDelay: 20 });
  await take(soon, 5);
  await soon.rewind("end");
  await untilPending(server, key, group, 0);
  const late = await streamer.createConsumer(key, { ...options, autoCommitDelay: 3_600_000 });
  await take(late, 3);
  assertEquals(await pendingIds(server, key, group), ids.slice(5));
  await late.rewind("beginning");
  assertEquals((await take(late, 8)).length, 8);
  await late.end();
  assertEquals(await pendingIds(server, key, group), []);
});

test("leases of messages in flight are renewed after the move, without a limit", async () => {
  const { key, ids } = await groupOf(server, group, 3);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...mine, autoClaimIdle: 300 });
  const held = await take(consumer, 3);
  await consumer.rewind("end");
  const rival = await streamer.createConsumer(key, { ...other, autoClaimIdle: 300, autoClaimInterval: 30 });
  const asked = rival.next();
  const rounds = monitor.count("EVAL", key);
  await until(() => monitor.count("EVAL", key) >= rounds + 8, { what: "its lease is renewed again and again" });
  assertEquals((await pendingRows(server, key, group)).map(({ consumer: owner }) => owner), ["me", "me", "me"]);
  assertEquals(rival.stats().claimed, 0);
  for (const message of held) consumer.ack(message);
  await consumer.commit();
  await addMany(server, key, 1, "new");
  assertEquals((await asked).text(), "new0");
  assertEquals((await pendingIds(server, key, group)).filter((id) => ids.includes(id)), []);
});

for (const forbidden of [[], ["-eval"]] as const) {
  const how = forbidden.length === 0 ? "by script" : "where scripts are forbidden";
  test(`prefetched messages can be claimed by another consumer at once (${how})`, async () => {
    const { key, ids } = await groupOf(server, group, 10);
    await using streamer = await connect(await urlOf(server, ...forbidden));
    const consumer = await streamer.createConsumer(key, mine);
    assertEquals(await takeTexts(consumer, 2), texts(2));
    const claimed = eventsOf(streamer, "claimed");
    await consumer.rewind(ids[8]);
    assertEquals(await takeTexts(consumer, 1), ["9"]);
    const rival = await streamer.createConsumer(key, other);
    const got = await take(rival, 8);
    assertEquals(got.map(({ id }) => id), ids.slice(2));
    assert(
      got.every(({ deliveries }) => deliveries === 1),
      "messages that were never returned do not count as delivered",
    );
    assertEquals(claimed.map(({ from }) => from), ["me"]);
    assertEquals((await pendingRows(server, key, group, "me")).map(({ id }) => id), ids.slice(0, 2));
    const { queued, inHand } = consumer.stats();
    assertEquals([queued, inHand], [0, 2]);
  });
}

for (const mode of ["resumable", "load-balanced"] as const) {
  test(`a page of the group that arrives after the move is released to others at once (${mode})`, async () => {
    const { key } = await groupOf(server, group, 0);
    await using proxy = await startProxy(server);
    await using own = await connect(proxy.url, { clientName: key });
    const consumer = await own.createConsumer(key, { mode, group, consumerId: "me", autoCommit: "rolling" });
    const asked = consumer.next();
    await blockedClient(server, key);
    proxy.toClient.hold();
    await addVeryMany(server, key, 4); // in one step, since a blocked read takes new entries at once
    await untilPending(server, key, group, 4);
    const ids = await idsInRange(server, key);
    await consumer.rewind(ids[1]);
    proxy.toClient.release();
    assertEquals([(await asked).id, ...await takeIds(consumer, 1)], ids.slice(2));
    await using streamer = await connect(server.url);
    const rival = await streamer.createConsumer(key, other);
    assertEquals(await takeIds(rival, 4), ids);
    assertEquals(consumer.stats().inHand, 0);
  }, { oneServer: PROXIED });
}

test("entries delivered at the moment of the move are not lost: another consumer claims them at once", async () => {
  await using streamer = await connect(server.url);
  const keys: string[] = [];
  for (let round = 0; round < 12; round++) {
    const { key } = await groupOf(server, group, 0);
    keys.push(key);
    await using own = await connect(server.url, { clientName: key });
    const consumer = await own.createConsumer(key, { ...balanced, consumerId: key, autoCommit: "rolling" });
    const asked = consumer.next();
    await blockedClient(server, key);
    const adding = round % 3 === 0 ? addMany(server, key, 3) : undefined;
    const moving = consumer.rewind("beginning");
    await Promise.all([moving, adding ?? addMany(server, key, 3)]);
    assertEquals((await asked).text(), "0");
    await until(async () => {
      const clients = String(await server.command("CLIENT", "LIST")).split("\n");
      return !clients.some((line) => line.includes(` name=${key} `) && line.includes("cmd=xreadgroup"));
    }, { what: "the group is read no more" });
  }
  const rival = await streamer.createConsumer(keys, other);
  const got = (await take(rival, 36)).map((message) => `${message.streamKey} ${message.text()}`);
  assertEquals(got.toSorted(), keys.flatMap((key) => texts(3, `${key} `)).toSorted());
});

test("a nack of a message from before the move releases it to others, and it does not return here", async () => {
  const { key, ids } = await groupOf(server, group, 4);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, mine);
  const held = await take(consumer, 4);
  consumer.nack(held[0], { delay: 50 }); // waits for its redelivery when the move begins
  await consumer.rewind("end");
  consumer.nack(held[1], { delay: 10_000 });
  const rival = await streamer.createConsumer(key, other);
  assertEquals((await takeIds(rival, 2)).toSorted(), ids.slice(0, 2));
  assertEquals(consumer.stats().inHand, 2);
  consumer.nack(held[1]); // a second time is harmless
  await addMany(server, key, 1, "new");
  assertEquals(await takeTexts(consumer, 1), ["new0"]);
  assertEquals((await pendingRows(server, key, group, "me")).map(({ id }) => id), ids.slice(2));
});

test("term and maxDeliveries dead-letter messages from before the move", async () => {
  const { key, ids } = await groupOf(server, group, 2);
  await using streamer = await connect(server.url);
  const deadLetter = uniqueKey("dead");
  const consumer = await streamer.createConsumer(key, { ...mine, deadLetter, maxDeliveries: 1 });
  const buried = eventsOf(streamer, "dead-letter");
  const [first, second] = await take(consumer, 2);
  await consumer.rewind("end");
  consumer.term(first, "broken");
  consumer.nack(second);
  await consumer.commit();
  assertEquals(buried.map(({ id, reason }) => [id, reason]), [[ids[0], "broken"], [ids[1], "max-deliveries"]]);
  assertEquals([(await idsInRange(server, deadLetter)).length, await pendingIds(server, key, group)], [2, []]);
});

test("nothing is claimed any more, and other consumers are not affected", async () => {
  const { key, ids } = await groupOf(server, group, 5);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...mine, autoClaimInterval: 20, autoClaimIdle: 200 });
  await consumer.rewind("end");
  await leftBy(server, { key, group, consumer: "gone" });
  const rival = await streamer.createConsumer(key, { ...other, autoClaimInterval: 200 });
  assertEquals(await takeIds(rival, 5), ids);
  await addMany(server, key, 5, "new");
  assertEquals(await takeTexts(rival, 5), texts(5, "new"));
  assertEquals(await takeTexts(consumer, 5), texts(5, "new"));
  assertEquals(consumer.stats().claimed, 0);
});

test("a group that is destroyed after the move affects neither reading nor acks", async () => {
  const { key } = await groupOf(server, group, 5);
  await using streamer = await connect(server.url);
  const recreated = eventsOf(streamer, "group-recreated");
  const consumer = await streamer.createConsumer(key, { ...mine, onGroupLost: "fail", autoClaimIdle: 60 });
  const held = await take(consumer, 3);
  await consumer.rewind("beginning");
  await server.command("XGROUP", "DESTROY", key, group);
  assertEquals(await takeTexts(consumer, 5), texts(5));
  for (const message of held) consumer.ack(message);
  await consumer.commit();
  await addMany(server, key, 3, "new");
  assertEquals(await takeTexts(consumer, 3), texts(3, "new"));
  assertEquals(recreated, []);
  assertEquals(await server.command("XINFO", "GROUPS", key), []);
});

test("a stream that is missing is waited for without the group", async () => {
  const key = uniqueKey("missing");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, mine);
  await consumer.rewind("beginning");
  const asked = consumer.next();
  await addMany(server, key, 2);
  assertEquals([(await asked).text(), ...await takeTexts(consumer, 1)], ["0", "1"]);
});

test("process continues with a consumer that was moved: a failure is reported and not redelivered", async () => {
  const { key } = await groupOf(server, group, 30);
  await using streamer = await connect(server.url);
  const consumers = [
    await streamer.createConsumer(key, { ...mine, autoCommit: "rolling", consumerId: "rolling" }),
    await streamer.createConsumer(key, mine),
  ];
  for (const consumer of consumers) {
    await consumer.rewind("beginning");
    const seen: string[] = [];
    const errors: [string, string][] = [];
    const stop = new AbortController();
    const counts = await process(consumer, (message: Message) => {
      seen.push(message.text());
      if (message.text() === "29") stop.abort();
      if (Number(message.text()) % 10 === 5) throw new Error("no");
    }, {
      signal: stop.signal,
      retryDelay: 1,
      onError: (error, message) => errors.push([String(error), message.text()]),
    });
    assertEquals(counts, { handled: 27, failed: 3, repeated: 0 });
    assertEquals(seen, texts(30));
    assertEquals(errors, [5, 15, 25].map((at) => ["Error: no", `${at}`]));
  }
});

test("messages of a moved consumer that process had taken and not started are returned again, in order", async () => {
  const { key } = await groupOf(server, group, 60);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, mine);
  await consumer.rewind("beginning");
  const seen: string[] = [];
  for (let run = 0; run < 6; run++) {
    const stop = new AbortController();
    await process(consumer, async (message: Message) => {
      seen.push(message.text());
      await Promise.resolve();
      if (seen.length % 7 === 0) stop.abort();
    }, { signal: stop.signal, concurrency: 5, orderBy: "shard" });
  }
  assertEquals(seen, texts(42));
  assertEquals(await takeTexts(consumer, 18), texts(18, "", 42));
});

test("messages that process puts back after one more move are not returned", async () => {
  const { key, ids } = await groupOf(server, group, 40);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, mine);
  await consumer.rewind("beginning");
  const stop = new AbortController();
  await process(consumer, async () => {
    await consumer.rewind(ids[30]);
    stop.abort();
  }, { signal: stop.signal, concurrency: 8 });
  assertEquals(await takeIds(consumer, 9), ids.slice(31));
  assertEquals(consumer.stats().queued, 0);
});

test("a consumer that reads without the group cannot move the group", async () => {
  const { key } = await groupOf(server, group, 5);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, mine);
  await consumer.rewind("beginning");
  for (const call of [() => consumer.seek(0n, { group: true }), () => consumer.rewind("end", { group: true })]) {
    assertEquals((await assertRejects(call, StreamerError)).code, "INVALID_OPTION");
  }
  const moves = [consumer.rewind("end"), consumer.rewind("beginning")];
  await Promise.all(moves);
  assertEquals(await takeTexts(consumer, 5), texts(5));
});
