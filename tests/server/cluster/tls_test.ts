// Clusters over TLS: which name each node's certificate must have, and what the errors say if it has another one.

import { assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, type ConnectOptions, type RedisStreamer, StreamerError } from "../../../mod.ts";
import { configure, exchange, keyInPart, untilAnnounced } from "../../support/cluster/traffic.ts";
import { certificates, type Identity } from "../../support/network/tls.ts";
import { test } from "../../support/runner.ts";
import { type Cluster, startCluster } from "../../support/servers/cluster.ts";
import { canStartServers, sharedServer } from "../../support/servers/server.ts";

const single = await sharedServer();
const ignore = !await canStartServers() || !single.atLeast("7.0");
const options = { ignore, timeout: 120_000 };
const { ca, server, wrongHost } = await certificates(); // `wrongHost` is for elsewhere.test

const trusting = { caCerts: [ca] };

/** A cluster whose first node has one certificate, and the others another one. */
function startTlsCluster(first: Identity, others: Identity = first): Promise<Cluster> {
  return startCluster({ tls: (node) => ({ ca, ...(node === 0 ? first : others) }) });
}

/** All texts of an error and its causes. */
function textsOf(error: unknown): string {
  const texts: string[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) texts.push(cause.message);
  return texts.join("; ");
}

/** What becomes of a command for a key of that node. */
async function failureAt(streamer: RedisStreamer, node: number): Promise<StreamerError> {
  const manager = await streamer.createManager();
  return await assertRejects(() => manager.length(keyInPart(node)), StreamerError);
}

test("certificates for the announced addresses: nothing more is needed, also without a redirect", async () => {
  await using cluster = await startTlsCluster(server);
  await using streamer = await connect(cluster.url, { tls: trusting });
  await exchange(streamer, cluster);
  const untrusted = await assertRejects(() => connect(cluster.url), StreamerError);
  assertEquals(untrusted.code, "CONNECT");
}, options);

test("certificates for one name: tls.serverName is verified at every node", async () => {
  await using cluster = await startTlsCluster(wrongHost);
  const tls = { ...trusting, serverName: "elsewhere.test" };
  await using streamer = await connect(cluster.url, { tls });
  await exchange(streamer, cluster);
  const wrong = await assertRejects(() => connect(cluster.url, { tls: trusting }), StreamerError);
  assertEquals(wrong.code, "CONNECT");
}, options);

test("certificates for announced host names: they are verified, and mapNode tells where the nodes are", async () => {
  await using cluster = await startTlsCluster(server, wrongHost);
  await announceNames(cluster, "localhost", "elsewhere.test", "elsewhere.test");
  const mapNode: ConnectOptions["mapNode"] = (_, port) => ({ hostname: "127.0.0.1", port });
  await using streamer = await connect(cluster.url, { tls: trusting, mapNode });
  await exchange(streamer, cluster);
}, options);

test(
  "a certificate for another name than the announced one: what goes there rejects, and the text names both and the remedy",
  async () => {
    await using cluster = await startTlsCluster(server, wrongHost);
    await using streamer = await connect(cluster.url, { tls: trusting });
    const manager = await streamer.createManager();
    assertEquals(await manager.length(keyInPart(0)), 0);
    const error = await failureAt(streamer, 1);
    assertEquals(error.code, "CONNECT");
    const text = textsOf(error);
    for (
      const part of [
        "It is for elsewhere.test, and not for 127.0.0.1",
        `127.0.0.1:${cluster.nodes[1].port}`,
        "announces this node as 127.0.0.1",
        "tls.serverName",
        "mapNode",
      ]
    ) {
      assertStringIncludes(text, part);
    }
    const producer = await streamer.createProducer(keyInPart(1));
    const refused = await producer.send("x").then(() => undefined, (error) => error);
    assertInstanceOf(refused, StreamerError);
    assertEquals([refused.code, refused.outcome], ["CONNECT", "not-written"]);
  },
  options,
);

test("a client's certificate is shown at every node", async () => {
  const { client } = await certificates();
  await using cluster = await startCluster({ tls: { ca, ...server, clientAuth: true } });
  await using streamer = await connect(cluster.url, { tls: { ...trusting, cert: client.cert, key: client.key } });
  await exchange(streamer, cluster);
}, options);

async function announceNames(cluster: Cluster, ...names: readonly string[]): Promise<void> {
  await configure(cluster, { "cluster-preferred-endpoint-type": "hostname" });
  for (const [node, name] of names.entries()) await configure(cluster, { "cluster-announce-hostname": name }, node);
  await untilAnnounced(cluster, ...names.map((name, i) => `"${name}",${cluster.nodes[i].port}`));
}
