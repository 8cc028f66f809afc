// Tests assigning and unassigning shards of a group consumer: which messages are delivered first, which are released,
// and which stay in flight.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connect, RedisError, StreamerError } from "../../../mod.ts";
import { GroupConsumerCore } from "../../../streamer/consumer/group_consumer.ts";
import { RealTimeConsumer } from "../../../streamer/consumer/real_time.ts";
import { Random } from "../../support/resp/drive.ts";
import { connectEagerly, groupInfo } from "../../support/consumer/group_faults.ts";
import { leftBy, pendingIds, pendingRows } from "../../support/consumer/grouping.ts";
import {
  addMany,
  blockedClient,
  idsInRange,
  Monitor,
  restUpToMark,
  take,
  takeTexts,
  texts,
} from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { BLOCKED, PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const mine = {
  mode: "load-balanced",
  group,
  consumerId: "me",
  autoCommit: "disabled",
  autoStreamReset: "earliest",
} as const;
const other = { ...mine, consumerId: "other", autoClaimInterval: 20 } as const;
const policies = ["delayed", "immediate", "rolling", "disabled"] as const;

/** A stream of so many shards with `count` entries each. */
async function shardsOf(shards: number, count: number): Promise<{ key: string; redisKeys: string[] }> {
  const key = uniqueKey();
  const redisKeys = Array.from({ length: shards }, (_, shard) => `${key}:${shard}`);
  for (const [shard, redisKey] of redisKeys.entries()) await addMany(server, redisKey, count, `${shard}/`);
  return { key, redisKeys };
}

test("an assigned shard is read from its group's position, and a missing group is created", async () => {
  for (const autoStreamReset of ["earliest", "latest"] as const) {
    const { key, redisKeys } = await shardsOf(3, 10);
    await using streamer = await connect(server.url, { clientName: key });
    const name = { ...mine, group: autoStreamReset, autoStreamReset, shards: [0] } as const;
    await server.command(
      "XGROUP",
      "CREATE",
      redisKeys[2],
      autoStreamReset,
      (await idsInRange(server, redisKeys[2]))[6],
    );
    const consumer = await streamer.createConsumer(key, name);
    const started = autoStreamReset === "earliest" ? texts(10, "0/") : [];
    assertEquals(await takeTexts(consumer, started.length), started);
    const asked = consumer.next();
    await blockedClient(server, key);
    await consumer.assign(key, 2); // ends the blocked read
    assertEquals([(await asked).text(), ...await takeTexts(consumer, 2)], texts(3, "2/", 7));
    await consumer.assign(key, 1);
    const whole = autoStreamReset === "earliest" ? texts(10, "1/") : [];
    assertEquals(await takeTexts(consumer, whole.length), whole);
    await consumer.assign(key, 1); // is read already
    assertEquals(consumer.streamShards.map(({ shardId }) => shardId), [0, 2, 1]);
    for (const redisKey of redisKeys) await addMany(server, redisKey, 1, `${autoStreamReset}/${redisKey}/`);
    const fresh = (await takeTexts(consumer, 3)).toSorted();
    assertEquals(fresh, redisKeys.map((redisKey) => `${autoStreamReset}/${redisKey}/0`));
    await consumer.end();
  }
});

test("pending entries of an assigned shard from an earlier run are delivered first, once", async () => {
  const { key, redisKeys } = await shardsOf(2, 30);
  await server.command("XGROUP", "CREATE", redisKeys[1], group, "0");
  await leftBy(server, { key: redisKeys[1], group, consumer: "me", count: 12 });
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...mine, shards: [0], batchSize: 5 });
  assertEquals(await takeTexts(consumer, 30), texts(30, "0/"));
  await consumer.assign(key, 1);
  const got = await take(consumer, 30);
  assertEquals(got.map((message) => message.text()), texts(30, "1/"));
  assertEquals(got.map(({ deliveries }) => deliveries), [...Array(12).fill(2), ...Array(18).fill(1)]);
  assertEquals(consumer.stats().replayed, 12);
});

for (const autoCommit of policies) {
  test(`an unassigned shard releases its prefetched messages, and delivers no more (${autoCommit})`, async () => {
    const { key, redisKeys } = await shardsOf(2, 10);
    await using streamer = await connect(server.url);
    const { autoCommit: _, ...options } = mine;
    // A checked border: the policy is known at run time only.
    const consumer = await streamer.createConsumer(key, {
      ...options,
      autoCommit: autoCommit as "rolling",
      shards: [0, 1],
    });
    const first = await take(consumer, 1);
    const held = first[0].shardId;
    await until(() => consumer.stats().queued >= 9);
    await consumer.unassign(key, held);
    assertEquals(await takeTexts(consumer, 10), texts(10, `${1 - held}/`));
    await addMany(server, redisKeys[held], 3, "late");
    assertEquals(await restUpToMark(server, consumer, redisKeys[1 - held]), []);
    assertEquals(consumer.streamShards, [{ streamKey: key, shardId: 1 - held }]);
    const rival = await streamer.createConsumer(key, { ...other, shards: [held] });
    const many = autoCommit === "immediate" ? 3 : 12;
    const got = (await takeTexts(rival, many)).toSorted();
    const expected = [...(autoCommit === "immediate" ? [] : texts(9, `${held}/`, 1)), ...texts(3, "late")];
    assertEquals(got, expected.toSorted());
  });
}

test("messages in flight of an unassigned shard keep their lease, can be acked, and a nack releases them to others", async () => {
  const { key, redisKeys } = await shardsOf(2, 4);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...mine, shards: [0, 1], autoClaimIdle: 300 });
  const held = (await take(consumer, 8)).filter(({ shardId }) => shardId === 1);
  await consumer.unassign(key, 1);
  const rounds = monitor.count("EVAL", redisKeys[1]);
  const rival = await streamer.createConsumer(key, { ...other, shards: [1], autoClaimIdle: 300 });
  const asked = rival.next();
  await until(() => monitor.count("EVAL", redisKeys[1]) >= rounds + 8, {
    what: "its lease is renewed again and again",
  });
  assertEquals(rival.stats().claimed, 0);
  consumer.ack(held[0]);
  consumer.ackWith(held[1].identifier);
  await consumer.commit();
  consumer.ack(held[0]); // a second time is harmless
  assertEquals(await pendingIds(server, redisKeys[1], group), [held[2].id, held[3].id]);
  consumer.nack(held[2], { delay: 3_600_000 });
  const given = await asked;
  assertEquals([given.id, given.deliveries], [held[2].id, 2]);
  consumer.term(held[3]);
  await consumer.commit();
  assertEquals(await pendingIds(server, redisKeys[1], group), [held[2].id]);
  assertThrows(() => consumer.ackWith({ streamKey: key, shardId: 1, id: "1-1" }), StreamerError);
});

test("a shard that is assigned again delivers its pending entries, except those in flight", async () => {
  const { key, redisKeys } = await shardsOf(2, 30);
  const ids = await idsInRange(server, redisKeys[1]);
  await using streamer = await connect(server.url);
  const options = {
    mode: "resumable",
    group,
    consumerId: "me",
    autoCommit: "disabled",
    autoStreamReset: "earliest",
  } as const;
  const consumer = await streamer.createConsumer(key, { ...options, shards: [1], batchSize: 10, prefetch: 1 });
  await consumer.assign(key, 0);
  const held = await take(consumer, 4);
  assertEquals(held.map(({ id }) => id), ids.slice(0, 4));
  for (let round = 0; round < 3; round++) {
    await consumer.unassign(key, 1);
    await consumer.assign(key, 1);
  }
  const rest = await take(consumer, 56);
  assertEquals(rest.filter(({ shardId }) => shardId === 1).map(({ id }) => id), ids.slice(4));
  assert(rest.every(({ deliveries }) => deliveries === 1), "no caller had seen them");
  assertEquals(rest.filter(({ shardId }) => shardId === 0).map((message) => message.text()), texts(30, "0/"));
  for (const message of [...held, ...rest]) consumer.ack(message);
  await consumer.commit();
  for (const redisKey of redisKeys) assertEquals(await pendingIds(server, redisKey, group), []);
});

test("a shard that is unassigned during its replay and assigned again is replayed to its end, each message once", async () => {
  const { key, redisKeys } = await shardsOf(2, 60);
  await server.command("XGROUP", "CREATE", redisKeys[1], group, "0");
  await leftBy(server, { key: redisKeys[1], group, consumer: "me", count: 50 });
  await using streamer = await connect(server.url);
  const options = { mode: "resumable", group, consumerId: "me", autoCommit: "disabled" } as const;
  const consumer = await streamer.createConsumer(key, { ...options, shards: [0], batchSize: 5, prefetch: 1 });
  const got: string[] = [];
  await consumer.assign(key, 1);
  for (const many of [7, 1, 13]) {
    got.push(...await takeTexts(consumer, many));
    await consumer.unassign(key, 1);
    await consumer.assign(key, 1);
  }
  got.push(...await takeTexts(consumer, 60 - got.length));
  assertEquals(got.toSorted(), texts(60, "1/").toSorted());
  assertEquals(await restUpToMark(server, consumer, redisKeys[1]), []);
});

test("a refused call changes nothing", async () => {
  const { key } = await shardsOf(2, 5);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...mine, shards: [0], mkstream: false });
  const codeOf = async (call: () => Promise<void>) => (await assertRejects(call, StreamerError)).code;
  assertEquals(await codeOf(() => consumer.unassign(key, 0)), "STREAM_KEY_EMPTY");
  assertEquals(await codeOf(() => consumer.unassign(key, 1)), "STREAM_KEY_NOT_FOUND");
  assertEquals(await codeOf(() => consumer.unassign("other", 0)), "STREAM_KEY_NOT_FOUND");
  assertEquals(await codeOf(() => consumer.assign("other", 0)), "STREAM_KEY_NOT_FOUND");
  assertEquals(await codeOf(() => consumer.assign(key, -1)), "INVALID_OPTION");
  assertEquals(await codeOf(() => consumer.assign(key, 0.5)), "INVALID_OPTION");
  const missing = await assertRejects(() => consumer.assign(key, 7), RedisError);
  assertEquals(missing.code, "ERR");
  for (const part of [`${key}:7`, "mkstream"]) assert(missing.message.includes(part), missing.message);
  assertEquals(consumer.streamShards, [{ streamKey: key, shardId: 0 }]);
  assertEquals(await takeTexts(consumer, 5), texts(5, "0/"));
  const made = await streamer.createConsumer(key, { ...mine, group: "made", shards: [0] });
  await made.assign(key, 7);
  await addMany(server, `${key}:7`, 1, "7/");
  assertEquals((await takeTexts(made, 6)).toSorted(), [...texts(5, "0/"), "7/0"]);
});

test("two shards must not have the same Redis key", async () => {
  const key = uniqueKey();
  for (const one of [key, `${key}:5`]) await addMany(server, one, 2, `${one}/`);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([key, `${key}:5`], mine);
  assertEquals((await assertRejects(() => consumer.assign(key, 5), StreamerError)).code, "INVALID_OPTION");
  assertEquals(consumer.streamShards.length, 2);
  const expected = [key, `${key}:5`].flatMap((one) => texts(2, `${one}/`));
  assertEquals((await takeTexts(consumer, 4)).toSorted(), expected.toSorted());
});

test("shards are assigned and unassigned without the group, too, and start as autoStreamReset says", async () => {
  const { key, redisKeys } = await shardsOf(3, 5);
  await using streamer = await connect(server.url);
  for (const autoStreamReset of ["earliest", "latest"] as const) {
    const consumer = await streamer.createConsumer(key, {
      ...mine,
      group: autoStreamReset,
      autoStreamReset,
      shards: [0, 1],
    });
    const held = autoStreamReset === "earliest" ? await take(consumer, 10) : [];
    await consumer.rewind("end");
    await consumer.unassign(key, 1);
    await consumer.assign(key, 2);
    assertEquals(consumer.streamShards.map(({ shardId }) => shardId), [0, 2]);
    const whole = autoStreamReset === "earliest" ? texts(5, "2/") : [];
    assertEquals(await takeTexts(consumer, whole.length), whole);
    for (const redisKey of redisKeys) await addMany(server, redisKey, 1, `${redisKey}/`);
    assertEquals((await takeTexts(consumer, 2)).toSorted(), [`${redisKeys[0]}/0`, `${redisKeys[2]}/0`]);
    await consumer.unassign(key, 0);
    assertEquals((await assertRejects(() => consumer.unassign(key, 2), StreamerError)).code, "STREAM_KEY_EMPTY");
    for (const message of held) consumer.ack(message);
    await consumer.commit();
    for (const redisKey of redisKeys.slice(0, 2)) assertEquals(await pendingIds(server, redisKey, autoStreamReset), []);
    await server.command("DEL", redisKeys[0], redisKeys[1]);
    for (const [shard, redisKey] of redisKeys.slice(0, 2).entries()) await addMany(server, redisKey, 5, `${shard}/`);
    await server.command("DEL", redisKeys[2]);
    await consumer.end();
    await addMany(server, redisKeys[2], 5, "2/");
  }
});

test("shards that are found later are read from their beginning, in a group, without it, and in real time", async () => {
  const { key, redisKeys } = await shardsOf(4, 3);
  await using streamer = await connect(server.url);
  const found = redisKeys.slice(1).map((redisKey, at) => ({ streamKey: key, shardId: at + 1, redisKey }));
  const consumer = await streamer.createConsumer(key, { ...mine, autoStreamReset: "latest", shards: [0] });
  const moved = await streamer.createConsumer(key, { ...mine, group: "h", autoStreamReset: "latest", shards: [0] });
  const realTime = await streamer.createConsumer(key, { mode: "real-time", shards: [0] });
  await moved.rewind("end");
  assert(consumer instanceof GroupConsumerCore && moved instanceof GroupConsumerCore);
  assert(realTime instanceof RealTimeConsumer);
  const expected = [1, 2, 3].flatMap((shard) => texts(3, `${shard}/`));
  for (const one of [consumer, moved, realTime]) {
    await one.adopt(found.slice(0, 2), { from: "beginning" });
    await one.adopt(found, { from: "beginning" }); // shards that are read already continue
    assertEquals((await takeTexts(one, 9)).toSorted(), expected, one.constructor.name);
    assertEquals(one.streamShards.map(({ shardId }) => shardId), [0, 1, 2, 3]);
  }
  assertEquals((await pendingIds(server, redisKeys[3], group)).length, 3);
});

test("a found shard whose group exists is read from that group's position", async () => {
  const { key, redisKeys } = await shardsOf(2, 5);
  await server.command("XGROUP", "CREATE", redisKeys[1], group, (await idsInRange(server, redisKeys[1]))[2]);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...mine, shards: [0] });
  assert(consumer instanceof GroupConsumerCore);
  await consumer.adopt([{ streamKey: key, shardId: 1, redisKey: redisKeys[1] }], { from: "beginning" });
  assertEquals((await takeTexts(consumer, 7)).toSorted(), [...texts(5, "0/"), ...texts(2, "1/", 3)]);
});

test("a cut during assign and unassign loses nothing", async () => {
  for (let round = 0; round < 4; round++) {
    const { key, redisKeys } = await shardsOf(2, 100);
    await using proxy = await startProxy(server);
    await using streamer = await connectEagerly(proxy.url);
    const options = {
      mode: "resumable",
      group,
      consumerId: "me",
      autoCommit: "disabled",
      autoStreamReset: "earliest",
    } as const;
    const consumer = await streamer.createConsumer(key, { ...options, shards: [0], batchSize: 10 });
    const got = await takeTexts(consumer, 20);
    const assigning = consumer.assign(key, 1);
    if (round % 2 === 0) proxy.cut();
    await assigning;
    proxy.cut();
    got.push(...await takeTexts(consumer, 30));
    const leaving = consumer.unassign(key, 1);
    if (round < 2) proxy.cut();
    await leaving;
    await consumer.assign(key, 1);
    got.push(...await takeTexts(consumer, 150));
    assertEquals(got.toSorted(), [...texts(100, "0/"), ...texts(100, "1/")].toSorted());
    assertEquals(await restUpToMark(server, consumer, ...redisKeys), []);
    for (const redisKey of redisKeys) assertEquals((await pendingRows(server, redisKey, group)).length, 101);
  }
}, { oneServer: PROXIED });

test("a group destroyed after its shard was unassigned is recreated only when the shard is assigned again", async () => {
  const { key, redisKeys } = await shardsOf(2, 3);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...mine, shards: [0, 1], autoClaimIdle: 60 });
  const held = await take(consumer, 6);
  await consumer.unassign(key, 1);
  await server.command("XGROUP", "DESTROY", redisKeys[1], group);
  for (const message of held) consumer.ack(message);
  await consumer.commit();
  await addMany(server, redisKeys[0], 1, "new");
  assertEquals(await takeTexts(consumer, 1), ["new0"]);
  await assertRejects(() => groupInfo(server, redisKeys[1], group));
  await consumer.assign(key, 1);
  assertEquals(await takeTexts(consumer, 3), texts(3, "1/"));
});

test("if the blocked read must not be ended, shards are assigned and unassigned over a new connection", async () => {
  const { key } = await shardsOf(3, 5);
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", "-client|unblock");
  await using streamer = await connectEagerly(server.url.replace("redis://", `redis://${user}:pw@`), {
    clientName: key,
  });
  const consumer = await streamer.createConsumer(key, { ...mine, shards: [0] });
  assertEquals(await takeTexts(consumer, 5), texts(5, "0/"));
  for (const shard of [1, 2]) {
    const asked = consumer.next();
    await blockedClient(server, key);
    await consumer.assign(key, shard);
    assertEquals([(await asked).text(), ...await takeTexts(consumer, 4)], texts(5, `${shard}/`));
    await consumer.unassign(key, shard - 1);
  }
  const asked = consumer.next();
  await blockedClient(server, key);
  await consumer.rewind("beginning", { group: true });
  assertEquals([(await asked).text(), ...await takeTexts(consumer, 4)], texts(5, "2/"));
}, { oneServer: BLOCKED });

for (const seed of [111, 112, 113]) {
  test(`random assigns, unassigns, nacks and acks: in the end all is acked, and nothing is skipped (seed ${seed})`, async () => {
    const random = new Random(seed);
    const { key, redisKeys } = await shardsOf(3, 60);
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, {
      ...{ mode: "resumable", group, consumerId: "me", autoCommit: "rolling", autoStreamReset: "earliest" },
      ...{ shards: [0], batchSize: 1 + random.below(12), prefetch: random.below(3), autoCommitInterval: 1 },
    });
    const seen = new Map<string, number>();
    const assigned = new Set([0]);
    for (let step = 0; step < 60; step++) {
      const shard = random.below(3);
      if (!assigned.has(shard)) {
        await consumer.assign(key, shard);
        assigned.add(shard);
      } else if (assigned.size > 1 && random.once(2)) {
        await consumer.unassign(key, shard);
        assigned.delete(shard);
      }
      for (let i = random.below(5); i > 0; i--) {
        const message = await consumer.next({ signal: AbortSignal.timeout(30) }).catch(() => undefined);
        if (message === undefined) break;
        assert(assigned.has(message.shardId), `${message.shardId} is not read`);
        const text = message.text();
        seen.set(text, (seen.get(text) ?? 0) + 1);
        if (random.once(6)) consumer.nack(message);
        else consumer.ack(message);
      }
    }
    for (const shard of [0, 1, 2]) await consumer.assign(key, shard);
    const all = [0, 1, 2].flatMap((shard) => texts(60, `${shard}/`));
    await until(async () => {
      const message = await consumer.next({ signal: AbortSignal.timeout(30) }).catch(() => undefined);
      if (message !== undefined) {
        seen.set(message.text(), (seen.get(message.text()) ?? 0) + 1);
        consumer.ack(message);
        return false;
      }
      const pending = await Promise.all(redisKeys.map((redisKey) => pendingIds(server, redisKey, group)));
      return pending.flat().length === 0 && seen.size === all.length;
    }, { what: "everything is acked" });
    assertEquals([...seen.keys()].toSorted(), all.toSorted());
  });
}

for (const seed of [131, 132, 133]) {
  test(
    `shards assigned and unassigned between random cuts: each message is delivered once (seed ${seed})`,
    async () => {
      const random = new Random(seed);
      const { key, redisKeys } = await shardsOf(3, 150);
      await using proxy = await startProxy(server);
      await using streamer = await connectEagerly(proxy.url);
      const consumer = await streamer.createConsumer(key, {
        ...{ mode: "resumable", group, consumerId: "me", autoCommit: "disabled", autoStreamReset: "earliest" },
        ...{ shards: [0], batchSize: 1 + random.below(30), prefetch: random.below(3) },
      });
      const got: string[] = [];
      const assigned = new Set([0]);
      for (let round = 0; round < 40; round++) {
        if (random.once(3)) proxy.toClient.cutAfter(random.below(3_000));
        const shard = random.below(3);
        if (!assigned.has(shard)) {
          await consumer.assign(key, shard);
          assigned.add(shard);
        } else if (assigned.size > 1) {
          await consumer.unassign(key, shard);
          assigned.delete(shard);
        }
        if (random.once(4)) proxy.cut();
        for (let i = random.below(12); i > 0; i--) {
          const message = await consumer.next({ signal: AbortSignal.timeout(60) }).catch(() => undefined);
          if (message === undefined) break;
          assert(assigned.has(message.shardId), `${message.shardId} is not read`);
          got.push(message.text());
          if (random.once(2)) consumer.ack(message);
        }
        if (random.once(3)) await consumer.commit();
      }
      for (const shard of [0, 1, 2]) await consumer.assign(key, shard);
      got.push(...await takeTexts(consumer, 450 - got.length));
      assertEquals(got.toSorted(), [0, 1, 2].flatMap((shard) => texts(150, `${shard}/`)).toSorted());
      assertEquals(await restUpToMark(server, consumer, ...redisKeys), []);
    },
    { oneServer: PROXIED },
  );
}
