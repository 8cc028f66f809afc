// Tests a consumer group on a cluster of which one node is frozen: what the group does on the other nodes does not wait for it.

import { assert, assertEquals, assertLess } from "@std/assert";
import { connect, type Message } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { delay } from "../../support/async.ts";
import { take } from "../../support/consumer/reading.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startFilterServer, type Verdict } from "../../support/network/filter_server.ts";
import { test } from "../../support/runner.ts";
import { type Cluster, type ClusterNode, startCluster } from "../../support/servers/cluster.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !await canStartServers(), timeout: 120_000 };
const group = "g";

/** Milliseconds within which the other nodes' messages have to come. A server that is silent is given up after 20 seconds. */
const SOON = 4_000;
const connecting = { timeout: 20_000, reconnect: { initialDelay: 5, maxDelay: 50 } };

/** A cluster that takes no node for lost, and a stream of two shards: the first one's node is to freeze. */
async function twoNodes() {
  const cluster = await startCluster({ nodeTimeout: 60_000 });
  for (;;) {
    const streamKey = uniqueKey();
    const keys = [0, 1].map((shard) => `${streamKey}:${shard}`);
    const [first, second] = await Promise.all(keys.map((key) => cluster.ownerOf(slotOfKey(key))));
    const third = cluster.nodes.find((node) => node !== first && node !== second);
    if (first !== second && third !== undefined) return { cluster, streamKey, keys, first, second, third };
  }
}

/** Entries that another consumer, or an earlier session, read an hour ago. */
async function leftOn(node: ClusterNode, key: string, consumer: string, count: number): Promise<void> {
  await node.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM").catch(() => {}); // it may exist
  const script = `for i = 0, ARGV[3] - 1 do redis.call('XADD', KEYS[1], '*', 'msg', KEYS[1] .. ' ' .. i) end
    redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[3], 'STREAMS', KEYS[1], '>')`;
  await node.command("EVAL", script, 1, key, group, consumer, count); // in one step, so that nobody else gets them
  const rows = await node.command("XPENDING", key, group, "-", "+", count);
  const ids = Array.isArray(rows) ? rows.map((row) => Array.isArray(row) ? String(row[0]) : "") : [];
  await node.command("XCLAIM", key, group, consumer, 0, ...ids, "IDLE", 3_600_000, "JUSTID");
}

/** Runs what thaws a node in any case. */
async function frozen<T>(node: ClusterNode, work: () => Promise<T>): Promise<T> {
  await node.freeze();
  try {
    return await work();
  } finally {
    await node.continue();
  }
}

const textsOf = (messages: readonly Message[]) => messages.map((message) => message.text()).toSorted();
const textsOn = (key: string, count: number) => Array.from({ length: count }, (_, i) => `${key} ${i}`);

test("messages of another consumer are claimed on the nodes that answer", async () => {
  const { cluster, streamKey, keys, first, second } = await twoNodes();
  await using _ = cluster;
  await first.command("XGROUP", "CREATE", keys[0], group, "0", "MKSTREAM");
  await second.command("XGROUP", "CREATE", keys[1], group, "0", "MKSTREAM");
  await using streamer = await connect(cluster.url, connecting);
  const consumer = await streamer.createConsumer(streamKey, {
    ...{ mode: "load-balanced", group, autoCommit: "rolling", autoClaimInterval: 300, autoClaimIdle: 60_000 },
  });
  await first.command("XADD", keys[0], "*", "msg", "first");
  await second.command("XADD", keys[1], "*", "msg", "second");
  for (const message of await take(consumer, 2)) consumer.ack(message); // the replays are over
  await frozen(first, async () => {
    await delay(1_000); // a scan of the frozen node is under way
    await leftOn(second, keys[1], "gone", 3);
    const began = performance.now();
    assertEquals(textsOf(await take(consumer, 3)), textsOn(keys[1], 3));
    assertLess(performance.now() - began, SOON);
  });
  await leftOn(first, keys[0], "gone", 3);
  assertEquals(textsOf(await take(consumer, 3)), textsOn(keys[0], 3));
}, options);

test("entries of an earlier session are replayed on the nodes that answer", async () => {
  const { cluster, streamKey, keys, first, second, third } = await twoNodes();
  await using _ = cluster;
  await leftOn(first, keys[0], "me", 3);
  await leftOn(second, keys[1], "me", 3);
  const isFrozen = Promise.withResolvers<void>();
  let isHit = false;
  // The first node freezes with a command of its replay in flight. Only then the second one is connected to for reading.
  const judge = async (node: ClusterNode, words: readonly string[], index: number): Promise<Verdict> => {
    if (node === first && words[0] === "XPENDING" && !isHit) {
      isHit = true;
      await node.freeze();
      isFrozen.resolve();
    }
    if (node === second && index > 0) await isFrozen.promise; // the first connection is for commands
    return "pass";
  };
  const proxies = await Promise.all([first, second].map((node) => {
    return startFilterServer(() => node.server.address, (words, _, index) => judge(node, words, index));
  }));
  const ports = new Map([first, second].map((node, i) => [node.port, proxies[i].port]));
  try {
    await using streamer = await connect(third.url, { // the nodes of the URL are not mapped
      ...connecting,
      mapNode: (hostname, port) => ({ hostname, port: ports.get(port) ?? port }),
    });
    const consumer = await streamer.createConsumer(streamKey, {
      ...{ mode: "resumable", group, consumerId: "me", autoCommit: "rolling", autoStreamReset: "earliest" },
    });
    await isFrozen.promise;
    const began = performance.now();
    const replayed = await take(consumer, 3);
    assertLess(performance.now() - began, SOON);
    assertEquals(textsOf(replayed), textsOn(keys[1], 3));
    await first.continue();
    assertEquals(textsOf(await take(consumer, 3)), textsOn(keys[0], 3));
  } finally {
    await first.continue();
    await Promise.all(proxies.map((proxy) => proxy.stop()));
  }
}, options);

test("leases are renewed, and nacked messages are delivered again, on the nodes that answer", async () => {
  const { cluster, streamKey, keys, first, second } = await twoNodes();
  await using _ = cluster;
  for (const [i, node] of [first, second].entries()) {
    await node.command("XADD", keys[i], "*", "msg", `${keys[i]} 0`);
  }
  await using streamer = await connect(cluster.url, connecting);
  const consumer = await streamer.createConsumer(streamKey, {
    ...{ mode: "load-balanced", group, autoCommit: "rolling", autoStreamReset: "earliest" },
    ...{ autoClaimIdle: 1_500, autoClaimInterval: null },
  });
  const messages = await take(consumer, 2);
  const [here, there] = [second, first].map((node) => {
    return messages.find(({ shardId }) => keys[shardId] === keys[node === first ? 0 : 1]);
  });
  assert(here !== undefined && there !== undefined);
  await frozen(first, async () => {
    await delay(1_000); // a renewal at the frozen node is under way
    consumer.nack(there);
    const idle: number[] = [];
    for (let i = 0; i < 25; i++) {
      const rows = await second.command("XPENDING", keys[1], group, "-", "+", 10);
      const [row] = Array.isArray(rows) ? rows : [];
      idle.push(Number(Array.isArray(row) ? row[2] : NaN));
      await delay(100);
    }
    assertLess(Math.max(...idle), 1_500, `${idle}`);
    consumer.nack(here);
    assertEquals((await consumer.next()).text(), here.text());
  });
  assertEquals((await consumer.next()).text(), there.text());
}, options);

test("a move of the whole group waits for the node that does not answer, and holds up nothing afterwards", async () => {
  const { cluster, streamKey, keys, first, second } = await twoNodes();
  await using _ = cluster;
  await leftOn(first, keys[0], "gone", 2);
  await leftOn(second, keys[1], "gone", 2);
  await using streamer = await connect(cluster.url, connecting);
  const consumer = await streamer.createConsumer(streamKey, {
    ...{ mode: "load-balanced", group, autoCommit: "rolling", autoClaimInterval: 500, autoClaimIdle: 60_000 },
  });
  const moves = await frozen(first, async () => {
    const moving = (["beginning", "end", "beginning"] as const).map((position) => {
      return consumer.rewind(position, { group: true });
    });
    await delay(1_500);
    return moving;
  });
  await Promise.all(moves);
  const seen = textsOf(await take(consumer, 4)); // delivered again from the beginning, or claimed
  assertEquals(seen, keys.flatMap((key) => textsOn(key, 2)).toSorted());
  assertEquals(await positions(cluster, keys), ["moved", "moved"]);
}, options);

/** Whether the group of each key has come to the last entry. */
async function positions(cluster: Cluster, keys: readonly string[]): Promise<string[]> {
  return await Promise.all(keys.map(async (key) => {
    const groups = JSON.stringify(await cluster.command("XINFO", "GROUPS", key));
    const last = JSON.stringify(await cluster.command("XREVRANGE", key, "+", "-", "COUNT", 1));
    const id = /\d+-\d+/.exec(last)?.[0] ?? "none";
    return groups.includes(id) ? "moved" : groups;
  }));
}
