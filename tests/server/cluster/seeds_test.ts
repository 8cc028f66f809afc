// Several seeds of a real cluster, some of them of no use: frozen, dead, no cluster. Unix sockets and databases.

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { delay } from "../../support/async.ts";
import { keyInPart } from "../../support/cluster/traffic.ts";
import { until } from "../../support/events.ts";
import { closedPort } from "../../support/network/sockets.ts";
import { test } from "../../support/runner.ts";
import { startCluster } from "../../support/servers/cluster.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const single = await sharedServer();
const options = { ignore: !await canStartServers(), timeout: 120_000 };

test("one seed that serves is enough, whatever the others are", async () => {
  await using cluster = await startCluster({ nodeTimeout: 30_000 });
  const [frozen, serving] = cluster.nodes;
  await frozen.freeze();
  const seeds = [frozen.url, `redis://127.0.0.1:${await closedPort()}`, single.url, serving.url];
  for (let i = 0; i < 6; i++) { // they are asked in random order
    const start = performance.now();
    await using streamer = await connect(seeds);
    assert(performance.now() - start < 3_000, `${performance.now() - start}`);
    assertEquals(streamer.stats().nodes.length, 3);
    const manager = await streamer.createManager();
    assertEquals(await manager.length(keyInPart(1)), 0);
  }
  await frozen.continue();
}, options);

test("if none serves, the error has the reason of each", async () => {
  await using cluster = await startCluster({ primaries: 1, password: "canary" });
  await using frozen = await startServer();
  await frozen.kill("SIGSTOP");
  const dead = `127.0.0.1:${await closedPort()}`;
  const hosts = [frozen.url, `redis://${dead}`, single.url, cluster.url].map((url) => new URL(url).host);
  const uri = `redis://:wrong@${hosts.join(",")}`;
  const error = await assertRejects(() => connect(uri, { timeout: 1_000 }), StreamerError);
  const { message } = error;
  for (const host of hosts) assertStringIncludes(message, host);
  assertStringIncludes(message, "no reply arrived within 1000 ms");
  assertStringIncludes(message, "the connection was refused");
  assertStringIncludes(message, "the user name or password is wrong");
  assert(!`${message}${error.stack}`.includes(":wrong"));
  await frozen.kill("SIGCONT");
}, options);

test("with wait, connect goes on until a seed comes up", async () => {
  await using cluster = await startCluster({ primaries: 1 });
  const [node] = cluster.nodes;
  await node.kill();
  const connecting = connect([`redis://127.0.0.1:${await closedPort()}`, node.url], { wait: true, timeout: 2_000 });
  let isConnected = false;
  connecting.then(() => isConnected = true, () => {});
  await delay(1_500);
  assertEquals(isConnected, false);
  await node.restart();
  await using streamer = await connecting;
  await until(() => node.command("CLUSTER", "INFO").then((info) => String(info).includes("cluster_state:ok")));
  const manager = await streamer.createManager();
  assertEquals(await manager.length("any"), 0);
}, options);

test("the signal ends it while all seeds are silent", async () => {
  await using cluster = await startCluster({ primaries: 1 });
  const [node] = cluster.nodes;
  await node.freeze();
  for (const wait of [false, true]) {
    const aborting = new AbortController();
    const connecting = connect([node.url, single.url], { cluster: true, wait, signal: aborting.signal });
    const outcome = connecting.then(() => "connected", (error) => error);
    await delay(800);
    aborting.abort(new Error("aborted"));
    assertEquals(await outcome, aborting.signal.reason);
  }
  await node.continue();
}, options);

test("a database other than 0 does not exist in a cluster", async () => {
  await using cluster = await startCluster({ primaries: 1 });
  const error = await assertRejects(() => connect(`${cluster.url}/1`), StreamerError);
  assertEquals(error.code, "CONNECT");
  // Valkey 9 has databases in clusters, but only one unless its configuration says more.
  assertMatch(error.message, /SELECT is not allowed in cluster mode|DB index is out of range/);
  for (const uri of [[cluster.url, cluster.url], cluster.url]) {
    const invalid = await assertRejects(() => connect(uri, { db: 1, cluster: true }), StreamerError);
    assertEquals(invalid.code, "INVALID_OPTION");
  }
}, options);

test("a unix socket leads to one node, which is used only if that is wanted", async () => {
  await using node = await startServer({ args: ["--cluster-enabled", "yes"] });
  if (node.unixSocket === undefined) return;
  await node.command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383);
  await until(async () => String(await node.command("CLUSTER", "INFO")).includes("cluster_state:ok"));
  const uri = `redis+unix://${node.unixSocket}`;
  const error = await assertRejects(() => connect(uri), StreamerError);
  assertEquals(error.code, "CONNECT");
  assertStringIncludes(error.message, "cluster: false");
  await using streamer = await connect(uri, { cluster: false });
  const manager = await streamer.createManager();
  assertEquals(await manager.length("any"), 0);
  const invalid = await assertRejects(() => connect(uri, { cluster: true }), StreamerError);
  assertEquals(invalid.code, "INVALID_OPTION");
}, options);
