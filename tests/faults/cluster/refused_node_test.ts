// Nodes that must not be dialled: by `allowNode`, by `mapNode`, or because they announce nothing that can be dialled.

import { assert, assertEquals, assertInstanceOf, assertStringIncludes } from "@std/assert";
import { type ConnectOptions, StreamerError } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { FakeCluster } from "../../support/cluster/fake_cluster.ts";
import { FakeNet } from "../../support/cluster/fake_net.ts";
import { close, follow, streamerOver } from "../../support/cluster/fake_streamer.ts";
import { test } from "../../support/runner.ts";

/** Why the node `b:2` is not dialled, and what the errors say. */
const REASONS: Readonly<Record<string, readonly [options: ConnectOptions, text: string]>> = {
  "allowNode returns false": [{ allowNode: (host) => host !== "b" }, "allowNode"],
  "allowNode throws": [
    {
      allowNode: (host) => {
        if (host === "b") throw new Error("no");
        return true;
      },
    },
    "allowNode",
  ],
  "mapNode throws": [
    {
      mapNode: (host) => {
        if (host === "b") throw new Error("no");
        return undefined;
      },
    },
    "mapNode",
  ],
  "mapNode gives port 0": [
    { mapNode: (host) => host === "b" ? { hostname: "b", port: 0 } : undefined },
    "mapNode",
  ],
  "allowNode refuses what mapNode gives": [
    {
      mapNode: (host) => host === "b" ? { hostname: "metadata.internal", port: 80 } : undefined,
      allowNode: (host) => host !== "metadata.internal",
    },
    "metadata.internal:80",
  ],
};

for (const [what, [options, text]] of Object.entries(REASONS)) {
  test(`what must go to a node that must not be dialled rejects at once, and all else goes on: ${what}`, async () => {
    const net = new FakeNet();
    const cluster = new FakeCluster(net, ["a:1", "b:2"]);
    const [a, b] = cluster.nodes;
    const streamer = await streamerOver(net, "redis://user:canary@a:1", { timeout: 5_000, ...options });
    const manager = await streamer.createManager();
    const producer = await streamer.createGenericProducer();
    for (let i = 0; i < 3; i++) {
      const verb = follow(net, manager.length(cluster.keyOf(b)));
      const sends = [0, 1, 2].map(() => follow(net, producer.sendTo(cluster.keyOf(b), "x")));
      const others = [manager.length(cluster.keyOf(a)), producer.sendTo(cluster.keyOf(a), "x")];
      const outcomes = others.map((other) => follow<unknown>(net, other));
      await net.clock.pass(0);
      assertEquals(outcomes.map(({ error, after }) => [error, after]), [[undefined, 0], [undefined, 0]]);
      for (const { error, after } of [verb, ...sends]) {
        assertInstanceOf(error, StreamerError);
        assertEquals([error.code, after], ["CONNECT", 0]);
        assertStringIncludes(error.message, text);
        assert(!`${error.message} ${error.stack}`.includes("canary"));
      }
      for (const { error } of sends) assert(error instanceof StreamerError && error.outcome === "not-written");
      await net.clock.pass(1_000);
    }
    assertEquals([...new Set(net.dialled)], ["a:1"]);
    await close(net, streamer);
  });

  test(`a consumer of a stream on such a node fails with CONNECT: ${what}`, async () => {
    const net = new FakeNet();
    const cluster = new FakeCluster(net, ["a:1", "b:2"]);
    const streamer = await streamerOver(net, "redis://a:1", { timeout: 5_000, ...options });
    const key = cluster.keyOf(cluster.nodes[1]);
    for (const mode of ["real-time", "group"] as const) {
      const create = async () => {
        const consumer = mode === "real-time"
          ? await streamer.createConsumer(key, { mode })
          : await streamer.createConsumer(key, { mode: "load-balanced", group: "g", autoCommit: "rolling" });
        return await consumer.next();
      };
      const outcome = follow(net, create());
      await net.clock.pass(100);
      assertInstanceOf(outcome.error, StreamerError, `${mode}: ${outcome.error}`);
      assertEquals(outcome.error.code, "CONNECT", mode);
    }
    assertEquals([...new Set(net.dialled)], ["a:1"]);
    await close(net, streamer);
  });
}

test("a redirect to a node that must not be dialled is not followed", async () => {
  for (const code of ["MOVED", "ASK"]) {
    const net = new FakeNet();
    const cluster = new FakeCluster(net, ["a:1", "b:2"]);
    const [a] = cluster.nodes;
    const streamer = await streamerOver(net, "redis://a:1", { allowNode: (host) => host !== "evil", timeout: 5_000 });
    const key = cluster.keyOf(a);
    a.script = (words) => /^X/.test(words[0]) ? `-${code} ${slotOfKey(key)} evil:6379\r\n` : undefined;
    const manager = await streamer.createManager();
    const producer = await streamer.createGenericProducer();
    const outcomes = [follow(net, manager.length(key)), follow<unknown>(net, producer.sendTo(key, "x"))];
    await net.clock.pass(0);
    for (const { error } of outcomes) {
      assertInstanceOf(error, StreamerError);
      assertEquals(error.code, "CONNECT", code);
      assertStringIncludes(error.message, "evil:6379");
    }
    assertEquals(net.dialled.includes("evil:6379"), false);
    await close(net, streamer);
  }
});

test("a node that is refused for a while is used once it is allowed", async () => {
  let isAllowed = false;
  const net = new FakeNet();
  const cluster = new FakeCluster(net, ["a:1", "b:2"]);
  const streamer = await streamerOver(net, "redis://a:1", { allowNode: (host) => host === "a" || isAllowed });
  const producer = await streamer.createProducer(cluster.keyOf(cluster.nodes[1]));
  const refused = follow(net, producer.send("x"));
  await net.clock.pass(0);
  assert(refused.error instanceof StreamerError && refused.error.code === "CONNECT");
  isAllowed = true;
  const sent = follow(net, producer.send("y"));
  await net.clock.pass(0);
  assertEquals(sent.value?.id.toString(), "1-0");
  await close(net, streamer);
});

test("if even the seed's own node is refused, connect resolves, and everything rejects with CONNECT", async () => {
  const net = new FakeNet();
  const cluster = new FakeCluster(net, ["a:1", "b:2"]);
  net.add("entry:9", cluster.nodes[0].host.handler);
  const streamer = await streamerOver(net, "redis://entry:9", { allowNode: (host) => host === "entry" });
  const manager = await streamer.createManager();
  const verb = follow(net, manager.length("k"));
  await net.clock.pass(0);
  assert(verb.error instanceof StreamerError && verb.error.code === "CONNECT");
  assertEquals([...new Set(net.dialled)], ["entry:9"]);
  await close(net, streamer);
});
