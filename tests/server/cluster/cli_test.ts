// Tests the command line against a real cluster, by the addresses of several nodes, while slots move and a primary fails over.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { uniqueKey } from "../../support/keys.ts";
import { run, Running } from "../../support/cli/running.ts";
import { test } from "../../support/runner.ts";
import { type Cluster, startCluster } from "../../support/servers/cluster.ts";
import { addStreams, SlotMill } from "../../support/servers/cluster_keys.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !await canStartServers(), timeout: 180_000 };
const SHARDS = 6;

/** All nodes in one URL, with the streams after them. */
function locationOf(cluster: Cluster, streams: string): string {
  return `redis://${cluster.nodes.map(({ name }) => name).join(",")}/${streams}`;
}

const shardsOf = (key: string) => Array.from({ length: SHARDS }, (_, shard) => `${key}:${shard}`);
const lines = (count: number, text = "line") => Array.from({ length: count }, (_, i) => `${text} ${i}\n`).join("");
const sorted = (text: string) => text.trimEnd().split("\n").toSorted();

/** Runs a command, which has to succeed; resolves to its stdout. */
async function succeeds(args: readonly string[], { env, input }: { env: Record<string, string>; input?: string }) {
  const { code, stdout, stderr } = await run(args, { env, input: input ?? "" });
  assertEquals(code, 0, `${args.join(" ")}: ${stderr}`);
  return stdout;
}

test("every command works with several nodes in its URL, while slots move", async () => {
  await using cluster = await startCluster();
  const [key, copy, restored] = [uniqueKey(), uniqueKey(), uniqueKey()];
  await addStreams(cluster, [...shardsOf(key), ...shardsOf(restored)], [["1-0", "msg", "first"]]);
  const env = { REDIS_URL: locationOf(cluster, "").replace(/\/$/, "") };
  const mill = new SlotMill(cluster, [...shardsOf(key), copy, ...shardsOf(restored)].map(slotOfKey));
  const total = 3_000 + SHARDS;
  const expected = sorted(lines(3_000) + "first\n".repeat(SHARDS));
  await succeeds(["produce", locationOf(cluster, key), "--shards", `${SHARDS}`], { env, input: lines(3_000) });
  assertEquals(
    sorted(await succeeds(["consume", key, "--from", "beginning", "--count", `${total}`], { env })),
    expected,
  );
  await succeeds(["relay", key, copy, "--from", "beginning", "--count", `${total}`], { env });
  assertEquals(
    sorted(await succeeds(["consume", copy, "--from", "beginning", "--count", `${total}`], { env })),
    expected,
  );
  const dumped = await succeeds(["dump", key], { env });
  assertEquals(dumped.trimEnd().split("\n").length, total);
  await succeeds(["restore", "-", restored, "--skip-existing"], { env, input: dumped });
  const { streams: [info] } = JSON.parse(await succeeds(["info", restored, "--json"], { env }));
  assertEquals(info.length, total);
  const trimmed = await succeeds(["trim", key, "--max-length", "10", "--exact"], { env });
  assertEquals(trimmed, `${key}: ${(total - 10 * SHARDS).toLocaleString("en")} entries removed\n`);
  await mill.stop();
  assert(mill.moves > 10, `${mill.moves} moves`);
}, options);

test("a restore keeps the order of ids across moves and a failover", async () => {
  await using cluster = await startCluster({ replicas: 1, nodeTimeout: 1_000 });
  const key = uniqueKey();
  const [tag, slot] = [`{${key}}`, slotOfKey(key)];
  const keys = Array.from({ length: 3 }, (_, shard) => `${tag}:${shard}`);
  const entry = (id: number, shard: number) =>
    JSON.stringify({ stream: tag, shard, key: keys[shard], id: `${id}-0`, fields: [["msg", `${id}`]] });
  await using restoring = new Running(["restore", "-"], { env: { REDIS_URL: cluster.urls[0] } });
  let written = 0;
  const write = (count: number) => {
    const part = Array.from(
      { length: count },
      (_, i) => keys.map((_, shard) => `${entry(written + i + 1, shard)}\n`).join(""),
    );
    restoring.write(part.join(""));
    written += count;
  };
  for (let turn = 0; turn < 6; turn++) {
    write(5_000);
    const owner = await cluster.ownerOf(slot);
    const to = cluster.primaries[(cluster.primaries.indexOf(owner) + 1) % 3];
    await cluster.moveSlot(slot, to, { askWindow: turn % 2 === 0 ? 0 : 50 });
  }
  const owner = await cluster.ownerOf(slot);
  const [replica] = await cluster.replicasOf(owner);
  write(5_000);
  await cluster.failOver(replica);
  write(1_000);
  restoring.close();
  const { code, stderr } = await restoring.ended;
  assertEquals(code, 0, stderr);
  for (const at of keys) assertEquals(await cluster.command("XLEN", at), written, stderr);
}, options);

test("info --nodes shows the node of each shard, and the nodes with their slots and connections", async () => {
  await using cluster = await startCluster();
  const [key, plain] = [uniqueKey(), uniqueKey()];
  await addStreams(cluster, shardsOf(key), [["1-0", "msg", "x"], ["2-0", "msg", "x"]]);
  await addStreams(cluster, [plain]);
  const owners = await Promise.all([...shardsOf(key), plain].map((name) => cluster.ownerOf(slotOfKey(name))));
  const nodeOf = (at: number) => owners[at].name;
  const env = {};
  const text = await succeeds(["info", locationOf(cluster, `${key},${plain}`), "--nodes", "--json"], { env });
  const { nodes, streams } = JSON.parse(text);
  assertEquals(nodes.map(({ name }: { name: string }) => name), cluster.nodes.map(({ name }) => name));
  assertEquals(nodes.reduce((sum: number, { slots }: { slots: number }) => sum + slots, 0), 16_384);
  assert(nodes.every(({ connections }: { connections: number }) => connections >= 1), text);
  assertEquals(streams.map(({ stream, shards }: { stream: string; shards: unknown }) => [stream, shards]), [
    [key, shardsOf(key).map((_, shard) => ({ shard, length: 2, node: nodeOf(shard) }))],
    [plain, [{ shard: 0, length: 1, node: nodeOf(SHARDS) }]],
  ]);
  const table = await succeeds(["info", locationOf(cluster, `${key},${plain}`), "--nodes"], { env });
  for (let shard = 0; shard < SHARDS; shard++) {
    assertMatch(table, new RegExp(`^[├└] shard ${shard} +2 +${nodeOf(shard)}$`, "m"));
  }
  assertMatch(table, new RegExp(`^${plain} +1 +${nodeOf(SHARDS)}$`, "m"));
  for (const { name } of cluster.nodes) assertMatch(table, new RegExp(`^${name} +5,46[12] +[1-9]$`, "m"));
  const all = await succeeds(["info", "--nodes", "--match", `${key}:*`], { env: { REDIS_URL: cluster.url } });
  assertMatch(all, new RegExp(`^${key}:0 +2 +${nodeOf(0)}$`, "m"));
  const without = await succeeds(["info", locationOf(cluster, key)], { env });
  assert(!without.includes(cluster.nodes[0].name) && !without.includes("connections"), without);
}, options);

test("a command that runs reports nodes one by one, and where their slots have gone", async () => {
  await using cluster = await startCluster({ replicas: 1, nodeTimeout: 1_000 });
  const key = uniqueKey();
  const owner = await cluster.ownerOf(slotOfKey(key));
  await cluster.inStep(owner);
  await using consuming = new Running(["consume", locationOf(cluster, key), "--from", "beginning"]);
  await cluster.command("XADD", key, "*", "msg", "before");
  await consuming.until(({ stdout }) => stdout.includes("before"));
  await cluster.kill(owner);
  const elected = await cluster.untilElected(owner);
  await cluster.command("XADD", key, "*", "msg", "after");
  await consuming.until(({ stdout }) => stdout.includes("after"));
  await consuming.until(({ stderr }) => stderr.includes(`moved from ${owner.name} to ${elected.name}`));
  assertMatch(consuming.stderr, new RegExp(`Connection to ${owner.name} lost, reconnecting: `));
  assert(!consuming.stderr.includes(`Connection to ${elected.name} restored`), consuming.stderr);
  consuming.signal("SIGTERM");
  assertEquals((await consuming.ended).code, 143);
}, options);
