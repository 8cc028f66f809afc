// With RESP2 and `cluster: "auto"`: real clusters and standalone servers, for users that may not run INFO, CLUSTER, or both.

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, type RedisStreamer, roundRobinSharder, StreamerError } from "../../../mod.ts";
import { exchange } from "../../support/cluster/traffic.ts";
import { take } from "../../support/consumer/reading.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { startCluster } from "../../support/servers/cluster.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const single = await sharedServer();
const ignore = !await canStartServers() || !single.atLeast("7.0"); // permissions of subcommands
const options = { ignore, timeout: 120_000 };
const protocol = 2;

/** The rules of users that lack a right. */
const USERS: Readonly<Record<string, readonly string[]>> = {
  "that may run all": [],
  "without INFO": ["-info"],
  "without any CLUSTER command but SLOTS, and without INFO": ["-cluster", "+cluster|slots", "-info"],
  "without CLUSTER": ["-cluster"],
  "without INFO and CLUSTER": ["-info", "-cluster"],
  "without INFO, CLUSTER and HELLO": ["-info", "-cluster", "-hello"], // HELLO is allowed all the same
};

/** Sends to shards in many slots, and reads them with one consumer of each kind. */
async function useShards(streamer: RedisStreamer): Promise<void> {
  const key = uniqueKey();
  const producer = await streamer.createProducer(key, { sharder: roundRobinSharder(6) });
  await Promise.all(Array.from({ length: 12 }, (_, i) => producer.send(`${i}`)));
  const earliest = { autoStreamReset: "earliest" } as const;
  for (const kind of [{ mode: "real-time" }, { mode: "resumable", group: "g" }] as const) {
    await using consumer = await streamer.createConsumer(key, { ...kind, ...earliest });
    const texts = (await take(consumer, 12)).map((message) => Number(message.text()));
    assertEquals(texts.toSorted((a, b) => a - b), Array.from({ length: 12 }, (_, i) => i));
  }
}

test("a cluster is used if the user may run CLUSTER SLOTS, and else refused with the name of this right", async () => {
  await using cluster = await startCluster();
  for (const [i, rules] of Object.values(USERS).entries()) {
    const add = ["ACL", "SETUSER", `worker${i}`, "on", ">secret", "~*", "&*", "+@all", ...rules];
    await Promise.all(cluster.nodes.map((node) => node.command(...add)));
    const url = cluster.url.replace("redis://", `redis://worker${i}:secret@`);
    if (rules.includes("-cluster") && !rules.includes("+cluster|slots")) {
      const error = await assertRejects(() => connect(url, { protocol }), StreamerError);
      assertEquals(error.code, "CONNECT");
      assertStringIncludes(error.message, "The user must be allowed to run CLUSTER SLOTS");
      continue;
    }
    await using streamer = await connect(url, { protocol });
    assertEquals(streamer.stats().nodes.length, 3);
    await useShards(streamer);
    await exchange(streamer, cluster);
  }
}, options);

for (const [user, rules] of Object.entries(USERS)) {
  test(`a user ${user}: a standalone server is used as such`, async () => {
    await using server = await startServer();
    await server.command("ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all", ...rules);
    const url = server.url.replace("redis://", "redis://worker:secret@");
    await using streamer = await connect(url, { protocol, db: 1 });
    assertEquals(streamer.stats().nodes.map(({ slots }) => slots), [16_384]);
    await useShards(streamer);
  }, options);
}

test("with cluster: false, shards in several slots of one node are read with RESP2", async () => {
  await using cluster = await startCluster({ primaries: 1 });
  await using streamer = await connect(cluster.url, { protocol, cluster: false });
  await useShards(streamer);
}, options);

test("a database other than 0 is refused with a cluster", async () => {
  await using cluster = await startCluster();
  const error = await assertRejects(() => connect(cluster.url, { protocol, db: 1 }), StreamerError);
  assertEquals(error.code, "CONNECT");
}, options);
