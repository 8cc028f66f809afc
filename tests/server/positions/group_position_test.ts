// Tests `seek` and `rewind` of a whole group: all members read from there, pending entries stay, nothing is repeated.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, type GroupConsumer, RedisError, type SeqPos, StreamerError } from "../../../mod.ts";
import { Random } from "../../support/resp/drive.ts";
import { connectEagerly, groupInfo } from "../../support/consumer/group_faults.ts";
import { groupOf, leftBy, pendingIds, pendingRows, untilPending } from "../../support/consumer/grouping.ts";
import {
  addAt,
  addMany,
  addVeryMany,
  blockedClient,
  connectHastily,
  idsInRange,
  restUpToMark,
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
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const whole = { group: true } as const;
const mine = { mode: "resumable", group, consumerId: "me", autoCommit: "disabled" } as const;
const other = {
  mode: "load-balanced",
  group,
  consumerId: "other",
  autoCommit: "rolling",
  autoClaimInterval: 20,
} as const;

const lastDelivered = async (key: string) => String((await groupInfo(server, key, group)).get("last-delivered-id"));

test("the group resumes after the position, and new deliveries are pending and can be acked", async () => {
  const { key, ids } = await groupOf(server, group, 100);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...mine, batchSize: 30 });
  for (const message of await take(consumer, 10)) consumer.ack(message);
  await consumer.commit();
  for (const from of [49, 89, 9]) {
    const asked = consumer.next();
    await consumer.rewind(ids[from], whole);
    const before = (await asked).id;
    const expected = ids.slice(from + 1);
    const got = before === expected[0] ? [before] : [];
    got.push(...await takeIds(consumer, expected.length - got.length));
    assertEquals(got, expected);
  }
  assertEquals(await lastDelivered(key), ids[99]);
  assertEquals((await pendingIds(server, key, group)).length, 90);
  for (const id of ids) consumer.ackWith({ streamKey: key, shardId: 0, id });
  await consumer.commit();
  assertEquals(await pendingIds(server, key, group), []);
  assertEquals([consumer.stats().inHand, consumer.stats().unsentAcks], [0, 0]);
});

test("no message from before the call is returned afterwards: prefetched ones are for others", async () => {
  const { key, ids } = await groupOf(server, group, 100);
  await using proxy = await startProxy(server);
  await using streamer = await connectEagerly(proxy.url);
  const consumer = await streamer.createConsumer(key, { ...mine, batchSize: 10, prefetch: 2 });
  assertEquals(await takeTexts(consumer, 5), texts(5));
  await until(() => consumer.stats().queued >= 20);
  await consumer.rewind(ids[79], whole);
  assertEquals(await takeIds(consumer, 3), ids.slice(80, 83));
  await proxy.cut(); // pending entries of this consumer are scanned again
  assertEquals(await takeIds(consumer, 17), ids.slice(83));
  assertEquals(await restUpToMark(server, consumer, key), []);
  await using rivals = await connect(server.url);
  const rival = await rivals.createConsumer(key, other);
  const [first] = await take(rival, 1);
  assertEquals([first.id, first.deliveries], [ids[5], 1]);
  const many = rival.stats().claimed;
  assert(many >= 1);
  const left = (await pendingIds(server, key, group, "me")).filter((id) => !ids.slice(5, 80).includes(id));
  assertEquals(left.length, 5 + 20 + 1, "messages in flight stay pending here");
}, { oneServer: PROXIED });

for (const seed of [101, 102, 103]) {
  test(`all entries after random positions are delivered, each once, and equal XRANGE (seed ${seed})`, async () => {
    const random = new Random(seed);
    const key = uniqueKey();
    for (let i = 1, second = 0; i <= 120; i++) {
      second = i % 4 === 0 ? 0 : second + 1 + random.below(random.once(9) ? 100_000 : 2);
      await addAt(server, key, `${1 + (i >> 2)}-${second}`);
    }
    const ids = await idsInRange(server, key);
    await using streamer = await connect(server.url);
    const options = { mode: "resumable", group, batchSize: 1 + random.below(40), prefetch: random.below(3) } as const;
    const consumer: GroupConsumer = random.once(2)
      ? await streamer.createConsumer(key, { ...options, autoCommit: "disabled" })
      : await streamer.createConsumer(key, { ...options, autoCommit: "immediate" });
    for (let round = 0; round < 12; round++) {
      const id = random.of(ids);
      const dice = random.below(4);
      let behind = id;
      if (dice === 0) await consumer.rewind(id, whole);
      else if (dice === 1) {
        await consumer.seek(BigInt(id.split("-")[0]), whole);
        behind = `${id.split("-")[0]}-18446744073709551615`;
      } else if (dice === 2) await consumer.rewind(behind = "0-0", whole);
      else {
        await consumer.rewind(BigInt(id.split("-")[0]) << 16n, whole);
        behind = `${id.split("-")[0]}-0`;
      }
      const expected = await idsInRange(server, key, `(${behind}`);
      const many = random.once(2) ? random.below(expected.length + 1) : expected.length;
      assertEquals(await takeIds(consumer, many), expected.slice(0, many), `round ${round}: behind ${behind}`);
    }
  });
}

test("a message in flight that is redelivered counts once: an ack of either delivery is an ack", async () => {
  const { key, ids } = await groupOf(server, group, 6);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, {
    ...mine,
    mode: "load-balanced",
    maxUnacked: 6,
    autoClaimIdle: 90,
  });
  const held = await take(consumer, 6);
  consumer.ack(held[5]); // and is not committed
  await consumer.rewind("beginning", whole);
  const again = await take(consumer, 6);
  assertEquals(again.map(({ id }) => id), ids);
  assert(again.every(({ deliveries }) => deliveries === 1));
  assertEquals([consumer.stats().inHand, consumer.stats().unsentAcks], [6, 0]);
  consumer.nack(held[0]); // an older delivery: no effect
  consumer.ack(held[1]);
  consumer.ack(again[2]);
  consumer.ack(held[2]);
  consumer.ack(held[3]);
  consumer.ack(again[3]);
  await consumer.commit();
  assertEquals(await pendingIds(server, key, group), [ids[0], ids[4], ids[5]]);
  consumer.nack(again[0]);
  const [third] = await take(consumer, 1);
  assertEquals([third.id, third.deliveries], [ids[0], 2]);
  for (const message of [third, again[4], again[5]]) consumer.ack(message);
  await consumer.commit();
  assertEquals(await pendingIds(server, key, group), []);
  assertEquals(consumer.stats().inHand, 0);
});

test("of very many messages in flight all stay so that are not after the position", async () => {
  const key = uniqueKey();
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  await addVeryMany(server, key, 20_000);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...mine, batchSize: 10, maxUnacked: 100_000 });
  const ids: string[] = [];
  for await (const batch of consumer.batches()) {
    for (const { id } of batch) ids.push(id);
    if (ids.length >= 19_000) break;
  }
  await consumer.rewind(ids[14_999], whole);
  assertEquals(consumer.stats().inHand, 15_000);
  const got: string[] = [];
  for await (const batch of consumer.batches()) {
    for (const { id } of batch) got.push(id);
    if (got.length === 5_000) break;
  }
  assertEquals(got.slice(0, ids.length - 15_000), ids.slice(15_000));
  for (const id of [...ids.slice(0, 15_000), ...got]) consumer.ackWith({ streamKey: key, shardId: 0, id });
  await consumer.commit();
  assertEquals(await pendingIds(server, key, group), []);
  assertEquals([consumer.stats().inHand, consumer.stats().unsentAcks], [0, 0]);
});

test("pending entries stay pending, whoever has them", async () => {
  const { key, ids } = await groupOf(server, group, 20);
  await leftBy(server, { key, group, consumer: "gone", count: 5 });
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...mine, batchSize: 5, prefetch: 0 });
  await take(consumer, 5);
  await consumer.rewind("end", whole);
  await addMany(server, key, 1, "new");
  assertEquals(await takeTexts(consumer, 1), ["new0"]);
  assertEquals(await pendingIds(server, key, group, "gone"), ids.slice(0, 5));
  assertEquals((await pendingIds(server, key, group, "me")).slice(0, 5), ids.slice(5, 10));
});

test("all members are moved, also those with a blocked read", async () => {
  const { key, ids } = await groupOf(server, group, 0);
  await using streamer = await connectHastily(server.url, { timeout: 300, clientName: key });
  const options = { mode: "load-balanced", group, autoCommit: "rolling", autoCommitInterval: 5, prefetch: 0 } as const;
  const mover = await streamer.createConsumer(key, options);
  const reader = await streamer.createConsumer(key, options);
  ids.push(...await addMany(server, key, 12));
  for (const message of await take(mover, 12)) mover.ack(message);
  await untilPending(server, key, group, 0);
  const asked = reader.next();
  await blockedClient(server, key);
  await mover.rewind("beginning", whole);
  assertEquals([(await asked).id, ...await takeIds(reader, 11)], ids, "it is the only one that asks");
});

test("a member with messages that another one reads again loses them, and an event reports it", async () => {
  const { key, ids } = await groupOf(server, group, 4);
  await using streamer = await connect(server.url);
  const lost: string[] = [];
  streamer.addEventListener("lost", ({ detail }) => lost.push(...detail.ids));
  const holder = await streamer.createConsumer(key, {
    ...mine,
    mode: "load-balanced",
    consumerId: "holder",
    autoClaimIdle: 60,
  });
  assertEquals(await takeIds(holder, 4), ids);
  const consumer = await streamer.createConsumer(key, { ...mine, mode: "load-balanced", consumerId: "mover" });
  await consumer.rewind("beginning", whole);
  assertEquals(await takeIds(consumer, 4), ids);
  assert((await pendingRows(server, key, group)).every(({ consumer: owner }) => owner === "mover"));
  await until(() => lost.length === 4, { what: "its owner gets the event" });
  assertEquals([holder.stats().inHand, consumer.stats().inHand], [0, 4]);
});

test("several streams and shards are moved, each after its own end", async () => {
  const keys = [uniqueKey("a"), uniqueKey("b")];
  const redisKeys = keys.flatMap((key) => [0, 1, 2].map((shard) => `${key}:${shard}`));
  for (const key of redisKeys) await addMany(server, key, 10, `${key}/`);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(keys, { ...mine, shards: 3, autoStreamReset: "earliest" });
  await take(consumer, 12);
  await consumer.rewind("end", whole);
  for (const key of redisKeys) await addMany(server, key, 1, `${key}/new`);
  const fresh = (await take(consumer, 6)).map((message) => message.text());
  assertEquals(fresh.toSorted(), redisKeys.map((key) => `${key}/new0`).toSorted());
  await consumer.seek(new Date(0), whole);
  const all = (await take(consumer, 66)).map((message) => message.text());
  assertEquals(all.toSorted(), redisKeys.flatMap((key) => [...texts(10, `${key}/`), `${key}/new0`]).toSorted());
});

test("the server knows the group's lag at both ends, and does not guess in between", async () => {
  const { key, ids } = await groupOf(server, group, 10);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...mine, prefetch: 0 });
  const lag = async () => (await groupInfo(server, key, group)).get("lag");
  const places: [SeqPos, unknown][] = [["end", 0], ["beginning", 10], [ids[4], null]];
  for (const [position, expected] of places) {
    await consumer.rewind(position, whole);
    assertEquals(await lag(), expected, String(position));
  }
  assertEquals(await lastDelivered(key), ids[4]);
});

test("a group moved ahead of its stream waits, and is not mistaken for that of another stream when it is lost", async () => {
  const { key } = await groupOf(server, group, 3);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, mine);
  assertEquals(await takeTexts(consumer, 3), texts(3));
  const recreated: string[] = [];
  streamer.addEventListener("group-recreated", ({ detail }) => recreated.push(detail.position));
  const far = 9_000_000_000_000n;
  await consumer.seek(far, whole);
  await addMany(server, key, 2, "passed");
  const asked = consumer.next();
  await server.command("XGROUP", "DESTROY", key, group);
  await until(() => recreated.length === 1);
  assertEquals(recreated, [`${far}-18446744073709551615`]);
  await addAt(server, key, `${far + 1n}-0`, "ahead");
  assertEquals((await asked).text(), "ahead");
});

test("a replay of an earlier run ends with the move", async () => {
  const { key, ids } = await groupOf(server, group, 60);
  await leftBy(server, { key, group, consumer: "me", count: 50 });
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...mine, batchSize: 5, prefetch: 1 });
  assertEquals(await takeIds(consumer, 7), ids.slice(0, 7));
  await consumer.rewind(ids[54], whole);
  assertEquals(await takeIds(consumer, 5), ids.slice(55));
  assertEquals(await restUpToMark(server, consumer, key), []);
  await consumer.rewind("beginning", whole);
  assertEquals((await takeIds(consumer, 61)).slice(0, 60), ids);
  assertEquals((await pendingIds(server, key, group, "me")).length, 61);
});

test("a refusal of the server is thrown, and the consumer continues as before", async () => {
  const { key } = await groupOf(server, group, 20);
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", "-xgroup|setid");
  await using streamer = await connect(server.url.replace("redis://", `redis://${user}:pw@`));
  const consumer = await streamer.createConsumer(key, { ...mine, batchSize: 5 });
  assertEquals(await takeTexts(consumer, 3), texts(3));
  const refused = await assertRejects(() => consumer.rewind("end", whole), RedisError);
  assertEquals(refused.code, "NOPERM");
  assertEquals(await takeTexts(consumer, 17), texts(17, "", 3));
  const ended = consumer.rewind("end", whole).catch((error) => error);
  await consumer.end();
  const error = await ended;
  assert(error instanceof StreamerError && (error.code === "CONSUMER_ENDED" || error.code === "NOPERM"));
});

for (const when of ["before", "while"] as const) {
  test(`a connection that is cut ${when} a group is moved loses nothing`, async () => {
    for (let round = 0; round < 5; round++) {
      const { key, ids } = await groupOf(server, group, 100);
      await using proxy = await startProxy(server);
      await using streamer = await connectEagerly(proxy.url);
      const consumer = await streamer.createConsumer(key, { ...mine, batchSize: 10 });
      await take(consumer, 25);
      if (when === "before") proxy.cut();
      const moving = consumer.rewind(ids[9], whole);
      if (when === "while") proxy.cut();
      await moving;
      assertEquals(await takeIds(consumer, 90), ids.slice(10));
      assertEquals(await restUpToMark(server, consumer, key), []);
    }
  }, { oneServer: PROXIED });
}

for (const seed of [121, 122, 123, 124]) {
  test(
    `moves of the group, acks and cuts at random bytes: all later entries are delivered, each once (seed ${seed})`,
    async () => {
      const random = new Random(seed);
      const { key, ids } = await groupOf(server, group, 150);
      await using proxy = await startProxy(server);
      await using streamer = await connectEagerly(proxy.url);
      const pages = { batchSize: 1 + random.below(30), prefetch: random.below(3) };
      const consumer = await streamer.createConsumer(key, { ...mine, ...pages });
      let next = 0;
      for (let round = 0; round < 25; round++) {
        const many = random.below(Math.min(40, ids.length - next) + 1);
        if (random.once(3)) proxy.toClient.cutAfter(random.below(3_000));
        const got = await takeIds(consumer, many);
        assertEquals(got, ids.slice(next, next + many), `round ${round}`);
        const done = random.once(2) ? got.slice(0, random.below(many + 1)) : [];
        for (const id of done) consumer.ackWith({ streamKey: key, shardId: 0, id });
        if (random.once(3)) await consumer.commit();
        const to = random.below(140);
        if (random.once(2)) proxy.toClient.cutAfter(random.below(600));
        if (random.once(4)) proxy.cut();
        await consumer.rewind(ids[to], whole);
        next = to + 1;
      }
      assertEquals(await takeIds(consumer, ids.length - next), ids.slice(next));
      assertEquals(await restUpToMark(server, consumer, key), []);
    },
    { oneServer: PROXIED },
  );
}
