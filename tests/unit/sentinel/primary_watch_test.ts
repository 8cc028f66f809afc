// Owns the proof of how often a watch asks the Sentinels and the primary, and of what a changed role means.

import { assertEquals } from "@std/assert";
import type { OpenConnection } from "../../../resp/connection/node.ts";
import { PrimaryWatch } from "../../../streamer/cluster/sentinel/primary_watch.ts";
import { fakeNode } from "../connection/fake_node.ts";
import { settle } from "../connection/fakes.ts";
import { test } from "../../support/runner.ts";

async function world() {
  const { clock, node, wires, greet } = fakeNode();
  const opening = node.open({ signal: new AbortController().signal });
  await greet();
  const state = { open: (await opening) as OpenConnection | undefined, isAnnounced: false, looks: 0 };
  const [wire] = wires;
  const left: unknown[] = [];
  node.demotions.watch(({ cause, atOnce }) => left.push([String(cause), atOnce]));
  const watch = new PrimaryWatch({
    clock,
    locate: () => {
      state.looks++;
      return Promise.reject(new Error("no Sentinel answers"));
    },
    isAnnounced: () => state.isAnnounced,
    connection: () => state.open,
  });
  const roles = () => wire.written.split("ROLE").length - 1;
  return { clock, wire, state, left, watch, roles };
}

test("a Sentinel is asked every two seconds, or every ten if one announces changes", async () => {
  const { clock, state, watch } = await world();
  state.open = undefined;
  await clock.pass(60_000);
  assertEquals(state.looks, 30);
  state.isAnnounced = true;
  await clock.pass(60_000);
  assertEquals(state.looks, 36);
  await watch.look();
  assertEquals(state.looks, 37);
  watch.close();
  await settle();
  assertEquals(clock.running, 0);
});

test("the primary is asked for its role every ten seconds, and closed at once if it is none", async () => {
  const { clock, wire, left, watch, roles } = await world();
  for (let times = 1; times <= 3; times++) {
    await clock.pass(10_000);
    assertEquals(roles(), times);
    wire.say("*3\r\n$6\r\nmaster\r\n:1\r\n*0\r\n");
  }
  assertEquals(left, []);
  await clock.pass(10_000);
  wire.say("*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:5\r\n");
  await settle();
  assertEquals(left, [["StreamerError: The server is no longer the primary", true]]);
  watch.close();
  watch.close();
});

test("where ROLE is forbidden, HELLO says whether it is a primary", async () => {
  const { clock, wire, left, watch } = await world();
  for (const [role, replaced] of [["master", 0], ["replica", 1]] as const) {
    await clock.pass(10_000);
    wire.say("-NOPERM this user has no permissions to run the 'role' command\r\n");
    await settle();
    wire.say(`%1\r\n$4\r\nrole\r\n$${role.length}\r\n${role}\r\n`);
    await settle();
    assertEquals(left.length, replaced);
  }
  watch.close();
});

test("a primary that does not answer is left to the connection, and the Sentinels are asked all the same", async () => {
  const { clock, wire, state, left, watch, roles } = await world();
  await clock.pass(10_000);
  assertEquals(roles(), 1);
  wire.end();
  await settle();
  const { looks } = state;
  await clock.pass(4_000);
  assertEquals([left, state.looks - looks], [[], 2]);
  watch.close();
});
