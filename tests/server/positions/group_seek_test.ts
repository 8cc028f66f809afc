// Tests `seek` and `rewind` of one group consumer, which then reads without its group: which message is first, and that
// the server's group does not change.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connect, type GroupConsumer, type GroupOptions, type RedisStreamer, StreamerError } from "../../../mod.ts";
import { Random } from "../../support/resp/drive.ts";
import { groupOf, pendingIds, pendingRows, untilPending } from "../../support/consumer/grouping.ts";
import {
  addAt,
  addEach,
  addMany,
  blockedClient,
  idsInRange,
  Monitor,
  restUpToMark,
  take,
  takeIds,
  takeTexts,
  texts,
} from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const MAX = "18446744073709551615";
const group = "g";
const policies = ["delayed", "immediate", "rolling", "disabled"] as const;
const modes = ["resumable", "load-balanced"] as const;

/** A consumer of any policy, with its types for options that are known at run time only. */
async function consumerOf(
  streamer: RedisStreamer,
  keys: string | readonly string[],
  options: Partial<GroupOptions> & { readonly mode: "resumable" | "load-balanced" },
): Promise<GroupConsumer> {
  // A checked border: the options are known at run time only.
  const consumer = await streamer.createConsumer(keys, { group, ...options } as GroupOptions);
  return consumer as GroupConsumer;
}

for (const mode of modes) {
  for (const autoCommit of policies) {
    test(`a ${mode} consumer with ${autoCommit} that is moved gets everything after the position, and leaves no trace`, async () => {
      const { key, ids } = await groupOf(server, group, 250);
      await using streamer = await connect(server.url);
      const consumer = await consumerOf(streamer, key, { mode, autoCommit });
      assertEquals(await takeTexts(consumer, 20), texts(20));
      for (const from of [5, 200, 0]) {
        await consumer.rewind(ids[from]);
        const got = await take(consumer, 249 - from);
        assertEquals(got.map(({ id }) => id), ids.slice(from + 1));
        assert(got.every(({ deliveries }) => deliveries === 1));
      }
      await consumer.rewind("beginning");
      assertEquals(await takeTexts(consumer, 250), texts(250));
      await consumer.rewind("end");
      await addMany(server, key, 3, "new");
      assertEquals(await takeTexts(consumer, 3), texts(3, "new"));
      const rows = (await pendingIds(server, key, group)).filter((id) => !ids.includes(id));
      assertEquals(rows, [], "what came without the group is pending nowhere");
    });
  }
}

for (const timestampFormat of ["milliseconds", "nanoseconds"] as const) {
  test(`the borders of times are exact in ${timestampFormat}`, async () => {
    const unit = timestampFormat === "milliseconds" ? "" : "000000";
    const key = uniqueKey();
    const ids = [`999${unit}-5`, `1000${unit}-0`, `1000${unit}-1`, `1000${unit}-65536`, `1000${unit}-${MAX}`];
    ids.push(`1001${unit}-0`, `1002${unit}-3`, `5000${unit}-0`, "9007199254740993-1");
    for (const id of ids) await addAt(server, key, id);
    await using streamer = await connect(server.url, { timestampFormat });
    const consumer = await consumerOf(streamer, key, { mode: "resumable", autoCommit: "disabled" });
    const last = (ms: number) => timestampFormat === "milliseconds" ? `${ms}` : `${ms}999999`;
    for (const ms of [998, 999, 1000, 1001, 4999]) {
      await consumer.seek(new Date(ms));
      const expected = await idsInRange(server, key, `(${last(ms)}-${MAX}`);
      assertEquals(await takeIds(consumer, expected.length), expected, `${ms}`);
    }
    for (const time of [`999${unit}`, `1000${unit}`, `5000${unit}`, "9007199254740992"]) {
      await consumer.seek(BigInt(time));
      const expected = await idsInRange(server, key, `(${time}-${MAX}`);
      assertEquals(await takeIds(consumer, expected.length), expected, time);
    }
    assertEquals(consumer.stats().queued, 0);
  });
}

test("every form of position resumes after it", async () => {
  const key = uniqueKey();
  const ids = ["0-1", "5-0", "5-1", "5-65535", "5-65536", "6-0", `7-${MAX}`, "1526919030474-55"];
  for (const id of ids) await addAt(server, key, id);
  await using streamer = await connect(server.url);
  const positions: [string | bigint, string][] = [...ids, "0-0", "5-2", "5-70000"].map((id) => [id, id]);
  positions.push([5n << 16n, "5-0"], [(5n << 16n) | 65535n, "5-65535"], [
    (1526919030474n << 16n) | 54n,
    "1526919030474-54",
  ]);
  const consumer = await consumerOf(streamer, key, { mode: "load-balanced", autoCommit: "rolling" });
  for (const [position, id] of positions) {
    await consumer.rewind(position);
    const expected = await idsInRange(server, key, `(${id}`);
    assertEquals(await takeIds(consumer, expected.length), expected, String(position));
  }
});

test("pending calls are answered from the new position, and so are batches and loops", async () => {
  const { key } = await groupOf(server, group, 0);
  await using streamer = await connect(server.url, { clientName: key });
  const consumer = await consumerOf(streamer, key, { mode: "load-balanced" });
  const asked = [consumer.next(), consumer.next()];
  const batch = consumer.batches({ max: 1 }).next();
  await blockedClient(server, key);
  await consumer.rewind("end"); // ends the blocked read
  await addMany(server, key, 5);
  assertEquals((await Promise.all(asked)).map((message) => message.text()), ["0", "1"]);
  assertEquals((await batch).value?.map((message: { text(): string }) => message.text()), ["2"]);
  const rest: string[] = [];
  for await (const message of consumer) if (rest.push(message.text()) === 2) break;
  assertEquals(rest, ["3", "4"]);
  assertEquals(await pendingIds(server, key, group), []);
});

test("no message from before the call is returned afterwards, in the middle of a page", async () => {
  for (const mode of modes) {
    const { key, ids } = await groupOf(server, group, 300);
    await using streamer = await connect(server.url);
    const consumer = await consumerOf(streamer, key, { mode, autoCommit: "rolling", batchSize: 50, prefetch: 3 });
    assertEquals(await takeTexts(consumer, 7), texts(7));
    const moved = consumer.rewind(ids[280]);
    const asked = consumer.next();
    await moved;
    assertEquals((await asked).id, ids[281]);
    assertEquals(await takeIds(consumer, 18), ids.slice(282));
    assertEquals(await restUpToMark(server, consumer, key), []);
  }
});

test("acks of messages read without the group send nothing, nack and term throw", async () => {
  const { key, ids } = await groupOf(server, group, 10);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "load-balanced", group, autoCommit: "disabled" });
  await server.command("XREADGROUP", "GROUP", group, "other", "COUNT", 4, "STREAMS", key, ">");
  await consumer.rewind("beginning");
  for (const message of await take(consumer, 10)) {
    for (const one of [message, message.copy()]) {
      consumer.ack(one);
      consumer.ackWith(one.identifier);
      for (const verb of ["nack", "term"] as const) {
        const error = assertThrows(() => consumer[verb](one), StreamerError);
        assertEquals(error.code, "UNSUPPORTED");
      }
    }
  }
  await consumer.commit();
  assertEquals(await pendingIds(server, key, group, "other"), ids.slice(0, 4), "others' are untouched");
  assertEquals(monitor.count("XACK", key), 0);
  const { inHand, unsentAcks, acked, delivered } = consumer.stats();
  assertEquals([inHand, unsentAcks, acked, delivered], [0, 0, 0, 10]);
  assertThrows(() => consumer.ackWith({ streamKey: "none", shardId: 0, id: "1-1" }), StreamerError);
});

test("maxUnacked does not count messages read without the group", async () => {
  const { key } = await groupOf(server, group, 100);
  await using streamer = await connect(server.url);
  const options = { mode: "resumable", group, autoCommit: "rolling", maxUnacked: 3 } as const;
  const consumer = await streamer.createConsumer(key, options);
  assertEquals(await takeTexts(consumer, 3), texts(3));
  assertEquals(consumer.stats().inHand, 3);
  const asked = consumer.next();
  await consumer.rewind("beginning");
  assertEquals((await asked).text(), "0");
  assertEquals(await takeTexts(consumer, 99), texts(99, "", 1));
  assertEquals(consumer.stats().inHand, 3);
});

test("several streams and shards are moved together, each after its own end", async () => {
  const keys = [uniqueKey("a"), uniqueKey("b")];
  const redisKeys = keys.flatMap((key) => [0, 1, 2].map((shard) => `${key}:${shard}`));
  for (const key of redisKeys) await addMany(server, key, 20, `${key}/`);
  await using streamer = await connect(server.url);
  const consumer = await consumerOf(streamer, keys, { mode: "load-balanced", shards: 3, autoStreamReset: "earliest" });
  await take(consumer, 25);
  await consumer.rewind("beginning");
  const all = (await take(consumer, 120)).map((message) => message.text());
  assertEquals(all.toSorted(), redisKeys.flatMap((key) => texts(20, `${key}/`)).toSorted());
  await consumer.rewind("end");
  for (const key of redisKeys) await addMany(server, key, 1, `${key}/new`);
  const fresh = (await take(consumer, 6)).map((message) => `${message.streamKey}:${message.shardId}/new0`);
  assertEquals(fresh.toSorted(), redisKeys.map((key) => `${key}/new0`).toSorted());
  assertEquals(consumer.streamShards.length, 6);
});

test("the last of concurrent moves counts, and all of them resolve", async () => {
  const key = uniqueKey();
  for (let i = 1; i <= 200; i++) await addAt(server, key, `${i}-0`);
  await using streamer = await connect(server.url);
  const random = new Random(71);
  for (let round = 0; round < 6; round++) {
    const consumer = await consumerOf(streamer, key, {
      mode: "resumable",
      group: `g${round}`,
      batchSize: 7,
      autoStreamReset: "earliest",
    });
    for (let again = 0; again < 4; again++) {
      if (random.once(2)) await take(consumer, 1 + random.below(5));
      const last = random.below(190);
      const moves: Promise<void>[] = [];
      for (let i = random.below(4); i > 0; i--) {
        const dice = random.below(3);
        if (dice === 0) moves.push(consumer.rewind("end"));
        else if (dice === 1) moves.push(consumer.rewind("beginning"));
        else moves.push(consumer.seek(BigInt(random.below(200))));
      }
      moves.push(consumer.seek(BigInt(last)));
      const asked = consumer.next();
      await Promise.all(moves);
      assertEquals((await asked).id, `${last + 1}-0`);
      assertEquals(await takeIds(consumer, 5), [2, 3, 4, 5, 6].map((more) => `${last + more}-0`));
    }
  }
});

/** Ids that rise, with jumps and runs, some with large second halves. */
function randomIds(random: Random, count: number): string[] {
  const ids: string[] = [];
  let [first, second] = [BigInt(1 + random.below(1_000)), 0n];
  for (let i = 0; i < count; i++) {
    if (random.once(3)) {
      first += BigInt(1 + random.below(random.once(5) ? 1_000_000_000 : 3));
      second = random.once(4) ? BigInt(random.below(100_000)) : 0n;
    } else {
      second += BigInt(1 + random.below(random.once(10) ? 100_000 : 2));
    }
    ids.push(`${first}-${second}`);
  }
  return ids;
}

for (const seed of [81, 82, 83, 84]) {
  test(`random streams and positions equal XRANGE (seed ${seed})`, async () => {
    const random = new Random(seed);
    const key = uniqueKey();
    const ids = randomIds(random, 200);
    await addEach(server, ids.map((id) => ["XADD", key, id, "msg", id]));
    await server.commands(ids.filter(() => random.once(9)).map((id) => ["XDEL", key, id]));
    await using streamer = await connect(server.url);
    const consumer = await consumerOf(streamer, key, {
      mode: random.of(modes),
      autoCommit: random.of(policies),
      batchSize: random.once(3) ? undefined : 1 + random.below(120),
      prefetch: random.below(4),
      autoStreamReset: random.once(2) ? "earliest" : "latest",
    });
    for (let round = 0; round < 15; round++) {
      const [first, second] = random.of(ids).split("-").map(BigInt);
      const nudge = BigInt(random.below(3)) - 1n;
      const moved = second + nudge < 0n ? second : second + nudge;
      const dice = random.below(4);
      let behind: string;
      if (dice === 0) await consumer.rewind(behind = `${first}-${moved}`);
      else if (dice === 1) await consumer.seek(BigInt(behind = `${first + nudge}`));
      else if (dice === 2) await consumer.seek(new Date(Number(behind = `${first}`)));
      else {
        behind = `${first}-${moved & 0xffffn}`;
        await consumer.rewind(first << 16n | moved & 0xffffn);
      }
      if (!behind.includes("-")) behind += `-${MAX}`;
      const expected = await idsInRange(server, key, `(${behind}`);
      const many = random.once(3) ? random.below(expected.length + 1) : expected.length;
      assertEquals(await takeIds(consumer, many), expected.slice(0, many), `round ${round}: behind ${behind}`);
    }
  });
}

test("a refused call moves nothing", async () => {
  const { key } = await groupOf(server, group, 20);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "resumable", group, autoCommit: "rolling" });
  assertEquals(await takeTexts(consumer, 5), texts(5));
  // Checked borders: calls that the types forbid.
  const wrong = [
    () => consumer.rewind("nonsense"),
    () => consumer.rewind(-1n),
    () => consumer.rewind(5 as unknown as string),
    () => consumer.seek("5" as unknown as Date),
    () => consumer.seek(new Date(Number.NaN)),
    () => consumer.seek(5n, { group: "yes" as unknown as boolean }),
    () => consumer.seek(5n, { groups: true } as unknown as { group: boolean }),
  ];
  for (const call of wrong) assertEquals((await assertRejects(call, StreamerError)).code, "INVALID_OPTION");
  assertEquals(await takeTexts(consumer, 15), texts(15, "", 5));
  await consumer.end();
  for (const call of [() => consumer.seek(0n), () => consumer.rewind("end"), () => consumer.assign(key, 1)]) {
    assertEquals((await assertRejects(call, StreamerError)).code, "CONSUMER_ENDED");
  }
});

test("a real-time consumer refuses to move a group", async () => {
  const key = uniqueKey();
  await addMany(server, key, 3);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  // @ts-expect-error There is no group.
  assertEquals((await assertRejects(() => consumer.seek(0n, { group: true }), StreamerError)).code, "INVALID_OPTION");
  // @ts-expect-error There is no group.
  const refused = await assertRejects(() => consumer.rewind("beginning", { group: false }), StreamerError);
  assertEquals(refused.code, "INVALID_OPTION");
  const asked = consumer.next();
  await addMany(server, key, 1, "new");
  assertEquals((await asked).text(), "new0");
});

test("the group stays at its position, for the others and for the next run", async () => {
  const { key, ids } = await groupOf(server, group, 30);
  await using streamer = await connect(server.url);
  const options = {
    mode: "resumable",
    group,
    consumerId: "me",
    autoCommit: "disabled",
    batchSize: 10,
    prefetch: 0,
  } as const;
  const consumer = await streamer.createConsumer(key, options);
  const first = await take(consumer, 10);
  for (const message of first) consumer.ack(message);
  await consumer.rewind(ids[25]);
  assertEquals(await takeIds(consumer, 4), ids.slice(26));
  await consumer.commit();
  await consumer.end();
  const next = await streamer.createConsumer(key, options);
  assertEquals(await takeIds(next, 20), ids.slice(10));
  assertEquals((await pendingRows(server, key, group)).length, 20);
  await untilPending(server, key, group, 20);
  await until(() => next.stats().queued === 0);
});
