// Tests that the Sentinels of the tests know the primary, promote the replica when it is killed, and leave nothing.

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { test } from "../runner.ts";
import { certificates } from "../network/tls.ts";
import { startSentinels } from "./sentinel.ts";
import { canStartServers } from "./server.ts";

const ignore = !(await canStartServers());

test("three Sentinels promote the replica of a primary that was killed, which returns as a replica", async () => {
  await using set = await startSentinels();
  const { primary, replica } = set;
  assertMatch(set.url, /^redis\+sentinel:\/\/127\.0\.0\.1:\d+,127\.0\.0\.1:\d+,127\.0\.0\.1:\d+\/mymaster$/);
  for (const sentinel of set.sentinels) assertEquals(await set.named(sentinel), primary);
  await primary.command("SET", "k", "v");
  await set.inStep();
  await set.killPrimary();
  assertEquals(await set.untilSwitched(), replica);
  assertEquals([set.primary, set.replica], [replica, primary]);
  assertEquals(await replica.command("GET", "k"), "v");
  await primary.restart();
  await set.untilReplica();
  assertEquals(await primary.command("GET", "k"), "v");
}, { ignore });

test("Sentinels with a password of their own watch servers with another, and fail over by request", async () => {
  await using set = await startSentinels({ name: "orders", password: "for-data", sentinelPassword: "for-sentinel" });
  const [sentinel] = set.sentinels;
  assertMatch(set.url, /:for-data@.*\/orders$/);
  assertEquals(sentinel.address.password, "for-sentinel");
  await assertRejects(() => sentinel.command("SENTINEL", "REPLICAS", "other"), Error, "No such master");
  const { replica } = set;
  assertEquals(await set.failOver(), replica);
  await set.untilReplica();
}, { ignore });

test("a primary that is suspended is replaced, and demoted when it is continued", async () => {
  await using set = await startSentinels();
  const { primary, replica } = set;
  await primary.kill("SIGSTOP");
  assertEquals(await set.untilSwitched(), replica);
  await primary.kill("SIGCONT");
  await set.untilReplica();
}, { ignore });

test("Sentinels and servers speak TLS alone", async () => {
  const { ca, server } = await certificates();
  await using set = await startSentinels({ tls: { ca, ...server } });
  assertMatch(set.url, /^rediss\+sentinel:/);
  const { replica } = set;
  await set.killPrimary();
  assertEquals(await set.untilSwitched(), replica);
}, { ignore });

test("what is stopped does not answer any more, and may be stopped again", async () => {
  const set = await startSentinels({ sentinels: 1 });
  await set.stop();
  for (const server of [...set.servers, ...set.sentinels]) await assertRejects(() => server.command("PING"));
  assertEquals(await set.named(), undefined);
  await set.stop();
}, { ignore });
