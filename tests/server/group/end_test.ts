// Tests the end of a group consumer: what it commits, what stays pending, and that it is fast. Also the default names.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { spawn } from "node:child_process";
import { execPath } from "node:process";
import { fileURLToPath } from "node:url";
import { connect, StreamerError } from "../../../mod.ts";
import { blockedClient, clientsNamed, take, takeTexts, texts } from "../../support/consumer/reading.ts";
import { groupOf, pendingIds } from "../../support/consumer/grouping.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { COUNTED, PROXIED } from "../../support/one_server.ts";
import { runtime, test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const rolling = { mode: "resumable", group, consumerId: "me", autoCommit: "rolling" } as const;

test("the end commits acks, leaves the rest pending, and rejects waiting calls", async () => {
  const { key, ids } = await groupOf(server, group, 4);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...rolling, autoCommitInterval: 3_600_000 });
  const messages = await take(consumer, 4);
  for (const i of [1, 3]) consumer.ack(messages[i]);
  const waiting = [consumer.next(), consumer.next()];
  const rejected = Promise.all(waiting.map((one) => assertRejects(() => one, StreamerError)));
  await consumer.end();
  assertEquals((await rejected).map(({ code }) => code), ["CONSUMER_ENDED", "CONSUMER_ENDED"]);
  assertEquals(await pendingIds(server, key, group), [ids[0], ids[2]]);
  assertEquals((await assertRejects(() => consumer.next(), StreamerError)).code, "CONSUMER_ENDED");
  assertEquals(streamer.stats().consumers, 0);
});

test("ending twice, at the same time or later, is harmless", async () => {
  const { key } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, rolling);
  consumer.ack(await consumer.next());
  await Promise.all([consumer.end(), consumer.end()]);
  await consumer.end();
  await consumer[Symbol.asyncDispose]();
  assertEquals(await pendingIds(server, key, group), []);
});

test("an end during a blocked read takes no time, and entries added then go to others", async () => {
  const { key } = await groupOf(server, group, 0);
  const clientName = uniqueKey("client");
  await using streamer = await connect(server.url, { clientName });
  for (let round = 0; round < 20; round++) {
    const consumer = await streamer.createConsumer(key, rolling);
    const waiting = assertRejects(() => consumer.next());
    await blockedClient(server, clientName);
    await consumer.end();
    await server.command("XADD", key, "*", "msg", `${round}`);
    assertEquals(await pendingIds(server, key, group), [], "nothing is delivered to a closed connection");
    await waiting;
    await server.command("XGROUP", "SETID", key, group, "$");
  }
  await until(async () => (await clientsNamed(server, clientName)).length === 1, {
    what: "only the streamer's is left",
  });
}, { oneServer: COUNTED });

test("loops and batches finish quietly at the end, and so does the web stream", async () => {
  const { key } = await groupOf(server, group, 3);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, rolling);
  const seen: string[] = [];
  const loops = [
    (async () => {
      for await (const message of consumer) seen.push(message.text());
    })(),
    (async () => {
      for await (const batch of consumer.batches()) seen.push(...batch.map((message) => message.text()));
    })(),
    (async () => {
      for await (const message of consumer.readable) seen.push(message.text());
    })(),
  ];
  await until(() => seen.length === 3);
  await consumer.end();
  await Promise.all(loops);
  assertEquals(seen.sort(), texts(3));
});

test("an end that cannot commit in time rejects with TIMEOUT, and the acked messages stay pending", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 5, maxDelay: 5 } });
  const consumer = await streamer.createConsumer(key, { ...rolling, autoCommitInterval: 3_600_000 });
  consumer.ack(await consumer.next());
  proxy.refuse();
  await proxy.cut();
  const error = await assertRejects(() => consumer.end({ timeout: 20 }), StreamerError);
  assertEquals(error.code, "TIMEOUT");
  await consumer.end();
  assertEquals(await pendingIds(server, key, group), ids);
  assertEquals(streamer.stats().consumers, 0);
  await streamer.disconnect({ timeout: 1 });
}, { oneServer: PROXIED });

test("a signal ends the wait for an end with its reason", async () => {
  const { key } = await groupOf(server, group, 1);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 5, maxDelay: 5 } });
  const consumer = await streamer.createConsumer(key, { ...rolling, autoCommitInterval: 3_600_000 });
  consumer.ack(await consumer.next());
  proxy.refuse();
  await proxy.cut();
  const controller = new AbortController();
  const reason = new Error("no longer");
  const end = consumer.end({ signal: controller.signal });
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => end), reason);
  await streamer.disconnect({ timeout: 1 });
}, { oneServer: PROXIED });

test("disconnect commits and ends every consumer", async () => {
  const [one, two] = [await groupOf(server, group, 2), await groupOf(server, group, 3)];
  const streamer = await connect(server.url);
  const acking = await streamer.createConsumer(one.key, { ...rolling, autoCommitInterval: 3_600_000 });
  const delayed = await streamer.createConsumer(two.key, { mode: "load-balanced", group });
  acking.ack((await take(acking, 2))[1]);
  await takeTexts(delayed, 2);
  await streamer.disconnect();
  assertEquals(await pendingIds(server, one.key, group), [one.ids[0]]);
  assert(!(await pendingIds(server, two.key, group)).some((id) => two.ids.slice(0, 2).includes(id)));
  for (const consumer of [acking, delayed]) {
    assertEquals((await assertRejects(() => consumer.next(), StreamerError)).code, "CONSUMER_ENDED");
  }
});

test("a consumer that is used in a scope is ended with it", async () => {
  const { key } = await groupOf(server, group, 2);
  await using streamer = await connect(server.url);
  {
    await using consumer = await streamer.createConsumer(key, { ...rolling, autoCommitInterval: 3_600_000 });
    for (const message of await take(consumer, 2)) consumer.ack(message);
  }
  assertEquals([await pendingIds(server, key, group), streamer.stats().consumers], [[], 0]);
});

/** Runs a program, with these flags on the runtime that has them. Returns its output and its exit code. */
async function run(flags: readonly string[], words: readonly string[], env: Record<string, string> = {}) {
  const program = fileURLToPath(new URL("../../support/programs/group_end_child.ts", import.meta.url));
  const before = {
    deno: ["run", ...flags, "--no-check"],
    bun: ["run"],
    node: ["--disable-warning=ExperimentalWarning"],
  };
  const child = spawn(execPath, [...before[runtime], program, ...words], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: "/usr/bin", HOME: "/root", ...env },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Uint8Array) => output += new TextDecoder().decode(chunk));
  }
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { output, code };
}

test("a program whose consumer was ended exits by itself, with its acks committed", async () => {
  const { key } = await groupOf(server, group, 3);
  const { output, code } = await run(["-A"], ["read", server.url, key, group]);
  assertEquals([output, code], ["0\n1\n2\nend\n", 0]);
  assertEquals(await pendingIds(server, key, group), []);
});

test("HOST_ID gives the default names; two load-balanced consumers share the group and differ in name", async () => {
  const key = uniqueKey();
  const { output, code } = await run(["-A"], ["names", server.url, key], { HOST_ID: "somewhere" });
  assertEquals(code, 0, output);
  const [resumable, first, second] = output.trim().split("\n").map((line) => line.split(" "));
  assertEquals(resumable, ["somewhere:r", "somewhere:r"]);
  assertEquals([first[0], second[0]], ["somewhere:s", "somewhere:s"]);
  assert(first[1] !== second[1]);
  for (const [, name] of [first, second]) assert(/^somewhere:\d+:.+/.test(name), name);
});

test("without permissions nothing prompts: default names are refused, given ones work", async () => {
  const { key } = await groupOf(server, group, 1);
  const { output, code } = await run(["--allow-net"], ["bare", server.url, key, group]);
  assertEquals([output, code], ["INVALID_OPTION true\n0\nend\n", 0]);
}, { ignore: runtime !== "deno" });
