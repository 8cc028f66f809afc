// Tests that every method works the same over RESP2 and RESP3, in other databases, and which calls the compiler
// refuses.

import { assertEquals } from "@std/assert";
import { connect, type Manager } from "../../../mod.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import {
  canStartServers,
  type OwnServer,
  type Server,
  sharedServer,
  startServer,
} from "../../support/servers/server.ts";

const server = await sharedServer();
const ignore = !(await canStartServers());

/** Never called: the compiler checks this code. */
export async function types(manager: Manager): Promise<void> {
  await manager.info("k", { shardId: 1 });
  await manager.info("k", { shardId: 1, sharded: false });
  // @ts-expect-error one shard or all
  await manager.info("k", { shardId: 1, sharded: true });
  // @ts-expect-error no end behind a time
  await manager.range("k", "-", { after: new Date() });
  // @ts-expect-error a time is a Date or a bigint
  await manager.range("k", 5, "+");
  // @ts-expect-error one aim
  await manager.trim("k", { maxLength: 1, acknowledged: true });
  // @ts-expect-error an aim
  await manager.trim("k", { exact: true });
  // @ts-expect-error true or left out
  await manager.trim("k", { acknowledged: false });
  // @ts-expect-error a position is no time
  await manager.createGroup("k", "g", new Date());
  const lag: number | null = (await manager.info("k")).groups[0].lag;
  // @ts-expect-error it may not be known
  const known: number = (await manager.info("k")).groups[0].lag;
  console.assert(lag === known);
}

/** The results of all methods, in sequence, for a stream of five entries in a shard. */
async function everything(on: Server, url: string): Promise<unknown[]> {
  await using streamer = await connect(url);
  const manager = await streamer.createManager();
  const key = uniqueKey();
  const redisKey = `${key}:3`;
  const said: unknown[] = [];
  const add = (from: number, to: number) =>
    on.commands(
      Array.from({ length: to - from + 1 }, (_, i) => ["XADD", redisKey, `${from + i}-0`, "msg", `${from + i}`]),
    );
  await add(1, 5);
  const shard = { shardId: 3 } as const;
  for await (const name of manager.streams({ match: `${key}*` })) said.push(name === redisKey);
  let page = await manager.scan("0", { match: `${key}*`, count: 100_000 });
  let found = page.streams.length;
  for (; page.cursor !== "0"; found += page.streams.length) {
    page = await manager.scan(page.cursor, { match: `${key}*` });
  }
  said.push(found);
  said.push((await manager.range(key, "-", "+", shard)).map((message) => message.text()));
  said.push((await manager.range(key, 2n, 4n, { sharded: true, reverse: true })).map((message) => message.text()));
  for await (const message of manager.rangeAll(key, 4n, "+", { ...shard, pageSize: 1 })) said.push(message.text());
  said.push(await manager.createGroup(key, "g", "1-0", shard));
  await on.command("XREADGROUP", "GROUP", "g", "c", "COUNT", 2, "STREAMS", redisKey, ">");
  await on.command("XACK", redisKey, "g", "2-0");
  const { groups: [{ oldestPendingAge, consumers, ...group }], ...stream } = await manager.info(key, shard);
  said.push(stream, { ...group, lag: 0 }, consumers.map(({ name, pending }) => [name, pending]));
  said.push(oldestPendingAge !== null && oldestPendingAge > 1e12);
  said.push(await manager.length(key, shard));
  said.push(await manager.trim(key, { acknowledged: true, exact: true, ...shard }));
  said.push(await manager.trim(key, { maxLength: 2, exact: true, ...shard }));
  said.push(await manager.trim(key, { minTimestamp: 5n, exact: true, ...shard }));
  said.push(await manager.setGroupPosition(key, "g", "end", shard));
  said.push(await manager.deleteConsumer(key, "g", "c", shard).catch(({ code }) => code));
  said.push(await manager.deleteConsumer(key, "g", "c", { ...shard, force: true }));
  said.push(await manager.deleteConsumer(key, "g", "c", shard));
  said.push(await manager.deleteGroup(key, "g", shard), await manager.deleteGroup(key, "g", shard));
  said.push(await manager.delete(key, ["5-0", "9-0"], shard));
  said.push(await manager.deleteStream(key, shard), await manager.deleteStream(key, shard));
  return said;
}

const EXPECTED = [
  true,
  1,
  ["1", "2", "3", "4", "5"],
  ["4", "3", "2"],
  "4",
  "5",
  undefined,
  { length: 5, firstId: "1-0", lastId: "5-0" },
  { name: "g", lag: 0, pending: 1, lastDeliveredId: "3-0" },
  [["c", 1]],
  true,
  5,
  2,
  1,
  1,
  undefined,
  "CONFLICT",
  1,
  0,
  true,
  false,
  1,
  true,
  false,
];

test("every method returns the expected result over RESP3", async () => {
  assertEquals(await everything(server, server.url), EXPECTED);
});

test("every method returns the same over RESP2", async () => {
  await using own: OwnServer = await startServer({ args: ["--rename-command", "HELLO", ""] });
  assertEquals(await everything(own, own.url), EXPECTED);
}, { oneServer: OWN, ignore });
