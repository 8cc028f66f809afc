// Tests the cost of discovery: one SCAN for all concurrent callers, two commands for a later look at all streams, and
// fast looks only at streams without entries and shards.

import { assert, assertEquals, assertLess, assertLessOrEqual, assertRejects } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { findAllShards, shardsIn } from "../../../streamer/cluster/shards.ts";
import { ShardWalks } from "../../../streamer/cluster/shard_walks.ts";
import type { Command } from "../../../resp/connection/command.ts";
import { addMany, Monitor, takeTexts } from "../../support/consumer/reading.ts";
import { numbersOf } from "../../support/consumer/sharding.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { systemClock } from "../../../resp/connection/clock.ts";
import { COUNTED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { array, bulk, standing } from "../../unit/commands/frames.ts";

const server = await sharedServer();
const scansOf = (monitor: Monitor) => {
  const scans = monitor.commands.filter(([name]) => name === "SCAN");
  return scans.filter((words) => words[1] === "0").length; // each SCAN starts once
};

test("a consumer of many streams finds the shards of each with one SCAN", async () => {
  const prefix = uniqueKey();
  const keys = Array.from({ length: 20 }, (_, i) => `${prefix}:s${i}`);
  await addMany(server, `${keys[3]}:0`, 1, "a");
  await addMany(server, `${keys[3]}:7`, 1, "b");
  await addMany(server, `${keys[11]}:2`, 1, "c");
  await addMany(server, `${keys[12]}x:2`, 1, "no shard of any");
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  for (const options of [{ mode: "real-time" }, { mode: "load-balanced", group: "g", mkstream: true }] as const) {
    await monitor.settled(server);
    const before = scansOf(monitor);
    const consumer = await streamer.createConsumer(keys, { ...options, autoStreamReset: "earliest" });
    await monitor.settled(server);
    assertEquals(scansOf(monitor) - before, 1);
    const found = keys.map((key) => numbersOf(consumer, key));
    assertEquals(found, keys.map((_, i) => i === 3 ? [0, 7] : i === 11 ? [2] : [0]));
    assertEquals((await takeTexts(consumer, 3)).sort(), ["a0", "b0", "c0"]);
  }
}, { oneServer: COUNTED });

test("concurrent consumers, the manager's methods and a producer's trim share a SCAN", async () => {
  const keys = Array.from({ length: 12 }, () => uniqueKey());
  for (const key of keys) for (const shard of [0, 1]) await addMany(server, `${key}:${shard}`, 3);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumers = await Promise.all(keys.map((key) => streamer.createConsumer(key, { mode: "real-time" })));
  assertEquals(consumers.map((consumer, i) => numbersOf(consumer, keys[i])), keys.map(() => [0, 1]));
  await monitor.settled(server);
  assertLessOrEqual(scansOf(monitor), 2);
  const before = scansOf(monitor);
  const manager = await streamer.createManager();
  const producer = await streamer.createProducer(keys[0], { sharder: () => ({ shard: () => 0 }) });
  const [trimmed, ...lengths] = await Promise.all([
    producer.trim({ maxLength: 1, exact: true }),
    ...keys.slice(1).map((key) => manager.length(key, { sharded: true })),
  ]);
  assertEquals([trimmed, lengths], [4, keys.slice(1).map(() => 6)]);
  await monitor.settled(server);
  assertLessOrEqual(scansOf(monitor) - before, 2);
}, { oneServer: COUNTED });

test("a later look costs two commands for all streams together, not for each", async () => {
  const keys = Array.from({ length: 15 }, () => uniqueKey());
  for (const key of keys) await addMany(server, `${key}:0`, 1);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(keys, { mode: "real-time", shardDiscoveryInterval: 20 });
  const looks = () => monitor.count("EXISTS", `${keys[0]}:0`);
  await until(() => looks() > 5);
  await monitor.settled(server);
  const questions = monitor.commands.filter(([name]) => name === "EXISTS" || name === "TYPE");
  const atCreation = 2 * keys.length;
  assertLess(questions.length, atCreation + 2 * looks() + 3);
  await addMany(server, `${keys[9]}:1`, 1, "late");
  assertEquals(await takeTexts(consumer, 1), ["late0"]);
}, { oneServer: COUNTED });

test("shards of a stream without entries and shards are found soon, whatever the interval", async () => {
  const keys = [uniqueKey(), uniqueKey(), uniqueKey()];
  await using streamer = await connect(server.url);
  const options = { mode: "load-balanced", group: "g", autoCommit: "rolling" } as const;
  const consumers = [
    await streamer.createConsumer(keys[0], { mode: "real-time" }),
    await streamer.createConsumer(keys[1], { ...options, mkstream: true }), // its plain key exists, and is empty
    await streamer.createConsumer(keys[2], { mode: "real-time", shardDiscoveryInterval: 600_000 }),
  ];
  for (const key of keys) await addMany(server, `${key}:2`, 1, "first");
  for (const consumer of consumers) assertEquals(await takeTexts(consumer, 1), ["first0"]);
  for (const [i, consumer] of consumers.entries()) assertEquals(numbersOf(consumer, keys[i]), [2]);
}, { timeout: 25_000 });

test("a stream with entries or shards is not checked each second, and neither is one that got entries", async () => {
  const [filled, sharded, late] = [uniqueKey(), uniqueKey(), uniqueKey()];
  await addMany(server, filled, 1);
  await addMany(server, `${sharded}:0`, 1);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([filled, sharded, late], { mode: "real-time" });
  await until(() => monitor.count("EXISTS", late) >= 2, { timeout: 15_000 });
  assertEquals([monitor.count("EXISTS", filled), monitor.count("EXISTS", `${sharded}:1`)], [0, 0]);
  await addMany(server, late, 1);
  await takeTexts(consumer, 1);
  await until(() => monitor.count("XLEN", late) === 1, { timeout: 15_000 });
  await monitor.settled(server);
  const then = monitor.count("EXISTS", late);
  const other = await streamer.createConsumer(uniqueKey("other"), { mode: "real-time" });
  const [{ streamKey }] = other.streamShards;
  await until(() => monitor.count("EXISTS", streamKey) >= 3, { timeout: 15_000 });
  assertEquals(monitor.count("EXISTS", late), then);
}, { timeout: 60_000 });

test("a stream with too many shards does not prevent the discovery of others", async () => {
  const many = Array.from({ length: 1_025 }, (_, shard) => `a:${shard}`);
  const run = <T>({ args, read }: Command<T>): Promise<T> => {
    const answer = args[0] === "SCAN" ? array(bulk("0"), array(...[...many, "b:1"].map(bulk))) : "+stream\r\n";
    return Promise.resolve(read(standing(answer)));
  };
  const found = await findAllShards(["a", "b"], { run, slotOf: () => 0, scanAll: (scan) => scan(run) });
  assertEquals(shardsIn(found, "b").numbers, [1]);
  let code: unknown;
  try {
    shardsIn(found, "a");
  } catch (error) {
    code = error instanceof StreamerError ? error.code : error;
  }
  assertEquals(code, "INVALID_OPTION");
});

test("a SCAN without waiting callers ends, and callers of the next one are served", async () => {
  let walks = 0;
  let ended = 0;
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const sharing = new ShardWalks({ clock: systemClock, timeout: 10_000 }, (signal) => {
    const run = async <T>({ args, read }: Command<T>): Promise<T> => {
      if (args[0] === "SCAN" && walks++ === 0) {
        const { promise, reject } = Promise.withResolvers<never>();
        signal.addEventListener("abort", () => {
          ended++;
          reject(signal.reason);
        });
        await Promise.race([held, promise]);
      }
      return read(standing(args[0] === "SCAN" ? array(bulk("0"), array(bulk("b:1"))) : "+stream\r\n"));
    };
    return { run, slotOf: () => 0, scanAll: (scan) => scan(run) };
  });
  const leaving = new AbortController();
  const first = sharing.find(["a"], leaving.signal);
  await until(() => walks === 1);
  const later = [sharing.find(["b"], undefined), sharing.find(["c"], undefined)];
  leaving.abort(new Error("enough"));
  await assertRejects(() => first, Error, "enough");
  const [found, other] = await Promise.all(later);
  assertEquals([shardsIn(found, "b").numbers, shardsIn(other, "c").numbers], [[1], []]);
  assertEquals([walks, ended], [2, 1]);
  assert(found === other);
  release();
});

test("a SCAN waits for a server that is away as long as its callers have time, also after another SCAN", async () => {
  let now = 0;
  const clock = { ...systemClock, now: () => now };
  const lefts: number[] = [];
  const away = Promise.withResolvers<never>();
  const sharing = new ShardWalks({ clock, timeout: 10_000 }, (_, left) => {
    const run = <T>(_command: Command<T>): Promise<T> => {
      lefts.push(left());
      return away.promise;
    };
    return { run, slotOf: () => 0, scanAll: (scan) => scan(run) };
  });
  const first = sharing.find(["a"], undefined);
  await until(() => lefts.length === 1);
  now = 4_000;
  const second = sharing.find(["b"], undefined);
  now = 10_000; // the first SCAN is given up
  away.reject(new StreamerError("DISCONNECTED", "away"));
  await assertRejects(() => first, StreamerError, "away");
  await assertRejects(() => second, StreamerError, "away");
  assertEquals(lefts, [10_000, 4_000]);
});
