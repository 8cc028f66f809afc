// Tests when long retries are reported, and how often.

import { assert, assertEquals } from "@std/assert";
import { UNREPORTED, WaitingWatch } from "../../../resp/connection/retry/waiting.ts";
import { test } from "../../support/runner.ts";
import { FakeClock } from "./fakes.ts";

function watched() {
  const clock = new FakeClock();
  const told: string[] = [];
  const sinces: Date[] = [];
  const place = (streamKey: string | undefined) => streamKey === undefined ? "" : ` ${streamKey}`;
  const watch = new WaitingWatch("host:1", clock, {
    waiting({ node, streamKey, cause, since }) {
      told.push(`waiting ${node}${place(streamKey)}: ${cause}`);
      sinces.push(since);
    },
    resumed: ({ node, streamKey }) => void told.push(`resumed ${node}${place(streamKey)}`),
  });
  return { clock, told, sinces, watch };
}

test("a retry that ends within two seconds is never reported, and leaves no timer", async () => {
  const { clock, told, watch } = watched();
  for (let i = 0; i < 100; i++) {
    const wait = watch.begin("no");
    await clock.pass(UNREPORTED - 1);
    wait.over();
    wait.over();
  }
  assertEquals([told, clock.running], [[], 0]);
});

test("a longer retry is reported once, with its last cause, and once when it is over", async () => {
  const { clock, told, sinces, watch } = watched();
  const before = Date.now();
  const wait = watch.begin("LOADING");
  await clock.pass(1_000);
  wait.refused("READONLY");
  await clock.pass(60_000);
  assertEquals(told, ["waiting host:1: READONLY"]);
  assert(Math.abs(sinces[0].getTime() - (before - UNREPORTED)) < 10_000, String(sinces[0]));
  wait.over();
  assertEquals([told.slice(1), clock.running], [["resumed host:1"], 0]);
});

test("a thousand commands of a node are one pair, which ends with the last of them", async () => {
  const { clock, told, watch } = watched();
  const waits = Array.from({ length: 1_000 }, (_, i) => watch.begin(`cause ${i}`));
  await clock.pass(UNREPORTED);
  const later = watch.begin("later");
  await clock.pass(UNREPORTED);
  for (const wait of waits) wait.over();
  assertEquals(told, ["waiting host:1: cause 999"]);
  later.over();
  assertEquals(told, ["waiting host:1: cause 999", "resumed host:1"]);
});

test("several short retries in sequence are not a long one", async () => {
  const { clock, told, watch } = watched();
  let wait = watch.begin("no");
  for (let i = 0; i < 10; i++) {
    await clock.pass(1_500);
    const next = watch.begin("no");
    wait.over();
    wait = next;
  }
  assertEquals(told, []);
  await clock.pass(UNREPORTED);
  assertEquals(told.length, 1);
});

test("streams are reported separately, beside the node", async () => {
  const { clock, told, watch } = watched();
  const waits = [watch.begin("a"), watch.begin("b", "orders"), watch.begin("c", "orders"), watch.begin("d", "trades")];
  await clock.pass(UNREPORTED);
  assertEquals(told, ["waiting host:1: a", "waiting host:1 orders: c", "waiting host:1 trades: d"]);
  told.length = 0;
  for (const wait of waits) wait.over();
  assertEquals(told, ["resumed host:1", "resumed host:1 orders", "resumed host:1 trades"]);
});

test("closing ends reported retries, and forgets others", async () => {
  const { clock, told, watch } = watched();
  const wait = watch.begin("a", "orders");
  await clock.pass(UNREPORTED);
  watch.begin("b");
  watch.close();
  watch.close();
  wait.over();
  await clock.pass(UNREPORTED);
  assertEquals([told, clock.running], [["waiting host:1 orders: a", "resumed host:1 orders"], 0]);
});

test("both events of a pair have the address that the node had when the wait began", async () => {
  const clock = new FakeClock();
  const told: string[] = [];
  let node = "a:1";
  const watch = new WaitingWatch(() => node, clock, {
    waiting: (detail) => told.push(`waiting ${detail.node}`),
    resumed: (detail) => told.push(`resumed ${detail.node}`),
  });
  const wait = watch.begin("no");
  node = "b:2";
  await clock.pass(UNREPORTED);
  wait.over();
  assertEquals(told, ["waiting a:1", "resumed a:1"]);
});
