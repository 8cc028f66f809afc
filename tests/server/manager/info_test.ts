// Tests the manager's view of a stream: its ends, its groups, their lag if the server knows it, their consumers, and
// all of it over shards.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, type Manager, RedisError, type StreamGroupInfo } from "../../../mod.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { addEach, addMany, idsInRange } from "../../support/consumer/reading.ts";
import { readBy } from "../../support/consumer/grouping.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer, type Word } from "../../support/servers/server.ts";

const server = await sharedServer();
const since7 = { ignore: !server.atLeast("7.0") };

/** Runs commands in one write. Throws the first refusal. */
async function all(...commands: readonly (readonly Word[])[]): Promise<void> {
  for (const reply of await server.commands(commands)) if (reply instanceof Error) throw reply;
}

/** A stream of the entries 1-0 … n-0. */
async function streamOf(count: number): Promise<string> {
  const key = uniqueKey();
  await addEach(server, Array.from({ length: count }, (_, i) => ["XADD", key, `${i + 1}-0`, "msg", "v"]));
  return key;
}

async function groupOf(manager: Manager, key: string, name = "g"): Promise<StreamGroupInfo> {
  const group = (await manager.info(key)).groups.find((one) => one.name === name);
  if (group === undefined) throw new Error(`There is no group ${name}`);
  return group;
}

async function lags(manager: Manager, key: string): Promise<Record<string, number | null>> {
  return Object.fromEntries((await manager.info(key)).groups.map(({ name, lag }) => [name, lag]));
}

test("a stream's length and its first and last id are those of its existing entries", async () => {
  const key = await streamOf(5);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  assertEquals(await manager.info(key), { length: 5, firstId: "1-0", lastId: "5-0", groups: [] });
  await all(["XDEL", key, "1-0", "5-0"]);
  assertEquals(await manager.info(key), { length: 3, firstId: "2-0", lastId: "4-0", groups: [] });
  await all(["XDEL", key, "2-0", "3-0", "4-0"]);
  assertEquals(await manager.info(key), { length: 0, firstId: null, lastId: null, groups: [] });
  await all(["XADD", key, "9-3", "msg", "v"]);
  assertEquals(await manager.info(key), { length: 1, firstId: "9-3", lastId: "9-3", groups: [] });
});

test("a group's counts and its consumers are shown, whatever their names", async () => {
  const key = await streamOf(5);
  const name = "grüp pe:1\n";
  await all(["XGROUP", "CREATE", key, "b", "0"], ["XGROUP", "CREATE", key, name, "0"]);
  await readBy(server, { key, group: name, consumer: "c1", count: 2 });
  await readBy(server, { key, group: name, consumer: "ç2", count: 1 });
  await all(["XACK", key, name, "1-0"]);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const { groups } = await manager.info(key);
  assertEquals(groups.map((group) => group.name), ["b", name]);
  const [fresh, group] = groups;
  assertEquals(fresh, {
    name: "b",
    lag: 5,
    pending: 0,
    lastDeliveredId: "0-0",
    oldestPendingAge: null,
    consumers: [],
  });
  assertEquals([group.pending, group.lastDeliveredId, group.lag], [2, "3-0", server.atLeast("7.0") ? 2 : null]);
  assertEquals(group.consumers.map((consumer) => [consumer.name, consumer.pending]), [["c1", 1], ["ç2", 1]]);
  for (const { idle, inactive } of group.consumers) {
    assert(idle >= 0 && idle < 60_000, `${idle}`);
    if (server.atLeast("7.2")) assert(inactive !== null && inactive >= 0 && inactive < 60_000, `${inactive}`);
    else assertEquals(inactive, null);
  }
});

test("a consumer that never got an entry has no time of its last delivery", async () => {
  const key = uniqueKey();
  await all(["XGROUP", "CREATE", key, "g", "0", "MKSTREAM"], ["XGROUP", "CREATECONSUMER", key, "g", "c"]);
  await using streamer = await connect(server.url);
  const [consumer] = (await groupOf(await streamer.createManager(), key)).consumers;
  assertEquals([consumer.name, consumer.pending, consumer.inactive], ["c", 0, null]);
});

test(
  "the lag is known at the beginning, at the end, with a given count, and while a group reads on",
  async () => {
    const key = await streamOf(10);
    await all(["XGROUP", "CREATE", key, "z", "0"], ["XGROUP", "CREATE", key, "end", "$"]);
    await all(["XGROUP", "CREATE", key, "er", "5-0", "ENTRIESREAD", 5], ["XGROUP", "CREATE", key, "late", "99-0"]);
    await using streamer = await connect(server.url);
    const manager = await streamer.createManager();
    assertEquals(await lags(manager, key), { z: 10, end: 0, er: 5, late: 0 });
    await readBy(server, { key, group: "z", consumer: "c", count: 3 });
    assertEquals((await groupOf(manager, key, "z")).lag, 7);
    await readBy(server, { key, group: "z", consumer: "c" });
    assertEquals((await groupOf(manager, key, "z")).lag, 0);
  },
  since7,
);

test("the lag is null for a group created in the middle, and for one created at the end until it reads", async () => {
  const key = await streamOf(10);
  await all(["XGROUP", "CREATE", key, "mid", "5-0"], ["XGROUP", "CREATE", key, "end", "$"]);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  assertEquals(await lags(manager, key), { mid: null, end: 0 });
  await all(["XADD", key, "11-0", "msg", "v"]);
  assertEquals(await lags(manager, key), { mid: null, end: null });
  await readBy(server, { key, group: "end", consumer: "c" });
  assertEquals((await groupOf(manager, key, "end")).lag, 0);
}, since7);

test("the lag is null while a deleted entry lies ahead, and known again after it", async () => {
  const key = await streamOf(10);
  await all(["XGROUP", "CREATE", key, "z", "0"]);
  await readBy(server, { key, group: "z", consumer: "c", count: 3 });
  await all(["XDEL", key, "7-0"]);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  assertEquals((await groupOf(manager, key, "z")).lag, null);
  await readBy(server, { key, group: "z", consumer: "c" });
  assertEquals((await groupOf(manager, key, "z")).lag, 0);
}, since7);

test(
  "after trimming, a group before the first entry has the whole stream ahead, also if the server differs",
  async () => {
    const key = await streamOf(10);
    await all(["XGROUP", "CREATE", key, "er", "5-0", "ENTRIESREAD", 5], ["XTRIM", key, "MAXLEN", 2]);
    await using streamer = await connect(server.url);
    const manager = await streamer.createManager();
    assertEquals((await groupOf(manager, key, "er")).lag, 2); // Redis 7.0 returns 5, Valkey 9 nothing
    await readBy(server, { key, group: "er", consumer: "c", count: 1 });
    const { lag } = await groupOf(manager, key, "er");
    assert(lag === 1 || lag === null, `${lag}`); // Redis 7.0 returns 4, which is impossible
  },
  since7,
);

test("the age of the oldest pending entry is the time in its id, by the server's clock", async () => {
  const [key, nanoseconds, future] = [uniqueKey(), uniqueKey(), uniqueKey()];
  const [seconds] = await server.command("TIME") as string[]; // as: the reply of TIME
  const now = Number(seconds) * 1_000;
  await addEach(server, [
    ["XADD", key, `${now - 3_600_000}-0`, "msg", "old"],
    ["XADD", key, "*", "msg", "new"],
    ["XADD", nanoseconds, `${BigInt(now - 60_000) * 1_000_000n}-0`, "msg", "old"],
    ["XADD", future, `${now + 3_600_000}-0`, "msg", "to come"],
  ]);
  for (const one of [key, nanoseconds, future]) {
    await all(["XGROUP", "CREATE", one, "g", "0"]);
    await readBy(server, { key: one, group: "g", consumer: "c" });
  }
  await using streamer = await connect(server.url);
  await using inNanoseconds = await connect(server.url, { timestampFormat: "nanoseconds" });
  const manager = await streamer.createManager();
  const isAbout = (age: number | null, wanted: number) =>
    assert(age !== null && age >= wanted && age < wanted + 60_000, `${age}`);
  isAbout((await groupOf(manager, key)).oldestPendingAge, 3_600_000);
  isAbout((await groupOf(await inNanoseconds.createManager(), nanoseconds)).oldestPendingAge, 60_000);
  assertEquals((await groupOf(manager, future)).oldestPendingAge, 0);
  await all(["XACK", key, "g", `${now - 3_600_000}-0`]);
  isAbout((await groupOf(manager, key)).oldestPendingAge, 0);
  const [{ id }] = await manager.range(key, "-", "+", { reverse: true });
  await all(["XACK", key, "g", id]);
  assertEquals((await groupOf(manager, key)).oldestPendingAge, null);
});

test("over all shards lengths, pending and lag are sums; groups and consumers are merged by name", async () => {
  const key = uniqueKey();
  for (const [shard, count] of [[0, 4], [1, 6], [5, 1]] as const) {
    const name = `${key}:${shard}`;
    await addEach(
      server,
      Array.from({ length: count }, (_, i) => ["XADD", name, `${10 * (shard + 1) + i}-0`, "msg", "v"]),
    );
    await all(["XGROUP", "CREATE", name, "g", "0"]);
    await readBy(server, { key: name, group: "g", consumer: "both", count: shard + 1 });
    await all(["XGROUP", "CREATECONSUMER", name, "g", `only${shard}`]);
  }
  await all(["XGROUP", "CREATE", `${key}:1`, "h", "22-0"]);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const info = await manager.info(key, { sharded: true });
  assertEquals([info.length, info.firstId, info.lastId], [11, "10-0", "60-0"]);
  const [g, h] = info.groups;
  const known = server.atLeast("7.0");
  assertEquals([g.name, g.pending, g.lag, g.lastDeliveredId], ["g", 4, known ? 7 : null, "10-0"]);
  assertEquals(g.consumers.map(({ name, pending }) => [name, pending]), [["both", 4], ["only0", 0], ["only1", 0], [
    "only5",
    0,
  ]]);
  assertEquals([h.name, h.lag, h.pending, h.oldestPendingAge], ["h", null, 0, null]);
  assertEquals((await manager.info(key, { shardId: 5 })).length, 1);
  assertEquals((await manager.info(`${key}:5`)).lastId, "60-0");
  assertEquals(await manager.length(key, { sharded: true }), 11);
  assertEquals(await manager.length(key, { shardId: 1 }), 6);
  assertEquals(await manager.length(key), 0);
  await addMany(server, key, 2);
  assertEquals(await manager.length(key), 2);
});

test("the lag over shards is null if the group does not exist in a shard that has entries", async () => {
  const key = uniqueKey();
  await addEach(server, [["XADD", `${key}:0`, "1-0", "msg", "a"], ["XGROUP", "CREATE", `${key}:0`, "g", "0"]]);
  await readBy(server, { key: `${key}:0`, group: "g", consumer: "c" });
  await addEach(server, [["XADD", `${key}:1`, "1-0", "msg", "b"]]);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const lag = async () => (await manager.info(key, { sharded: true })).groups[0].lag;
  assertEquals(await lag(), null);
  await addEach(server, [["XGROUP", "CREATE", `${key}:1`, "g", "0"]]);
  assertEquals(await lag(), 1);
});

test(
  "a known lag is the number of entries ahead, after any deletes, trims and moves",
  async () => {
    const seed = freshSeed();
    const random = new Random(seed);
    await using streamer = await connect(server.url);
    const manager = await streamer.createManager();
    let known = 0;
    for (let round = 0; round < 100; round++) {
      const key = uniqueKey();
      const done: string[] = [];
      const act = async (...command: Word[]) => {
        done.push(command.join(" "));
        await server.commands([command]); // some are refused
      };
      await act("XGROUP", "CREATE", key, "g", "0", "MKSTREAM");
      let next = 1;
      for (let step = 0; step < 25; step++) {
        const any = `${1 + random.below(next)}-0`;
        const kind = random.below(12);
        if (kind < 4) await act("XADD", key, `${next++}-0`, "msg", "v");
        else if (kind < 7) {
          await act("XREADGROUP", "GROUP", "g", "c", "COUNT", `${1 + random.below(3)}`, "STREAMS", key, ">");
        } else if (kind < 9) await act("XDEL", key, random.once(3) ? `${next - 1}-0` : any);
        else if (kind < 11) await act("XTRIM", key, "MAXLEN", `${random.below(6)}`);
        else {
          const position = random.of(["end", any]);
          done.push(`moved to ${position}`);
          await manager.setGroupPosition(key, "g", position);
        }
        const { lag, lastDeliveredId } = await groupOf(manager, key);
        const rest = await idsInRange(server, key, `(${lastDeliveredId}`);
        if (lag !== null) assertEquals(lag, rest.length, `seed ${seed}, at ${lastDeliveredId}: ${done.join("; ")}`);
        if (lag !== null && rest.length > 0) known++;
      }
    }
    assert(known > 0);
  },
  { timeout: 60_000 },
);

test("a missing stream has no info, and the length 0", async () => {
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const key = uniqueKey();
  for (const options of [{}, { shardId: 3 }, { sharded: true }] as const) {
    const error = await assertRejects(() => manager.info(key, options), RedisError);
    assertEquals([error.code, error.message, error.command], ["ERR", "ERR no such key", "XINFO STREAM"]);
    assertEquals(await manager.length(key, options), 0);
  }
});

test("a stream whose first and last entry exceed the limit of replies is shown all the same", async () => {
  const key = uniqueKey();
  await addEach(server, ["a", "b", "c"].map((letter) => ["XADD", key, "*", "msg", letter.repeat(40_000)]));
  await using streamer = await connect(server.url, { limits: { reply: 65_536 } });
  assertEquals((await (await streamer.createManager()).info(key)).length, 3);
});
