// Tests trimming: to a length, to a time, and to the entries that a group still needs, which never removes one of
// those, whatever happens at the same time.

import { assert, assertEquals, assertLessOrEqual, assertRejects } from "@std/assert";
import {
  connect,
  type ConnectOptions,
  type Manager,
  type ManagerTrimOptions,
  RedisError,
  StreamerError,
} from "../../../mod.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { readBy } from "../../support/consumer/grouping.ts";
import { addEach, addVeryMany, idsInRange } from "../../support/consumer/reading.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer, startServer, type Word } from "../../support/servers/server.ts";

const server = await sharedServer();
const exactly = { acknowledged: true, exact: true } as const;

/** A stream of the entries 1-0 … n-0. */
async function streamOf(count: number, key = uniqueKey()): Promise<string> {
  await addEach(server, Array.from({ length: count }, (_, i) => ["XADD", key, `${i + 1}-0`, "msg", "v"]));
  return key;
}

async function managerWith(options: ConnectOptions = {}): Promise<AsyncDisposable & { readonly manager: Manager }> {
  const streamer = await connect(server.url, options);
  return { manager: await streamer.createManager(), [Symbol.asyncDispose]: () => streamer.disconnect() };
}

/** A user who may not run scripts. */
async function withoutScripts(): Promise<ConnectOptions> {
  await server.command("ACL", "SETUSER", "no-scripts", "on", ">secret", "~*", "&*", "+@all", "-@scripting");
  return { username: "no-scripts", password: "secret" };
}

test("an exact trim to a length or a time keeps exactly those entries, and returns how many were removed", async () => {
  const key = await streamOf(100);
  await using house = await managerWith();
  const { manager } = house;
  assertEquals(await manager.trim(key, { maxLength: 60, exact: true }), 40);
  assertEquals(await manager.trim(key, { minTimestamp: new Date(51), exact: true }), 10);
  assertEquals(await manager.trim(key, { minTimestamp: 61n, exact: true }), 10);
  assertEquals((await idsInRange(server, key))[0], "61-0");
  assertEquals(await manager.trim(key, { maxLength: 0, exact: true }), 40);
  assertEquals(await manager.trim(uniqueKey(), { maxLength: 0 }), 0);
});

test("in nanoseconds a Date is the first instant of its millisecond", async () => {
  const key = uniqueKey();
  await addEach(server, ["1999999-0", "2000000-0", "2500000-0"].map((id) => ["XADD", key, id, "msg", "v"]));
  await using house = await managerWith({ timestampFormat: "nanoseconds" });
  assertEquals(await house.manager.trim(key, { minTimestamp: new Date(2), exact: true }), 1);
});

test("an approximate trim runs to its end, and not only as far as one command does", async () => {
  const key = uniqueKey();
  await addVeryMany(server, key, 30_000);
  await using house = await managerWith();
  const removed = await house.manager.trim(key, { maxLength: 500 });
  const left = Number(await server.command("XLEN", key));
  assertEquals(removed + left, 30_000);
  assert(left >= 500 && left <= 700, `${left}`);
});

test(
  "an approximate trim runs to its end also if the server's nodes hold few entries, so that one command does less",
  async () => {
    await using small = await startServer({ args: ["--stream-node-max-entries", "10"] });
    await using streamer = await connect(small.url);
    const manager = await streamer.createManager();
    const [long, read] = [uniqueKey(), uniqueKey()];
    for (const key of [long, read]) await addVeryMany(small, key, 30_000);
    assert(await manager.trim(long, { maxLength: 500 }) > 29_400);
    await small.command("XGROUP", "CREATE", read, "g", "$");
    assertEquals(await manager.trim(read, { acknowledged: true }), 30_000);
  },
  { oneServer: OWN },
);

test("over shards each is trimmed, and the sum is returned", async () => {
  const key = uniqueKey();
  for (const shard of [0, 1, 2]) await streamOf(10 * (shard + 1), `${key}:${shard}`);
  await using house = await managerWith();
  const { manager } = house;
  assertEquals(await manager.trim(key, { maxLength: 8, exact: true, sharded: true }), 2 + 12 + 22);
  assertEquals(await manager.trim(key, { maxLength: 5, exact: true, shardId: 2 }), 3);
  assertEquals(await manager.length(key, { sharded: true }), 8 + 8 + 5);
});

for (const scripts of [true, false]) {
  const how = scripts ? "" : ", also without scripts";
  const house = async () => await managerWith(scripts ? {} : await withoutScripts());

  test(`entries acknowledged by every group are removed, up to the first that one of them needs${how}`, async () => {
    const key = await streamOf(10);
    await using here = await house();
    const { manager } = here;
    assertEquals(await manager.trim(key, exactly), 0, "no group has acknowledged anything");
    await server.commands([["XGROUP", "CREATE", key, "a", "0"], ["XGROUP", "CREATE", key, "b", "0"]]);
    assertEquals(await manager.trim(key, exactly), 0, "nothing was delivered");
    await readBy(server, { key, group: "a", consumer: "c", count: 6 });
    await server.command("XACK", key, "a", "1-0", "2-0", "3-0", "5-0");
    assertEquals(await manager.trim(key, exactly), 0, "the other group was given nothing");
    await readBy(server, { key, group: "b", consumer: "c", count: 2 });
    await server.command("XACK", key, "b", "1-0");
    assertEquals(await manager.trim(key, exactly), 1);
    await server.command("XACK", key, "b", "2-0");
    assertEquals(await manager.trim(key, exactly), 1);
    await readBy(server, { key, group: "b", consumer: "c" });
    await server.command("XACK", key, "b", ...Array.from({ length: 10 }, (_, i) => `${i + 1}-0`));
    assertEquals(await manager.trim(key, exactly), 1, "4-0 is pending in the first");
    await server.command("XACK", key, "a", "4-0", "6-0");
    assertEquals(await manager.trim(key, exactly), 3, "7-0 was not yet given to the first");
    await readBy(server, { key, group: "a", consumer: "c" });
    await server.command("XACK", key, "a", "7-0", "8-0", "9-0", "10-0");
    assertEquals(await manager.trim(key, exactly), 4);
    assertEquals(await manager.trim(key, exactly), 0);
    await server.command("XADD", key, "11-0", "msg", "v");
    assertEquals(await manager.trim(key, exactly), 0);
    assertEquals(await manager.trim(uniqueKey(), exactly), 0, "there is no stream");
  });

  test(`ids of any size are compared, and groups ahead of the stream need nothing${how}`, async () => {
    const key = uniqueKey();
    const max = 2n ** 64n - 1n;
    const ids = ["9-9", "10-1", "10-10", `10-${max}`, "9007199254740993-0", `${max - 1n}-7`, `${max}-${max}`];
    await addEach(server, ids.map((id) => ["XADD", key, id, "msg", "v"]));
    await using here = await house();
    const { manager } = here;
    for (const [i, id] of ids.entries()) {
      await server.commands([["XGROUP", "DESTROY", key, "g"], ["XGROUP", "CREATE", key, "g", id]]);
      await server.commands([["XGROUP", "DESTROY", key, "h"], ["XGROUP", "CREATE", key, "h", `${max}-${max}`]]);
      assertEquals(await manager.trim(key, exactly), 1, id);
      assertEquals(await idsInRange(server, key), ids.slice(i + 1));
    }
  }, { ignore: !scripts && !server.atLeast("7.0") });

  test(`a group that was moved back needs the entries after its position, and a pending one before it as well${how}`, async () => {
    const key = await streamOf(10);
    await server.command("XGROUP", "CREATE", key, "g", "0");
    await readBy(server, { key, group: "g", consumer: "c", count: 8 });
    await server.command("XACK", key, "g", ...[1, 2, 4, 5, 6, 7].map((n) => `${n}-0`));
    await server.command("XGROUP", "SETID", key, "g", "5-0");
    await using here = await house();
    const { manager } = here;
    assertEquals(await manager.trim(key, exactly), 2); // 3-0 is pending
    await server.command("XACK", key, "g", "3-0");
    assertEquals(await manager.trim(key, exactly), 3); // 6-0 is delivered again
    assertEquals((await idsInRange(server, key))[0], "6-0");
  });

  test(`whatever groups exist and have done, only entries that none of them needs are removed, and with exact all of these${how}`, async () => {
    const seed = freshSeed();
    const random = new Random(seed);
    await using here = await house();
    for (let round = 0; round < 15; round++) {
      const key = uniqueKey();
      const model = new TrimModel();
      for (let step = 0; step < 60; step++) {
        await server.commands(model.step(random, key));
        if (!random.once(6)) continue;
        const exact = random.once(2);
        const where = `seed ${seed}, round ${round}, step ${step}`;
        const removed = await here.manager.trim(key, { acknowledged: true, exact });
        const left = await idsInRange(server, key);
        assertEquals(removed, model.entries.length - left.length, where);
        const kept = model.entries.slice(removed);
        assertEquals(left, kept.map((n) => `${n}-0`), where);
        const removable = model.removable();
        if (exact) assertEquals(removed, removable, where);
        else assertLessOrEqual(removed, removable, where);
        model.entries = kept;
      }
    }
  });
}

/** The entries and groups of a stream, and random commands that change them. */
class TrimModel {
  entries: number[] = [];
  #last = 0;
  readonly #groups = new Map<string, { delivered: number; readonly pending: Set<number> }>();

  /** The number of entries before the first that a group needs. */
  removable(): number {
    if (this.#groups.size === 0) return 0;
    let needed = Infinity;
    for (const { delivered, pending } of this.#groups.values()) needed = Math.min(needed, delivered + 1, ...pending);
    return this.entries.filter((entry) => entry < needed).length;
  }

  step(random: Random, key: string): Word[][] {
    const name = `g${random.below(3)}`;
    const group = this.#groups.get(name);
    const choice = random.below(12);
    if (this.#last === 0 || choice < 3) {
      return Array.from({ length: 1 + random.below(40) }, (): Word[] => {
        this.entries.push(++this.#last);
        return ["XADD", key, `${this.#last}-0`, "msg", "v"];
      });
    }
    if (group === undefined) {
      if (choice > 7) return [["PING"]];
      const delivered = random.below(this.#last + 1);
      this.#groups.set(name, { delivered, pending: new Set() });
      return [["XGROUP", "CREATE", key, name, `${delivered}-0`]];
    }
    if (choice < 7) {
      const count = 1 + random.below(30);
      for (const entry of this.entries.filter((one) => one > group.delivered).slice(0, count)) {
        group.pending.add(entry);
        group.delivered = entry;
      }
      return [["XREADGROUP", "GROUP", name, `c${random.below(2)}`, "COUNT", count, "STREAMS", key, ">"]];
    }
    if (choice < 10) {
      const acked = [...group.pending].filter(() => !random.once(4));
      for (const entry of acked) group.pending.delete(entry);
      return acked.length === 0 ? [["PING"]] : [["XACK", key, name, ...acked.map((entry) => `${entry}-0`)]];
    }
    if (choice === 10) {
      group.delivered = random.below(this.#last + 1);
      return [["XGROUP", "SETID", key, name, `${group.delivered}-0`]];
    }
    this.#groups.delete(name);
    return [["XGROUP", "DESTROY", key, name]];
  }
}

for (const scripts of [true, false]) {
  const how = scripts ? "" : ", also without scripts";
  test(`a shard without a group that others have stays complete, until the group exists${how}`, async () => {
    const key = uniqueKey();
    const [old, late] = [await streamOf(4, `${key}:0`), await streamOf(6, `${key}:1`)];
    await addEach(server, [["XGROUP", "CREATE", old, "a", "2-0"], ["XGROUP", "CREATE", old, "b", "$"]]);
    await addEach(server, [["XGROUP", "CREATE", late, "b", "$"]]);
    await using house = await managerWith(scripts ? {} : await withoutScripts());
    const all = { ...exactly, sharded: true } as const;
    assertEquals(await house.manager.trim(key, all), 2);
    assertEquals([(await idsInRange(server, old)).length, (await idsInRange(server, late)).length], [2, 6]);
    await addEach(server, [["XGROUP", "CREATE", late, "a", "5-0"]]);
    assertEquals(await house.manager.trim(key, all), 5);
    assertEquals(await idsInRange(server, late), ["6-0"]);
  });
}

test("a consumer gets the entries that a new shard had before its group existed, also after a cut", async () => {
  const key = uniqueKey();
  await addEach(server, [["XADD", `${key}:0`, "*", "msg", "a"]]);
  await using streamer = await connect(server.url);
  const consumerOf = async (group: string) =>
    await streamer.createConsumer(key, {
      mode: "resumable",
      autoStreamReset: "earliest",
      autoCommit: "disabled",
      group,
      consumerId: group,
    });
  const readAll = async (group: string, count: number): Promise<string[]> => {
    await using consumer = await consumerOf(group);
    const texts: string[] = [];
    for (let i = 0; i < count; i++) {
      const message = await consumer.next();
      texts.push(message.text());
      consumer.ack(message);
    }
    await consumer.commit();
    return texts;
  };
  assertEquals(await readAll("first", 1), ["a"]);
  await addEach(server, ["b", "c"].map((payload) => ["XADD", `${key}:1`, "*", "msg", payload]));
  assertEquals((await readAll("second", 3)).sort(), ["a", "b", "c"]);
  const manager = await streamer.createManager();
  assertEquals(await manager.trim(key, { ...exactly, sharded: true }), 1);
  assertEquals(await readAll("first", 2), ["b", "c"]);
});

test("a group that is created during a trim loses none of the entries that exist then", async () => {
  await using house = await managerWith();
  for (let round = 0; round < 30; round++) {
    const key = await streamOf(20);
    await server.command("XGROUP", "CREATE", key, "done", "$");
    const trims = Promise.all([1, 2, 3].map(() => house.manager.trim(key, exactly)));
    const [, there] = await server.commands([["XGROUP", "CREATE", key, "new", "0"], ["XRANGE", key, "-", "+"]]);
    await trims;
    await house.manager.trim(key, exactly);
    assertEquals((await idsInRange(server, key)).length, Array.isArray(there) ? there.length : -1);
  }
});

for (const scripts of [true, false]) {
  const how = scripts ? "" : ", also without scripts";
  test(`consumers that read and acknowledge during trims miss nothing${how}`, async () => {
    await readWhileCut(scripts ? {} : await withoutScripts());
  });
}

async function readWhileCut(options: ConnectOptions): Promise<void> {
  const key = uniqueKey();
  const total = 3_000;
  await using streamer = await connect(server.url);
  await using house = await managerWith(options);
  const { manager } = house;
  const groups = ["one", "two"];
  const consumers = await Promise.all(groups.map((group) =>
    streamer.createConsumer(key, {
      mode: "load-balanced",
      group,
      mkstream: true,
      autoStreamReset: "earliest",
      autoCommit: "rolling",
      autoCommitInterval: 5,
    })
  ));
  const producer = await streamer.createProducer(key);
  const gaps: unknown[] = [];
  streamer.addEventListener("gap", ({ detail }) => void gaps.push(detail));
  const writing = (async () => {
    for (let i = 0; i < total; i++) {
      producer.send(`${i}`);
      if (i % 50 === 0) await producer.flush();
    }
    await producer.flush();
  })();
  const seen = consumers.map(async (consumer) => {
    const texts: string[] = [];
    while (texts.length < total) {
      const message = await consumer.next();
      texts.push(message.text());
      consumer.ack(message);
    }
    return texts;
  });
  const state = { over: false };
  let removed = 0;
  const trimming = (async () => {
    while (!state.over) removed += await manager.trim(key, exactly);
  })();
  const expected = Array.from({ length: total }, (_, i) => `${i}`);
  for (const texts of await Promise.all(seen)) assertEquals(texts, expected);
  await writing;
  state.over = true;
  await trimming;
  for (const consumer of consumers) await consumer.end();
  removed += await manager.trim(key, exactly);
  assertEquals([removed, gaps, await manager.length(key)], [total, [], 0]);
}

test("a trim whose connection was lost is repeated", async () => {
  const key = await streamOf(50);
  await server.command("XGROUP", "CREATE", key, "g", "30-0");
  await using house = await managerWith({ reconnect: { initialDelay: 5 }, clientName: key });
  const { manager } = house;
  const trims = [manager.trim(key, exactly), manager.trim(key, { maxLength: 15, exact: true })];
  const list = String(await server.command("CLIENT", "LIST"));
  const id = /^id=(\d+)/.exec(list.split("\n").find((line) => line.includes(` name=${key} `)) ?? "")?.[1] ?? "";
  await server.command("CLIENT", "KILL", "ID", id);
  await Promise.all(trims);
  assertEquals((await idsInRange(server, key))[0], "36-0");
});

test("no target or two targets, and an invalid length or time, are refused", async () => {
  await using house = await managerWith();
  const wrong: readonly unknown[] = [
    undefined,
    {},
    { exact: true },
    { maxLength: 1, minTimestamp: 1n },
    { maxLength: 1, acknowledged: true },
    { acknowledged: false },
    { acknowledged: 1 },
    { maxLength: -1 },
    { maxLength: 1.5 },
    { maxLength: NaN },
    { maxLength: "1" },
    { minTimestamp: new Date(NaN) },
    { minTimestamp: 5 },
    { maxLength: 1, exact: "yes" },
    { maxLength: 1, shardId: 1, sharded: true },
    { maxLength: 1, limit: 5 },
  ];
  for (const options of wrong) {
    // as: a value that a program without types may pass
    const error = await assertRejects(() => house.manager.trim("k", options as ManagerTrimOptions), StreamerError);
    assertEquals(error.code, "INVALID_OPTION", String(Object.entries(Object(options))));
  }
});

test("a refusal of the server is thrown with its text", async () => {
  const key = uniqueKey();
  await server.command("SET", key, "no stream");
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">secret", "~*", "&*", "+@all", "-xtrim");
  await using house = await managerWith();
  await using less = await managerWith({ username: user, password: "secret" });
  const { manager } = house;
  const calls: readonly (() => Promise<unknown>)[] = [
    () => manager.trim(key, { maxLength: 1 }),
    () => manager.trim(key, exactly),
    () => manager.length(key),
    () => manager.info(key),
    () => manager.createGroup(key, "g", "end"),
    () => manager.setGroupPosition(key, "g", "end"),
    () => manager.deleteGroup(key, "g"),
    () => manager.deleteConsumer(key, "g", "c"),
    () => manager.deleteConsumer(key, "g", "c", { force: true }),
  ];
  for (const call of calls) {
    const { code, message } = await assertRejects(call, RedisError, undefined, String(call));
    assertEquals(
      server.atLeast("7.0") ? code : message.includes("WRONGTYPE"),
      server.atLeast("7.0") ? "WRONGTYPE" : true,
    );
  }
  const stream = await streamOf(3);
  await server.command("XGROUP", "CREATE", stream, "g", "$");
  assertEquals((await assertRejects(() => less.manager.trim(stream, { maxLength: 1 }), RedisError)).code, "NOPERM");
  const refused = await assertRejects(() => less.manager.trim(stream, exactly), RedisError);
  assertEquals([refused.code, refused.command], ["NOPERM", "XTRIM"]);
  assertEquals(await manager.length(stream), 3);
  await server.commands([["DEL", key], ["ACL", "DELUSER", user]]);
});

test("after disconnect everything rejects, and no manager is created", async () => {
  const key = await streamOf(1);
  const streamer = await connect(server.url);
  const manager = await streamer.createManager();
  await streamer.disconnect();
  const calls: readonly (() => Promise<unknown>)[] = [
    () => streamer.createManager(),
    () => manager.scan(),
    () => manager.range(key, "-", "+"),
    () => manager.info(key),
    () => manager.length(key, { sharded: true }),
    () => manager.trim(key, { maxLength: 0 }),
    () => manager.createGroup(key, "g", "end"),
    () => manager.deleteConsumer(key, "g", "c"),
  ];
  for (const call of calls) {
    assertEquals((await assertRejects(call, StreamerError)).code, "DISCONNECTED", String(call));
  }
});
