// Tests that reports of long refusals name the node that refuses, although commands of other nodes succeed.

import { assertEquals } from "@std/assert";
import { connect, type RedisStreamer } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { type Cluster, type ClusterNode, startCluster } from "../../support/servers/cluster.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !await canStartServers(), timeout: 60_000 };

/** Records both events, each with its node. */
function noteWaiting(streamer: RedisStreamer, cluster: Cluster): string[] {
  const notes: string[] = [];
  const nodeOf = (name: string) => cluster.nodes.findIndex((node) => node.name === name);
  streamer.addEventListener("waiting", ({ detail }) => notes.push(`waiting ${nodeOf(detail.node)}`));
  streamer.addEventListener("resumed", ({ detail }) => notes.push(`resumed ${nodeOf(detail.node)}`));
  return notes;
}

/** A stream on each node. */
function keysOf(cluster: Cluster): Promise<string[]> {
  return Promise.all(cluster.nodes.map(async (node) => {
    for (let at = 0;; at++) {
      const key = `stream${at}`;
      if (await cluster.ownerOf(Number(await node.command("CLUSTER", "KEYSLOT", key))) === node) return key;
    }
  }));
}

/** Has a node refuse commands with BUSY until the returned function is called, by a script that does not end. */
async function makeBusy(node: ClusterNode): Promise<() => Promise<void>> {
  await node.command("CONFIG", "SET", "busy-reply-threshold", "1");
  const script = node.command("EVAL", "while true do end", 0).catch(() => {}); // it is killed
  await until(() => node.command("PING").then(() => false, (error) => String(error).includes("BUSY")));
  return async () => {
    await node.command("SCRIPT", "KILL");
    await script;
  };
}

test("sends and reads that one node refuses are reported for that node", async () => {
  await using cluster = await startCluster({ nodeTimeout: 30_000 });
  await using sending = await connect(cluster.url);
  await using reading = await connect(cluster.url, { timeout: 1_500 }); // for which a read blocks
  const [sends, reads] = [noteWaiting(sending, cluster), noteWaiting(reading, cluster)];
  const keys = await keysOf(cluster);
  const producer = await sending.createGenericProducer();
  const consumers = await Promise.all(
    keys.map((key) => reading.createConsumer(key, { mode: "load-balanced", group: "g", autoCommit: "rolling" })),
  );
  for (const refusing of [2, 1]) {
    sends.length = reads.length = 0;
    const serve = await makeBusy(cluster.nodes[refusing]);
    const sent = keys.map((key) => producer.sendTo(key, "x"));
    const read = consumers.map((consumer) => consumer.next());
    await until(() => sends.length > 0 && reads.length > 0);
    await Promise.all(keys.flatMap((_, at) => at === refusing ? [] : [sent[at].then(() => {}), read[at]]));
    await serve();
    await Promise.all(sent);
    for (const [at, one] of read.entries()) consumers[at].ack(await one);
    await until(() => sends.length > 1 && reads.length > 1);
    const expected = [`waiting ${refusing}`, `resumed ${refusing}`];
    assertEquals([sends, reads], [expected, expected]);
  }
}, options);
