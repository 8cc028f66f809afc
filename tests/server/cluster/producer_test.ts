// Tests what producers do on all nodes of a cluster at once: sharders, trimming, back-pressure, clones, streams.

import { assert, assertEquals } from "@std/assert";
import { connect, keyHashSharder, roundRobinSharder, type StreamerError } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { uniqueKey } from "../../support/keys.ts";
import { parseEntries } from "../../support/producer/stream_checks.ts";
import { afterAll, test } from "../../support/runner.ts";
import { type ClusterNode, startCluster } from "../../support/servers/cluster.ts";
import { canStartServers } from "../../support/servers/server.ts";

const ignore = !await canStartServers();
const options = { ignore, timeout: 60_000 };
const cluster = ignore ? undefined : await startCluster();
afterAll(() => cluster?.stop());

function theCluster() {
  assert(cluster !== undefined);
  return cluster;
}

/** A stream key and a number of shards that are on all three nodes, and the node of each shard. */
async function spread(shards: number): Promise<{ readonly key: string; readonly nodes: readonly ClusterNode[] }> {
  for (;;) {
    const key = uniqueKey();
    const numbers = Array.from({ length: shards }, (_, shard) => shard);
    const nodes = await Promise.all(numbers.map((shard) => theCluster().ownerOf(slotOfKey(`${key}:${shard}`))));
    if (new Set(nodes).size === 3) return { key, nodes };
  }
}

async function payloadsOf(key: string): Promise<string[]> {
  return parseEntries(await theCluster().command("XRANGE", key, "-", "+")).map(({ payload }) => payload);
}

test("a round robin over shards on all nodes: each shard has its messages, in order", async () => {
  await using streamer = await connect(theCluster().url);
  const { key } = await spread(6);
  const producer = await streamer.createProducer(key, { sharder: roundRobinSharder(6) });
  const receipts = Array.from({ length: 6_000 }, (_, i) => producer.send(`${i}`));
  await producer.flush();
  const stored = await Promise.all(Array.from({ length: 6 }, (_, shard) => payloadsOf(`${key}:${shard}`)));
  assertEquals(stored.flatMap((payloads) => payloads.length), Array(6).fill(1_000));
  for (const payloads of stored) assertEquals(payloads, payloads.toSorted((a, b) => Number(a) - Number(b)));
  assertEquals(new Set(stored.flat()).size, 6_000);
  for (const [i, receipt] of receipts.entries()) assert(stored[(await receipt).shardId].includes(`${i}`));
}, options);

test("a key hash: messages of one key are in one shard, in order, wherever it is", async () => {
  await using streamer = await connect(theCluster().url);
  const { key } = await spread(6);
  const producer = await streamer.createProducer(key, { sharder: keyHashSharder(6) });
  for (let i = 0; i < 3_000; i++) producer.send(`${i % 50} ${i}`, { key: `user ${i % 50}` });
  await producer.flush();
  const shardOf = new Map<string, number>();
  for (let shard = 0; shard < 6; shard++) {
    const last = new Map<string, number>();
    for (const payload of await payloadsOf(`${key}:${shard}`)) {
      const [user, number] = payload.split(" ");
      assertEquals(shardOf.get(user) ?? shard, shard, user);
      assert((last.get(user) ?? -1) < Number(number), payload);
      shardOf.set(user, shard);
      last.set(user, Number(number));
    }
  }
  assertEquals(shardOf.size, 50);
}, options);

test("trim and maxLength concern the shards on all nodes", async () => {
  await using streamer = await connect(theCluster().url);
  const { key } = await spread(6);
  const sharder = roundRobinSharder(6);
  const producer = await streamer.createProducer(key, { sharder });
  for (let i = 0; i < 6_000; i++) producer.send(`${i}`);
  await producer.flush();
  assertEquals(await producer.trim({ maxLength: 10, exact: true }), 5_940);
  const limited = await streamer.createProducer(key, { sharder, maxLength: 100 });
  for (let i = 0; i < 12_000; i++) limited.send(`${i}`);
  await limited.flush();
  for (let shard = 0; shard < 6; shard++) {
    const length = Number(await theCluster().command("XLEN", `${key}:${shard}`));
    assert(length >= 100 && length < 400, `${length} entries`); // about: the server trims whole nodes of 100 entries
  }
}, options);

test("maxBuffered and highWaterMark count the messages for all nodes", async () => {
  await using streamer = await connect(theCluster().url);
  const { key, nodes } = await spread(6);
  const settings = { highWaterMark: 20_000, maxBuffered: 60_000, sharder: roundRobinSharder(6) };
  const producer = await streamer.createProducer(key, settings);
  await Promise.all(Array.from({ length: 6 }, () => producer.send("first").then()));
  const [frozen] = nodes;
  await frozen.freeze();
  const receipts = [];
  let full: StreamerError | undefined;
  while (full === undefined) {
    const receipt = producer.send("x".repeat(100));
    receipts.push(receipt);
    receipt.catch((error) => full ??= error);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assertEquals([full.code, full.outcome], ["BUFFER_FULL", "not-written"]);
  assert(producer.desiredSize < 0);
  const { buffered } = producer.stats();
  assert(buffered > 55_000 && buffered <= 60_000, `${buffered} bytes`);
  await frozen.continue();
  await producer.ready;
  const endings = await Promise.allSettled(receipts.map((receipt) => receipt.then()));
  assertEquals(endings.filter(({ status }) => status === "rejected").length, 1);
  assertEquals(producer.stats().buffered, 0);
}, options);

test("clones share the connections to all nodes, and each flushes its own messages", async () => {
  await using streamer = await connect(theCluster().url, { clientName: "clones" });
  const { key } = await spread(6);
  const producer = await streamer.createProducer(key, { sharder: roundRobinSharder(6) });
  const clone = producer.clone();
  for (let i = 0; i < 1_200; i++) (i % 2 === 0 ? producer : clone).send(`${i}`);
  await clone.flush();
  const connections = async () => {
    const lists = await Promise.all(theCluster().nodes.map((node) => node.command("CLIENT", "LIST")));
    return lists.join("\n").match(/ name=clones /g)?.length ?? 0;
  };
  const open = await connections();
  await clone.end();
  assertEquals(await connections(), open);
  for (let i = 0; i < 6; i++) await producer.send("after");
  await producer.end();
  const stored = await Promise.all(Array.from({ length: 6 }, (_, shard) => payloadsOf(`${key}:${shard}`)));
  assertEquals(stored.flat().length, 1_206);
  assert(await connections() < open);
}, options);

test("a writable stream writes to the shards on all nodes, and closes after the last receipt", async () => {
  await using streamer = await connect(theCluster().url);
  const { key } = await spread(6);
  const producer = await streamer.createProducer(key, { sharder: roundRobinSharder(6), highWaterMark: 30_000 });
  const numbers = new ReadableStream<string>({
    start(controller) {
      for (let i = 0; i < 3_000; i++) controller.enqueue(`${i}`);
      controller.close();
    },
  });
  await numbers.pipeTo(producer.writable);
  assertEquals(producer.stats().acked, 3_000);
  const stored = await Promise.all(Array.from({ length: 6 }, (_, shard) => payloadsOf(`${key}:${shard}`)));
  assertEquals(stored.map(({ length }) => length), Array(6).fill(500));
}, options);
