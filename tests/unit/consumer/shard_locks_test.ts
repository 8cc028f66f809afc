// Tests the locks of single shards, and rounds of work node by node.

import { assertEquals, assertRejects } from "@std/assert";
import { ShardLocks } from "../../../streamer/consumer/group/session/shard_locks.ts";
import { NodeRounds } from "../../../streamer/consumer/lifecycle/node_rounds.ts";
import type { GroupShard } from "../../../streamer/consumer/shards/group_shard.ts";
import { shardOf } from "../../support/consumer/batches.ts";
import { Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";

const tick = () => new Promise((resolve) => setTimeout(resolve, 0));

/** Work that a test ends. */
class Work {
  readonly name: string;
  readonly log: string[];
  readonly end = Promise.withResolvers<void>();

  constructor(name: string, log: string[]) {
    this.name = name;
    this.log = log;
  }

  readonly run = async (): Promise<string> => {
    this.log.push(`${this.name} begins`);
    await this.end.promise;
    this.log.push(`${this.name} ends`);
    return this.name;
  };
}

test("work on one shard runs in sequence, and work on another one at the same time", async () => {
  const locks = new ShardLocks<string>();
  const log: string[] = [];
  const [a1, a2, b] = ["a1", "a2", "b"].map((name) => new Work(name, log));
  const all = [locks.run(["a"], a1.run), locks.run(["a"], a2.run), locks.run(["b"], b.run)];
  await tick();
  assertEquals(log, ["a1 begins", "b begins"]);
  b.end.resolve();
  await locks.settled("b");
  assertEquals(log.slice(2), ["b ends"]);
  a1.end.resolve();
  await all[0];
  await tick();
  assertEquals(log.slice(3), ["a1 ends", "a2 begins"]);
  a2.end.resolve();
  assertEquals(await Promise.all(all), ["a1", "a2", "b"]);
  await locks.settled("a");
});

test("work on several shards waits for all of them, and holds up what comes later on any of them", async () => {
  const locks = new ShardLocks<string>();
  const log: string[] = [];
  const [a, both, b, c] = ["a", "both", "b", "c"].map((name) => new Work(name, log));
  const all = [
    locks.run(["a"], a.run),
    locks.run(["b", "a"], both.run),
    locks.run(["b"], b.run),
    locks.run(["c"], c.run),
  ];
  await tick();
  assertEquals(log, ["a begins", "c begins"]);
  a.end.resolve();
  await tick();
  assertEquals(log.slice(2), ["a ends", "both begins"]);
  for (const one of [both, b, c]) one.end.resolve();
  await Promise.all(all);
  assertEquals(log.indexOf("both ends") < log.indexOf("b begins"), true);
});

test("work that fails frees its shards, and its error goes to its caller alone", async () => {
  const locks = new ShardLocks<string>();
  const failing = locks.run(["a"], () => Promise.reject(new Error("failed")));
  const next = locks.run(["a"], () => Promise.resolve("next"));
  await assertRejects(() => failing, Error, "failed");
  assertEquals(await next, "next");
  assertEquals(await locks.run([], () => Promise.resolve("none")), "none");
});

const SEED = Math.floor(Math.random() * 1e9);

test(`work on random sets of shards never overlaps, and never waits in a circle (seed ${SEED})`, async () => {
  const random = new Random(SEED);
  const locks = new ShardLocks<number>();
  const held = new Set<number>();
  let overlaps = 0;
  await Promise.all(Array.from({ length: 300 }, () => {
    const shards = [0, 1, 2, 3, 4].filter(() => random.below(2) === 0);
    return locks.run(shards, async () => {
      for (const shard of shards) if (held.has(shard)) overlaps++;
      for (const shard of shards) held.add(shard);
      for (let i = random.below(3); i > 0; i--) await Promise.resolve();
      for (const shard of shards) held.delete(shard);
    });
  }));
  assertEquals([overlaps, held.size], [0, 0]);
});

/** Rounds over the shards `x0`, `x1`, `y0` …, whose first letter is their node. */
function roundsOf(work: (key: string) => Promise<void>) {
  const ended: { readonly error?: unknown; readonly isLate: boolean }[] = [];
  const rounds = new NodeRounds<GroupShard>({
    nodeOf: ({ redisKey }) => redisKey[0],
    work: (shard) => work(shard.redisKey),
    ended: (how) => void ended.push(how),
  });
  return { rounds, ended };
}

test("a round works through the shards of a node in turn, and a node that does not answer holds up no other", async () => {
  const shards = ["x0", "x1", "y0", "y1"].map((key) => shardOf(key));
  const silence = Promise.withResolvers<void>();
  const log: string[] = [];
  const { rounds, ended } = roundsOf(async (key) => {
    log.push(key);
    if (key === "x0") await silence.promise;
  });
  rounds.begin(shards);
  await tick();
  assertEquals([log, ended], [["x0", "y0", "y1"], [{ isLate: false }]]);
  rounds.begin(shards);
  await tick();
  assertEquals(log.slice(3), ["y0", "y1"]);
  let isSettled = false;
  const settling = rounds.settled(shards[0]).then(() => isSettled = true);
  await rounds.settled(shards[1]); // its turn has not come
  assertEquals(isSettled, false);
  silence.resolve();
  await settling;
  await tick();
  assertEquals(log.slice(5), ["x1"]);
  assertEquals(ended.at(-1), { isLate: true });
});

test("a shard that has moved is not worked on twice at a time, and a failure ends the round of its node", async () => {
  const [x0, x1, y0] = ["x0", "x1", "y0"].map((key) => shardOf(key));
  const silence = Promise.withResolvers<void>();
  const nodes = new Map<GroupShard, string>([[x0, "x"], [x1, "x"], [y0, "y"]]);
  const log: string[] = [];
  const errors: unknown[] = [];
  const rounds = new NodeRounds<GroupShard>({
    nodeOf: (shard) => nodes.get(shard) ?? "",
    work: async ({ redisKey }) => {
      log.push(redisKey);
      if (redisKey === "x0") await silence.promise;
      if (redisKey === "y0") throw new Error("failed");
    },
    ended: ({ error }) => void errors.push(error),
  });
  rounds.begin([x0, x1]);
  nodes.set(x0, "y");
  rounds.begin([x0, y0]);
  await tick();
  assertEquals(log, ["x0", "y0"]);
  assertEquals(errors.map(String), ["Error: failed"]);
  silence.resolve();
  await tick();
  assertEquals([log.at(-1), errors.length], ["x1", 2]);
});
