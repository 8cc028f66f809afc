// Connects to real clusters that announce their nodes in every way that servers know, and sends and reads through all nodes.

import { assert, assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { configure, exchange, untilAnnounced } from "../../support/cluster/traffic.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { type Cluster, startCluster } from "../../support/servers/cluster.ts";
import { canStartServers, sharedServer } from "../../support/servers/server.ts";

const single = await sharedServer();
const ignore = !await canStartServers() || !single.atLeast("7.0");
const options = { ignore, timeout: 120_000 };

/** The names of the nodes, by the host that they are expected to have. */
function named(cluster: Cluster, host: (node: number) => string): string[] {
  return cluster.nodes.map(({ port }, i) => `${host(i)}:${port}`).sort();
}

async function namesOf(url: string): Promise<string[]> {
  await using streamer = await connect(url);
  return streamer.stats().nodes.map(({ name }) => name).sort();
}

test("a cluster that announces addresses", async () => {
  await using cluster = await startCluster();
  assertEquals(await namesOf(cluster.url), named(cluster, () => "127.0.0.1"));
  await using streamer = await connect(cluster.url);
  await exchange(streamer, cluster);
}, options);

test("a cluster that announces host names, also if one node has none", async () => {
  await using cluster = await startCluster();
  await configure(cluster, { "cluster-preferred-endpoint-type": "hostname", "cluster-announce-hostname": "localhost" });
  await untilAnnounced(cluster, ...cluster.nodes.map(({ port }) => `"localhost",${port}`));
  assertEquals(await namesOf(cluster.url), named(cluster, () => "localhost"));
  await using streamer = await connect(cluster.url);
  await exchange(streamer, cluster);
  await configure(cluster, { "cluster-announce-hostname": "" }, 1);
  await untilAnnounced(cluster, `"?",${cluster.nodes[1].port}`);
  assertEquals(await namesOf(cluster.url), named(cluster, (node) => node === 1 ? "127.0.0.1" : "localhost"));
  await using another = await connect(cluster.urls[2]);
  await exchange(another, cluster);
  await exchange(streamer, cluster); // which knew the name
}, options);

test("a cluster that leaves the host to the client", async () => {
  await using cluster = await startCluster();
  await configure(cluster, { "cluster-preferred-endpoint-type": "unknown-endpoint" });
  const local = cluster.url.replace("127.0.0.1", "localhost");
  assertEquals(await namesOf(cluster.url), named(cluster, () => "127.0.0.1"));
  assertEquals(await namesOf(local), named(cluster, () => "localhost"));
  await using streamer = await connect(local);
  await exchange(streamer, cluster);
  // With seeds of both names, the nodes keep the one by which they were found.
  await using both = await connect([cluster.url, local]);
  const names = both.stats().nodes.map(({ name }) => name);
  await exchange(both, cluster);
  assertEquals(both.stats().nodes.map(({ name }) => name).sort(), names.toSorted());
}, options);

test("the way of announcing changes while a streamer is connected: it keeps its connections", async () => {
  await using cluster = await startCluster();
  await using streamer = await connect(cluster.url);
  await exchange(streamer, cluster);
  await configure(cluster, { "cluster-preferred-endpoint-type": "hostname", "cluster-announce-hostname": "localhost" });
  await untilAnnounced(cluster, ...cluster.nodes.map(({ port }) => `"localhost",${port}`));
  const moved: unknown[] = [];
  streamer.addEventListener("moved", ({ detail }) => moved.push(detail));
  await exchange(streamer, cluster);
  const names = named(cluster, () => "127.0.0.1").join();
  // A redirect may name a node by a host that is not known until the next refresh.
  await until(() => streamer.stats().nodes.map(({ name }) => name).sort().join() === names);
  assert(moved.length <= 2, JSON.stringify(moved)); // the slot of each exchange, and no node by its name
}, options);

test("nodes behind NAT, reached by mapNode", async () => {
  await using cluster = await startCluster();
  // They announce ports at which nobody listens. Their bus needs the real one.
  const real = new Map(cluster.nodes.map(({ port }) => [port - 500, port]));
  for (const [i, { port }] of cluster.nodes.entries()) {
    await configure(cluster, { "cluster-announce-bus-port": String(port + 10_000) }, i);
    await configure(cluster, { "cluster-announce-port": String(port - 500) }, i);
  }
  await untilAnnounced(cluster, ...Array.from(real.keys(), (port) => `"127.0.0.1",${port}`));
  const asked = new Set<string>();
  await using streamer = await connect(cluster.url, {
    mapNode: (host, port) => {
      asked.add(`${host}:${port}`);
      return { hostname: "localhost", port: real.get(port) ?? 0 };
    },
  });
  await exchange(streamer, cluster);
  const announced = Array.from(real.keys(), (port) => `127.0.0.1:${port}`).sort();
  assertEquals([...asked].sort(), announced);
  assertEquals(streamer.stats().nodes.map(({ name }) => name).sort(), announced);
}, options);

test("nodes with IPv6 addresses", async () => {
  const args = ["--bind", "127.0.0.1", "::1", "--cluster-announce-ip", "::1"];
  const started = await startCluster({ args }).catch((error) => error);
  if (started instanceof Error) return; // this machine has none
  await using cluster = started;
  assertEquals(await namesOf(cluster.url), named(cluster, () => "[::1]"));
  await using streamer = await connect(`redis://[::1]:${cluster.nodes[1].port}`);
  await exchange(streamer, cluster);
}, options);
