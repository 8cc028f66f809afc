// Redirects that no server gives: nobody follows them, no password goes anywhere, and everything else goes on.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { RedisError, StreamerError } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { FakeCluster } from "../../support/cluster/fake_cluster.ts";
import { FakeNet } from "../../support/cluster/fake_net.ts";
import { close, follow, streamerOver } from "../../support/cluster/fake_streamer.ts";
import { keysOf } from "../../support/routing/command_keys.ts";
import { test } from "../../support/runner.ts";

const TIMEOUT = 3_000;

/** The rest of a redirect after its code, for a slot. */
const MALFORMED: Readonly<Record<string, (slot: number) => string>> = {
  "slot 16,384": () => "16384 evil:1",
  "slot 99,999,999,999": () => "99999999999 evil:1",
  "a negative slot": (slot) => `-${slot} evil:1`,
  "another slot": (slot) => `${(slot + 1) % 16_384} evil:1`,
  "no slot": () => "evil:1",
  "port 0": (slot) => `${slot} evil:0`,
  "port 65,536": (slot) => `${slot} evil:65536`,
  "a signed port": (slot) => `${slot} evil:+1`,
  "a port of 400 digits": (slot) => `${slot} evil:${"1".repeat(400)}`,
  "no port": (slot) => `${slot} evil`,
  "spaces in the host": (slot) => `${slot} evil host:1`,
  "two spaces": (slot) => `${slot}  evil:1`,
  "text after it": (slot) => `${slot} evil:1 and more`,
  "a url": (slot) => `${slot} redis://evil:1`,
  "a password": (slot) => `${slot} user:secret@evil:1`,
  "brackets": (slot) => `${slot} [::1]:1`,
  "a tab": (slot) => `${slot}\tevil:1`,
  "a null byte": (slot) => `${slot} ev\0il:1`,
  "a host of 256 characters": (slot) => `${slot} ${"x".repeat(256)}:1`,
  "other characters": (slot) => `${slot} évil:1`,
  "nothing": () => "",
};

for (const code of ["MOVED", "ASK"] as const) {
  for (const [what, rest] of Object.entries(MALFORMED)) {
    test(`${code} with ${what} leads nowhere, and other slots go on`, async () => {
      const net = new FakeNet();
      const cluster = new FakeCluster(net, ["a:1", "b:1"]);
      const [a, b] = cluster.nodes;
      const evil = new FakeCluster(net, ["evil:1"], { firstId: 90 }).nodes[0];
      const options = { timeout: TIMEOUT, username: "user", password: "canary" };
      const streamer = await streamerOver(net, cluster.urls, options);
      a.script = (words) => {
        if (!/^X/.test(words[0])) return undefined;
        const slot = slotOfKey(keysOf(words)[0]);
        return `-${code} ${rest(slot)}`.trimEnd() + "\r\n";
      };
      const manager = await streamer.createManager();
      const producer = await streamer.createGenericProducer({ sendTimeout: TIMEOUT });
      const verb = follow(net, manager.length(cluster.keyOf(a)));
      const send = follow(net, producer.sendTo(cluster.keyOf(a), "x"));
      for (let i = 0; i < 30; i++) {
        const others = [manager.length(cluster.keyOf(b)), producer.sendTo(cluster.keyOf(b), `${i}`)];
        const outcomes = others.map((other) => follow<unknown>(net, other));
        await net.clock.pass(100);
        assertEquals(outcomes.map(({ after }) => after), [0, 0]);
      }
      await net.clock.pass(0);
      assertInstanceOf(verb.error, RedisError);
      assertEquals([verb.error.code, verb.after], [code, TIMEOUT]);
      assertInstanceOf(send.error, StreamerError);
      assertEquals([send.error.outcome, send.after], ["not-written", TIMEOUT]);
      assertEquals([evil.host.dials, [...new Set(net.dialled)].sort()], [0, ["a:1", "b:1"]]);
      assert(a.keyed < 150, `${a.keyed} commands`);
      const shown = [verb.error, send.error].map((error) => `${error.message} ${error.stack}`).join();
      assert(!shown.includes("canary"));
      await close(net, streamer);
    });
  }

  /** Well-formed redirects that look odd. */
  const odd: Readonly<Record<string, readonly [host: string, dialled: string]>> = {
    "an IPv6 address": ["fe80::1:2", "[fe80::1:2]:7000"],
    "an IPv6 address with a zone": ["fe80::1%eth0", "[fe80::1%eth0]:7000"],
    "an empty host": ["", "a:7000"],
    "?": ["?", "a:7000"],
    "a name with an underscore": ["redis_node.example", "redis_node.example:7000"],
  };
  for (const [what, [host, dialled]] of Object.entries(odd)) {
    test(`${code} with ${what} leads to ${dialled}`, async () => {
      const net = new FakeNet();
      const cluster = new FakeCluster(net, ["a:1", "b:1"]);
      const [a] = cluster.nodes;
      const target = net.add(dialled, a.host.handler);
      const streamer = await streamerOver(net, cluster.urls, { timeout: TIMEOUT });
      const key = cluster.keyOf(a);
      a.script = (words, link) =>
        words[0] === "XLEN" && link.host === a.host ? `-${code} ${slotOfKey(key)} ${host}:7000\r\n` : undefined;
      const manager = await streamer.createManager();
      const verb = follow(net, manager.length(key));
      await net.clock.pass(0);
      assertEquals([verb.value, target.dials, target.count("XLEN", key.toUpperCase())], [0, 1, 1]);
      assertEquals(target.count("ASKING"), code === "ASK" ? 1 : 0);
      await close(net, streamer);
    });
  }
}
