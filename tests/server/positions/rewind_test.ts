// Tests `rewind`: every form of position, exact at the borders, compared with XRANGE; concurrent moves; a property
// test.

import { assert, assertEquals } from "@std/assert";
import { connect, type Consumer, type SeqPos } from "../../../mod.ts";
import { Random } from "../../support/resp/drive.ts";
import {
  addAt,
  addEach,
  addMany,
  idsInRange,
  restUpToMark,
  take,
  takeIds,
  takeTexts,
  texts,
} from "../../support/consumer/reading.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const realTime = { mode: "real-time" } as const;

/** Moves there, and compares the messages with those of XRANGE after it. */
async function goesBehind(consumer: Consumer, key: string, position: SeqPos, id: string): Promise<void> {
  await consumer.rewind(position);
  const expected = id === "" ? await idsInRange(server, key) : await idsInRange(server, key, `(${id}`);
  assertEquals(await takeIds(consumer, expected.length), expected, String(position));
}

test("every form of position resumes after it", async () => {
  const key = uniqueKey();
  const ids = ["0-1", "5-0", "5-1", "5-65535", "5-65536", "6-0", "7-18446744073709551615", "1526919030474-55"];
  for (const id of ids) await addAt(server, key, id);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, realTime);
  await goesBehind(consumer, key, "beginning", "");
  for (const id of [...ids.slice(0, -1), "0-0", "5-2", "5-70000", "6-1", "1526919030474-54"]) {
    await goesBehind(consumer, key, id, id);
  }
  const sequences: [bigint, string][] = [
    [0n, "0-0"],
    [1n, "0-1"],
    [(5n << 16n) - 1n, "4-65535"],
    [5n << 16n, "5-0"],
    [(5n << 16n) | 1n, "5-1"],
    [(5n << 16n) | 65535n, "5-65535"],
    [6n << 16n, "6-0"],
    [(1526919030474n << 16n) | 54n, "1526919030474-54"],
  ];
  for (const [sequence, id] of sequences) await goesBehind(consumer, key, sequence, id);
});

test("a message's own id and sequence resume after that message", async () => {
  const key = uniqueKey();
  await addMany(server, key, 250);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, autoStreamReset: "earliest" });
  const message = (await take(consumer, 120))[119];
  for (const position of [message.id, message.sequence, message.identifier.sequence]) {
    await consumer.rewind(position);
    assertEquals(await takeTexts(consumer, 130), texts(130, "", 120));
  }
});

test("end means only entries added from now on, on every stream", async () => {
  const keys = [uniqueKey(), uniqueKey("missing")];
  await addMany(server, keys[0], 300, "old");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(keys, { ...realTime, autoStreamReset: "earliest" });
  assertEquals(await takeTexts(consumer, 1), ["old0"]);
  const asked = consumer.next();
  assertEquals((await asked).text(), "old1");
  await consumer.rewind("end");
  for (const key of keys) await addMany(server, key, 1, "new");
  assertEquals(await takeTexts(consumer, 2), ["new0", "new0"]);
  assertEquals(await restUpToMark(server, consumer, ...keys), []);
});

test("end on a quiet stream beside a busy one loses nothing that is added afterwards", async () => {
  const [quiet, busy] = [uniqueKey("quiet"), uniqueKey("busy")];
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([quiet, busy], realTime);
  for (let round = 0; round < 5; round++) {
    await consumer.rewind("end");
    await addMany(server, busy, 200, `${round}b`);
    await addMany(server, quiet, 1, `${round}q`);
    const got = await takeTexts(consumer, 201);
    assertEquals(got.filter((text) => text.includes("q")), [`${round}q0`]);
    assertEquals(got.filter((text) => text.includes("b")), texts(200, `${round}b`));
  }
});

test("after the newest possible id there is nothing", async () => {
  const key = uniqueKey();
  const largest = "18446744073709551615-18446744073709551615";
  await addAt(server, key, "5-0");
  await addAt(server, key, largest);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, autoStreamReset: "earliest" });
  assertEquals(await takeIds(consumer, 2), ["5-0", largest]);
  const asked = consumer.next();
  await consumer.rewind(largest);
  await consumer.rewind("18446744073709551615-18446744073709551614");
  assertEquals((await asked).id, largest);
});

test("the last of concurrent moves counts, and all of them resolve", async () => {
  const key = uniqueKey();
  for (let i = 1; i <= 200; i++) await addAt(server, key, `${i}-0`);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, autoStreamReset: "earliest", batchSize: 7 });
  const random = new Random(41);
  for (let round = 0; round < 30; round++) {
    if (random.once(2)) await take(consumer, 1 + random.below(10));
    const last = random.below(190);
    const moves: Promise<void>[] = [];
    for (let i = random.below(4); i > 0; i--) {
      const dice = random.below(4);
      if (dice === 0) moves.push(consumer.rewind("end"));
      else if (dice === 1) moves.push(consumer.rewind("beginning"));
      else if (dice === 2) moves.push(consumer.seek(BigInt(random.below(200))));
      else moves.push(consumer.rewind(`${random.below(200)}-0`));
    }
    moves.push(random.once(2) ? consumer.seek(BigInt(last)) : consumer.rewind(`${last}-5`));
    const asked = consumer.next();
    await Promise.all(moves);
    assertEquals((await asked).id, `${last + 1}-0`, `round ${round}`);
    assertEquals(await takeIds(consumer, 5), [2, 3, 4, 5, 6].map((more) => `${last + more}-0`), `round ${round}`);
  }
});

test("concurrent moves, assignments and calls settle, and the consumer is at the requested position", async () => {
  const key = uniqueKey();
  for (const shard of [0, 1]) for (let i = 1; i <= 50; i++) await addAt(server, `${key}:${shard}`, `${i}-0`);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, shards: [0], autoStreamReset: "earliest" });
  for (let round = 0; round < 10; round++) {
    await Promise.all([
      consumer.rewind("end"),
      consumer.assign(key, 1),
      consumer.seek(20n),
      consumer.unassign(key, 1),
      consumer.assign(key, 1),
      consumer.rewind("40-0"),
    ]);
    const got = (await take(consumer, 20)).map((message) => `${message.shardId}/${message.id}`);
    const expected = [0, 1].flatMap((shard) => Array.from({ length: 10 }, (_, i) => `${shard}/${41 + i}-0`));
    assertEquals(got.toSorted(), expected.toSorted());
  }
});

/** Ids that rise, with jumps and runs, some with large second halves. */
function randomIds(random: Random, count: number): string[] {
  const ids: string[] = [];
  let first = BigInt(random.below(1_000));
  let second = 0n;
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

for (const seed of [51, 52, 53]) {
  test(`random streams and positions equal XRANGE (seed ${seed})`, async () => {
    const random = new Random(seed);
    const key = uniqueKey();
    const ids = randomIds(random, 300).filter((id) => id !== "0-0");
    await addEach(server, ids.map((id) => ["XADD", key, id, "msg", id]));
    await server.commands(ids.filter(() => random.once(9)).map((id) => ["XDEL", key, id]));
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, { ...realTime, batchSize: 1 + random.below(120) });
    for (let round = 0; round < 25; round++) {
      const [first, second] = random.of(ids).split("-").map(BigInt);
      const nudge = BigInt(random.below(3)) - 1n;
      const moved = second + nudge < 0n ? second : second + nudge;
      const dice = random.below(4);
      let behind: string;
      if (dice === 0) await consumer.rewind(behind = `${first}-${moved}`);
      else if (dice === 1) await consumer.seek(BigInt(behind = `${first + nudge < 0n ? first : first + nudge}`));
      else if (dice === 2) await consumer.seek(new Date(Number(behind = `${first}`)));
      else {
        behind = `${first}-${moved & 0xffffn}`;
        await consumer.rewind(first << 16n | moved & 0xffffn);
      }
      if (!behind.includes("-")) behind += "-18446744073709551615";
      const expected = await idsInRange(server, key, `(${behind}`);
      assertEquals(await takeIds(consumer, expected.length), expected, `round ${round}: behind ${behind}`);
      assert(consumer.stats().queued === 0);
    }
  });
}
