// Finding out whether a server is part of a cluster if HELLO does not tell: servers and proxies that refuse the questions, or close the
// connection because of them.

import { assertEquals, assertInstanceOf, assertStringIncludes } from "@std/assert";
import { type ConnectOptions, StreamerError } from "../../../mod.ts";
import { FakeCluster, type FakeNode } from "../../support/cluster/fake_cluster.ts";
import { FakeNet } from "../../support/cluster/fake_net.ts";
import { close, follow, streamerOver } from "../../support/cluster/fake_streamer.ts";
import { HELLO3, NO_HELLO } from "../../support/network/fake_server.ts";
import { test } from "../../support/runner.ts";

const NOPERM = "-NOPERM this user has no permissions to run the command\r\n";
const UNKNOWN = "-ERR unknown command\r\n";
const DISABLED = "-ERR This instance has cluster support disabled\r\n";
const GREETING = (mode: string) => HELLO3.replace("$10\r\nstandalone", `$${mode.length}\r\n${mode}`);

function info(mode: string): string {
  const text = `# Server\r\nredis_version:7.0.15\r\nredis_mode:${mode}\r\nos:Linux\r\n`;
  return `$${text.length}\r\n${text}\r\n`;
}

/** Answers by the command's name. `"cut"` closes the connection, and `"own"` is the answer of a cluster's node. */
interface Scripted {
  readonly HELLO?: string;
  readonly INFO: string;
  readonly CLUSTER?: string;
}

/** Connects to the first of three nodes of a cluster, which answers as scripted. */
function world(answers: Scripted) {
  const net = new FakeNet();
  const cluster = new FakeCluster(net, ["a:1", "b:2", "c:3"]);
  const [node] = cluster.nodes;
  const script: FakeNode["script"] = (words, link) => {
    const answer = new Map(Object.entries(answers)).get(words[0].toUpperCase()) ?? "own";
    if (answer === "own") return undefined;
    if (answer !== "cut") return answer;
    link.cut();
    return "";
  };
  node.script = script;
  const connecting = (options: ConnectOptions = {}) =>
    follow(net, streamerOver(net, "redis://a:1", { protocol: 2, timeout: 5_000, ...options }));
  return { net, node, connecting };
}

/** A server, whether it is used as a cluster, and the number of connections until it is known. */
const SERVERS: Readonly<Record<string, readonly [answers: Scripted, isCluster: boolean, dials: number]>> = {
  "a cluster": [{ INFO: info("cluster") }, true, 1],
  "a standalone server": [{ INFO: info("standalone"), CLUSTER: DISABLED }, false, 1],
  "a cluster whose user may not run INFO": [{ INFO: NOPERM }, true, 1],
  "a standalone server whose user may not run INFO": [{ INFO: NOPERM, CLUSTER: DISABLED }, false, 1],
  "a standalone server whose user may run neither INFO nor CLUSTER": [
    { INFO: NOPERM, CLUSTER: NOPERM, HELLO: GREETING("standalone") },
    false,
    1,
  ],
  "a proxy whose user may run neither, and that does not know HELLO": [
    { INFO: NOPERM, CLUSTER: NOPERM, HELLO: NO_HELLO },
    false,
    1,
  ],
  "a proxy that knows none of the commands": [{ INFO: UNKNOWN, CLUSTER: UNKNOWN, HELLO: UNKNOWN }, false, 1],
  "a proxy whose INFO has no mode": [{ INFO: "$7\r\nproxy:1\r\n", CLUSTER: UNKNOWN }, false, 1],
  "a proxy whose INFO has no mode, and that names the nodes": [{ INFO: "$7\r\nproxy:1\r\n" }, true, 1],
  "a proxy that hides a cluster": [{ INFO: info("cluster"), CLUSTER: UNKNOWN }, false, 1],
  "a proxy that closes on INFO": [{ INFO: "cut", CLUSTER: DISABLED }, false, 3],
  "a proxy that closes on CLUSTER": [{ INFO: UNKNOWN, CLUSTER: "cut" }, false, 3],
  "a proxy that closes on all of them": [{ INFO: "cut", CLUSTER: "cut", HELLO: "cut" }, false, 5],
  "a proxy that closes on HELLO": [{ INFO: NOPERM, CLUSTER: NOPERM, HELLO: "cut" }, false, 3],
  "a proxy that answers nonsense": [{ INFO: "+OK\r\n", CLUSTER: "+OK\r\n" }, false, 3],
};

for (const [name, [answers, isCluster, dials]] of Object.entries(SERVERS)) {
  test(`with protocol 2, ${name} is used as ${isCluster ? "a cluster" : "one server"}`, async () => {
    const { net, node, connecting } = world(answers);
    const connected = connecting();
    await net.clock.pass(1);
    const streamer = connected.value;
    if (streamer === undefined) throw connected.error;
    assertEquals(streamer.stats().nodes.length, isCluster ? 3 : 1);
    assertEquals(node.host.dials, dials);
    assertEquals(net.open, 1, "connections for questions are closed");
    await close(net, streamer);
  });
}

test("a server that falls back to RESP2 is asked, too, and HELLO is not repeated", async () => {
  const { net, node, connecting } = world({ HELLO: NO_HELLO, INFO: NOPERM });
  const connected = connecting({ protocol: "auto" });
  await net.clock.pass(1);
  assertEquals(connected.value?.stats().nodes.length, 3);
  assertEquals(node.host.count("HELLO"), 1);
  if (connected.value !== undefined) await close(net, connected.value);
});

test("a server whose HELLO tells its mode is not asked", async () => {
  const { net, node, connecting } = world({ INFO: UNKNOWN });
  const connected = connecting({ protocol: "auto" });
  await net.clock.pass(1);
  assertEquals(connected.value?.stats().nodes.length, 3);
  assertEquals(node.host.count("INFO"), 0);
  if (connected.value !== undefined) await close(net, connected.value);
});

test("a connection that is lost once, by accident, does not hide a cluster", async () => {
  let isFirst = true;
  const { net, node, connecting } = world({ INFO: "own" });
  node.script = ([name], link) => {
    if (name.toUpperCase() !== "INFO") return undefined;
    if (!isFirst) return info("cluster");
    isFirst = false;
    link.cut();
    return "";
  };
  const connected = connecting();
  await net.clock.pass(1);
  assertEquals(connected.value?.stats().nodes.length, 3);
  if (connected.value !== undefined) await close(net, connected.value);
});

/** Answers after which `connect` rejects: what the error says, and its code. */
const REFUSED: Readonly<Record<string, readonly [answers: Scripted, text: string]>> = {
  "a cluster whose user may run INFO, and not CLUSTER SLOTS": [
    { INFO: info("cluster"), CLUSTER: NOPERM },
    "The user must be allowed to run CLUSTER SLOTS",
  ],
  "a cluster whose user may run neither INFO nor CLUSTER SLOTS": [
    { INFO: NOPERM, CLUSTER: NOPERM },
    "The user must be allowed to run CLUSTER SLOTS",
  ],
  "a Sentinel": [{ INFO: info("sentinel") }, "redis+sentinel://"],
  "a server that is busy": [{ INFO: "-BUSY Redis is busy running a script\r\n" }, "BUSY"],
};

for (const [name, [answers, text]] of Object.entries(REFUSED)) {
  test(`with protocol 2, ${name} is refused with a reason`, async () => {
    const { net, connecting } = world(answers);
    const { error } = await settled(net, connecting());
    assertInstanceOf(error, StreamerError);
    assertEquals(error.code, "CONNECT");
    assertStringIncludes(error.message, text);
    assertStringIncludes(error.message, "a:1");
    assertEquals([net.open, net.clock.running], [0, 0]);
  });
}

test("a server that does not answer the question is refused after the timeout", async () => {
  const { net, node, connecting } = world({ INFO: "own" });
  node.script = ([name]) => name.toUpperCase() === "INFO" ? "" : undefined;
  const connected = connecting();
  await net.clock.pass(11_000);
  assertInstanceOf(connected.error, StreamerError);
  assertEquals(connected.error.code, "TIMEOUT");
  assertEquals([net.open, net.clock.running], [0, 0]);
});

test("with wait: true a server that is busy is asked until it answers", async () => {
  const { net, node, connecting } = world({ INFO: "own" });
  let isBusy = true;
  node.script = ([name]) =>
    name.toUpperCase() !== "INFO" ? undefined : isBusy ? "-BUSY Redis is busy\r\n" : info("cluster");
  const connected = connecting({ wait: true });
  await net.clock.pass(2_000);
  assertEquals([connected.value, connected.error], [undefined, undefined]);
  isBusy = false;
  await net.clock.pass(2_000);
  assertEquals(connected.value?.stats().nodes.length, 3);
  if (connected.value !== undefined) await close(net, connected.value);
});

async function settled<T extends { error?: unknown }>(net: FakeNet, outcome: T): Promise<T> {
  await net.clock.pass(1);
  return outcome;
}
