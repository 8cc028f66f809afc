// Users and passwords on real clusters: every node is greeted with them, and what a user may not do costs no more than it must.

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { exchange, keyInPart } from "../../support/cluster/traffic.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { type Cluster, startCluster } from "../../support/servers/cluster.ts";
import { canStartServers, sharedServer } from "../../support/servers/server.ts";

const single = await sharedServer();
const ignore = !await canStartServers() || !single.atLeast("7.0"); // permissions of subcommands
const options = { ignore, timeout: 120_000 };

/** Creates a user on all nodes. */
async function addUser(cluster: Cluster, name: string, ...rules: readonly string[]): Promise<void> {
  await Promise.all(cluster.nodes.map((node) => node.command("ACL", "SETUSER", name, "on", ...rules)));
}

/** The url of a node, with a user. */
function urlOf(cluster: Cluster, user: string, node = 0): string {
  return `redis://${user}@127.0.0.1:${cluster.nodes[node].port}`;
}

test("a password is sent to every node", async () => {
  await using cluster = await startCluster({ password: "canary one" });
  await using streamer = await connect(cluster.url);
  await exchange(streamer, cluster);
  const wrong = urlOf(cluster, ":canary-two");
  const error = await assertRejects(() => connect([wrong, urlOf(cluster, ":canary-two", 1)]), StreamerError);
  assertEquals(error.code, "AUTH");
  assert(!`${error.message}${error.stack}${error.cause}`.includes("canary"));
}, options);

test(
  "a user and a password are sent to every node, also from functions, which are called for each connection",
  async () => {
    await using cluster = await startCluster();
    await addUser(cluster, "worker", ">secret", "~*", "+@all");
    await using plain = await connect(urlOf(cluster, "worker:secret"));
    await exchange(plain, cluster);
    let calls = 0;
    let password = "secret";
    await using streamer = await connect(cluster.url, {
      username: () => "worker",
      password: () => {
        calls++;
        return Promise.resolve(password);
      },
    });
    await exchange(streamer, cluster);
    const before = calls;
    assert(before >= 6, `${before}`);
    // The password changes, and every connection is closed.
    await addUser(cluster, "worker", ">next", "<secret");
    password = "next";
    await Promise.all(cluster.nodes.map((node) => node.command("CLIENT", "KILL", "TYPE", "normal")));
    await until(() => calls > before);
    await exchange(streamer, cluster);
  },
  options,
);

test("a user that may not run CLUSTER SLOTS is refused, and the error says what is missing", async () => {
  await using cluster = await startCluster();
  await addUser(cluster, "worker", ">canary", "~*", "+@all", "-cluster|slots");
  for (const uri of [urlOf(cluster, "worker:canary"), [0, 1].map((node) => urlOf(cluster, "worker:canary", node))]) {
    const error = await assertRejects(() => connect(uri), StreamerError);
    assertEquals(error.code, "CONNECT");
    assertStringIncludes(error.message, "The user must be allowed to run CLUSTER SLOTS");
    assertStringIncludes(error.message, "NOPERM");
    assert(!`${error.message}${error.stack}`.includes("canary"));
  }
}, options);

for (
  const [what, rules] of [
    ["CLUSTER MYID", ["-cluster|myid"]],
    ["any CLUSTER command but SLOTS", ["-cluster", "+cluster|slots"]],
    ["ROLE", ["-role"]],
    ["CLIENT commands", ["-client"]],
  ] as const
) {
  test(`a user that may not run ${what} can work`, async () => {
    await using cluster = await startCluster();
    await addUser(cluster, "worker", ">secret", "~*", "+@all", ...rules);
    await using streamer = await connect(urlOf(cluster, "worker:secret"));
    await exchange(streamer, cluster);
  }, options);
}

test("a user that may not run ROLE finds the new primary after a failover all the same", async () => {
  await using cluster = await startCluster({ replicas: 1 });
  await addUser(cluster, "worker", ">secret", "~*", "+@all", "-role");
  await using streamer = await connect(urlOf(cluster, "worker:secret", 1));
  const key = keyInPart(0);
  const producer = await streamer.createProducer(key);
  await producer.send("1");
  const [lost] = cluster.nodes;
  await cluster.inStep(lost);
  await cluster.kill(lost);
  await cluster.untilElected(lost);
  await producer.send("2");
  const manager = await streamer.createManager();
  assertEquals(await manager.length(key), 2);
}, options);
