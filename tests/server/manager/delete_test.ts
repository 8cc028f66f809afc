// Tests the deletion of entries and of streams: what is deleted, what is refused, and that a key of another type never is.

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, type Manager, StreamerError } from "../../../mod.ts";
import { uniqueKey } from "../../support/keys.ts";
import { type Judge, startFilterServer, type Verdict } from "../../support/network/filter_server.ts";
import { PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

/** Adds entries `1-0`, `2-0` … to a key. */
async function fill(redisKey: string, count: number): Promise<void> {
  await server.commands(
    Array.from({ length: count }, (_, i) => ["XADD", redisKey, `${i + 1}-0`, "msg", `${i}`]),
  );
}

/** A new stream with a group and so many entries. */
async function stream(count: number, suffix = ""): Promise<string> {
  const key = uniqueKey();
  await fill(key + suffix, count);
  await server.command("XGROUP", "CREATE", key + suffix, "g", 0);
  return key;
}

/** Runs with a manager, of a user with these rules if any are given. */
async function managing(
  work: (manager: Manager) => Promise<void>,
  rules?: readonly string[],
  url = server.url,
): Promise<void> {
  let from = url;
  if (rules !== undefined) {
    const user = uniqueKey("user");
    await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", ...rules);
    from = url.replace("redis://", `redis://${user}:pw@`);
  }
  await using streamer = await connect(from);
  await work(await streamer.createManager());
}

async function refused(promise: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => promise, StreamerError)).code;
}

test("entries are deleted by their ids, and those that existed are counted", async () => {
  await managing(async (manager) => {
    const key = await stream(5);
    assertEquals(await manager.delete(key, ["2-0", "4-0", "9-0"]), 2);
    assertEquals(await manager.delete(key, ["2-0"]), 0);
    assertEquals(await manager.delete(key, []), 0);
    assertEquals((await manager.range(key, "-", "+")).map(({ id }) => id), ["1-0", "3-0", "5-0"]);
    assertEquals(await manager.delete(uniqueKey(), ["1-0"]), 0, "a missing stream");
  });
});

test("any number of ids is deleted", async () => {
  await managing(async (manager) => {
    const key = await stream(2_500);
    const ids = Array.from({ length: 2_499 }, (_, i) => `${i + 1}-0`);
    assertEquals(await manager.delete(key, ids), 2_499);
    assertEquals(await manager.length(key), 1);
  });
});

test("one invalid id rejects, and no entry is deleted", async () => {
  await managing(async (manager) => {
    const key = await stream(2);
    for (const ids of [["1-0", "x"], ["1-0", "2"], ["1-0", ""], ["1-0", 2n], "1-0", undefined, new Set(["1-0"])]) {
      const error = await assertRejects(
        () => manager.delete(key, ids as string[]), // as: what a program without types may pass
        StreamerError,
      );
      assertEquals(error.code, "INVALID_OPTION");
      assertStringIncludes(error.message, "Cannot delete entries: '");
    }
    assertEquals(await manager.length(key), 2);
  });
});

test("entries and streams are deleted in one shard, or in all", async () => {
  await managing(async (manager) => {
    const key = uniqueKey();
    for (const shard of [0, 1, 2]) await fill(`${key}:${shard}`, 3);
    await fill(key, 3);
    assertEquals(await manager.delete(key, ["1-0"], { shardId: 1 }), 1);
    assertEquals(await manager.delete(key, ["1-0", "2-0"], { sharded: true }), 5);
    assertEquals(await manager.length(key), 3, "the plain key is another one");
    assertEquals(await manager.deleteStream(key, { shardId: 1 }), true);
    assertEquals(await manager.deleteStream(key, { sharded: true }), true);
    assertEquals(await server.command("EXISTS", `${key}:0`, `${key}:1`, `${key}:2`), 0);
    assertEquals(await manager.length(key), 3);
    assertEquals(await manager.deleteStream(key, { sharded: true }), true, "without shards it is the plain key");
    assertEquals(await manager.deleteStream(key, { sharded: true }), false);
    for (const options of [{ shardId: -1 }, { shardId: 1, sharded: true }, { force: true }, { signal: 7 }]) {
      for (
        const call of [manager.delete(key, ["1-0"], options as never), manager.deleteStream(key, options as never)]
      ) {
        assertEquals(await refused(call), "INVALID_OPTION");
      }
    }
  });
});

test("a consumer skips a pending entry that was deleted, with a gap event", async () => {
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const key = await stream(3);
  await server.command("XREADGROUP", "GROUP", "g", "c", "COUNT", 3, "STREAMS", key, ">");
  const gaps: unknown[] = [];
  streamer.addEventListener("gap", ({ detail }) => gaps.push(...detail.ids));
  await manager.delete(key, ["2-0"]);
  const options = { mode: "resumable", group: "g", consumerId: "c", autoCommit: "rolling" } as const;
  const consumer = await streamer.createConsumer(key, options);
  assertEquals([(await consumer.next()).id, (await consumer.next()).id], ["1-0", "3-0"]);
  assertEquals(gaps, ["2-0"]);
});

/** Ways in which a stream is deleted: the rules of the user who may use no other. */
const ways: Readonly<Record<string, readonly string[]>> = {
  "by a script": ["-multi"],
  "by a script with DEL, without the right to UNLINK": ["-multi", "-unlink"],
  "by a transaction": ["-eval"],
  "by a transaction with DEL, without the right to UNLINK": ["-eval", "-unlink"],
};

for (const [way, rules] of Object.entries(ways)) {
  test(`a stream is deleted with its groups ${way}, and nothing else is`, async () => {
    await managing(async (manager) => {
      const key = await stream(5);
      assertEquals(await manager.deleteStream(key), true);
      assertEquals(await server.command("EXISTS", key), 0);
      assertEquals(await manager.deleteStream(key), false);
      const others: Readonly<Record<string, readonly (string | number)[]>> = {
        string: ["SET", key, "a"],
        hash: ["HSET", key, "a", "b"],
        list: ["RPUSH", key, "a"],
        set: ["SADD", key, "a"],
        zset: ["ZADD", key, 1, "a"],
      };
      for (const [type, words] of Object.entries(others)) {
        await server.command(...words);
        assertEquals(await refused(manager.deleteStream(key)), "WRONGTYPE");
        assertEquals(await refused(manager.delete(key, ["1-0"])), "WRONGTYPE");
        assertEquals(await server.command("TYPE", key), type);
        await server.command("DEL", key);
      }
    }, rules);
  });
}

test("without the right to scripts and to transactions no stream is deleted: UNSUPPORTED", async () => {
  const key = await stream(1);
  for (const rules of [["-eval", "-multi"], ["-eval", "-watch"], ["-eval", "-exec"], ["-eval", "-multi", "-watch"]]) {
    await managing(async (manager) => {
      const error = await assertRejects(() => manager.deleteStream(key), StreamerError);
      assertEquals(error.code, "UNSUPPORTED");
      assertStringIncludes(error.message, "EVAL, or WATCH, MULTI and EXEC");
    }, rules);
  }
  for (const rules of [["-del", "-unlink"], ["-eval", "-del", "-unlink"], ["-xlen"], ["-eval", "-xlen"]]) {
    await managing(async (manager) => assertEquals(await refused(manager.deleteStream(key)), "NOPERM"), rules);
  }
  assertEquals(await server.command("XLEN", key), 1);
});

/** Runs with a manager whose commands are judged on their way. It may not run scripts, unless `scripts` is true. */
async function judged(judge: Judge, work: (manager: Manager) => Promise<void>, scripts = false): Promise<void> {
  const { host, port } = server;
  await using filter = await startFilterServer(() => ({ host, port }), judge);
  const credentials = /^redis:\/\/([^@/]*@)?/.exec(server.url)?.[1] ?? "";
  await managing(work, scripts ? [] : ["-eval"], `redis://${credentials}${filter.host}:${filter.port}`);
}

test("a key that is replaced between the check and the deletion is not deleted", async () => {
  const key = await stream(3);
  let replaced = false;
  const judge = async ([name]: readonly string[]): Promise<Verdict> => {
    if (name === "UNLINK" && !replaced) {
      replaced = true;
      await server.commands([["DEL", key], ["SET", key, "another"]]);
    }
    return "pass";
  };
  await judged(judge, async (manager) => assertEquals(await refused(manager.deleteStream(key)), "WRONGTYPE"));
  assertEquals([replaced, await server.command("GET", key)], [true, "another"]);
}, { oneServer: PROXIED });

test("a stream that is written to during an attempt is deleted by the next one", async () => {
  const key = await stream(3);
  let attempts = 0;
  const judge = async ([name]: readonly string[]): Promise<Verdict> => {
    if (name === "UNLINK" && ++attempts < 4) await server.command("XADD", key, "*", "msg", "late");
    return "pass";
  };
  await judged(judge, async (manager) => assertEquals(await manager.deleteStream(key), true));
  assertEquals([attempts, await server.command("EXISTS", key)], [4, 0]);
}, { oneServer: PROXIED });

test("a stream that is written to all the time rejects after 100 attempts, and stays", async () => {
  const key = await stream(3);
  let attempts = 0;
  const judge = async ([name]: readonly string[]): Promise<Verdict> => {
    if (name === "UNLINK") await server.command("XADD", key, "*", "msg", `${++attempts}`);
    return "pass";
  };
  await judged(judge, async (manager) => assertEquals(await refused(manager.deleteStream(key)), "CONFLICT"));
  assertEquals([attempts, await server.command("XLEN", key)], [100, 103]);
}, { oneServer: PROXIED });

test("a deletion whose reply is lost rejects and is not sent again: the stream may be a new one by then", async () => {
  for (const [scripts, last] of [[true, "EVAL"], [false, "EXEC"]] as const) {
    const key = await stream(3);
    let sent = 0;
    const judge: Judge = ([name]) => {
      if (name !== last) return "pass";
      sent++;
      return "cut";
    };
    await judged(judge, async (manager) => {
      assertEquals(await refused(manager.deleteStream(key)), "DISCONNECTED");
      assertEquals(await manager.length(key), 3, "the manager can still be used");
    }, scripts);
    assertEquals(sent, 1, last);
  }
}, { oneServer: PROXIED });

test("a signal cancels a deletion with its reason", async () => {
  await managing(async (manager) => {
    const key = await stream(1);
    const signal = AbortSignal.abort(new Error("no longer wanted"));
    for (const call of [() => manager.delete(key, ["1-0"], { signal }), () => manager.deleteStream(key, { signal })]) {
      await assertRejects(call, Error, "no longer wanted");
    }
    assertEquals(await manager.length(key), 1);
  });
});

test("after disconnect a deletion rejects", async () => {
  const streamer = await connect(server.url);
  const manager = await streamer.createManager();
  await streamer.disconnect();
  assertEquals(await refused(manager.deleteStream("k")), "DISCONNECTED");
  assertEquals(await refused(manager.delete("k", ["1-0"])), "DISCONNECTED");
});
