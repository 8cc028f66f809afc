// Tests the meaning of a test's commands on a cluster.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { connect } from "node:net";
import { until } from "../events.ts";
import { uniqueKey } from "../keys.ts";
import { destroy } from "../network/sockets.ts";
import { test } from "../runner.ts";
import { startCluster } from "./cluster.ts";
import { ClusterCommands } from "./cluster_commands.ts";
import { encodeCommand, type Reply, toText, type Word } from "./raw_client.ts";
import { canStartServers } from "./server.ts";

const ignore = !(await canStartServers());

test("a cluster answers commands as one server: keys by their owners, the rest by all nodes", async () => {
  await using cluster = await startCluster();
  const nodes = cluster.nodes.map(({ server }) => server.address);
  const commands = new ClusterCommands(nodes);
  const run = async (...list: Word[][]): Promise<Reply[]> => (await commands.run(list)).map(toText);
  const keys = Array.from({ length: 30 }, () => uniqueKey());
  const added = await run(...keys.map((key, i) => ["XADD", key, `1-${i + 1}`, "msg", "m"]));
  assertEquals(added, keys.map((_, i) => `1-${i + 1}`));
  assertEquals(await run(["DBSIZE"], ["EXISTS", ...keys], ["DEL", ...keys.slice(1)], ["KEYS", "*"]), [30, 30, 29, [
    keys[0],
  ]]);
  const mixed = await run(["XADD", keys[0], "2-1", "msg", "a"], ["PING"], ["XLEN", keys[0]], ["LPUSH", keys[0], "x"]);
  assertEquals(mixed.slice(0, 3), ["2-1", "PONG", 2]);
  assert(mixed[3] instanceof Error && mixed[3].message.startsWith("WRONGTYPE"));
  const transaction = await run(["MULTI"], ["DEL", keys[0]], ["XADD", keys[0], "1-0", "msg", "a"], ["EXEC"]);
  assertEquals(transaction.slice(1), ["QUEUED", "QUEUED", [1, "1-0"]]);
  const calls = async () => Number(/^cmdstat_xlen:calls=(\d+)/m.exec(String(await run(["INFO", "commandstats"])))?.[1]);
  const before = await calls();
  await run(...keys.map((key) => ["XLEN", key]));
  assertEquals(await calls(), before + 30);
  assertEquals(await run(["ACL", "SETUSER", "reader", "on"], ["ACL", "DELUSER", "reader"]), ["OK", 3]);
  await assertRejects(() => run(["SCAN", "0"]), Error, "leave the test out");
  await assertRejects(() => run(["RENAME", keys[0], keys[1]]), Error, "different slots");
}, { ignore });

test("the connections of all nodes are listed, and each is unblocked and killed by its id", async () => {
  await using cluster = await startCluster();
  const commands = new ClusterCommands(cluster.nodes.map(({ server }) => server.address));
  const sockets = cluster.nodes.map(({ server: { host, port } }) => connect({ host, port }).on("error", () => {}));
  try {
    for (const socket of sockets) {
      socket.write(encodeCommand(["CLIENT", "SETNAME", "mine"]));
      socket.write(encodeCommand(["XREAD", "BLOCK", "0", "STREAMS", "{}", "$"]));
    }
    const named = async () => {
      const [list] = (await commands.run([["CLIENT", "LIST"]])).map(toText).map(String);
      return list.split("\n").filter((line) => line.includes(" name=mine "));
    };
    await until(async () => (await named()).length === 3 && /flags=b/.test(String(await named())));
    const ids = (await named()).map((line) => /^id=(\d+) /.exec(line)?.[1] ?? "");
    assertEquals(new Set(ids).size, 3);
    assertMatch(
      String(await commands.run([["INFO", "clients"]]).then(([info]) => toText(info))),
      /^blocked_clients:1\r/m,
    );
    const blocked = (await named()).findIndex((line) => /flags=b/.test(line));
    assertEquals(await commands.run([["CLIENT", "UNBLOCK", ids[blocked]]]), [1]);
    for (const [at, id] of ids.entries()) {
      assertEquals(await commands.run([["CLIENT", "KILL", "ID", id]]), [1]);
      await until(async () => (await named()).length === 2 - at);
    }
  } finally {
    await Promise.all(sockets.map(destroy));
  }
}, { ignore });
