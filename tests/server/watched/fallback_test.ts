// Tests shards in many slots where the server does not push changes: a connection for each of 16 slots, and polling for the others.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import type { ConnectOptions, RedisStreamer } from "../../../mod.ts";
import { eventsOf } from "../../support/consumer/grouping.ts";
import { Monitor, take } from "../../support/consumer/reading.ts";
import { callsOf, callsSince, connectAs, flagsOf, ManyShards, sharedNode } from "../../support/consumer/watching.ts";
import { until } from "../../support/events.ts";
import { Got } from "../../support/routing/got.ts";
import { test } from "../../support/runner.ts";

const server = await sharedNode();
await server.command("ACL", "SETUSER", "untracked", "on", ">secret", "~*", "&*", "+@all", "-client|tracking");
await server.command("ACL", "SETUSER", "uncounted", "on", ">secret", "~*", "&*", "+@all", "-xlen");
const as = (user: string) => server.url.replace("redis://", `redis://${user}:secret@`);

/** What keeps the server from pushing, and the reason that is reported. */
const REASONS: Readonly<
  Record<string, { readonly url: string; readonly options: ConnectOptions; readonly cause: RegExp }>
> = {
  "the user may not run CLIENT TRACKING": { url: as("untracked"), options: {}, cause: /NOPERM/ },
  "no CLIENT command may be sent": { url: server.url, options: { clientInfo: false }, cause: /clientInfo/ },
  "the protocol is RESP2": { url: server.url, options: { protocol: 2, cluster: true }, cause: /RESP3/ },
};

const earliest = { mode: "real-time", autoStreamReset: "earliest", shardDiscoveryInterval: null } as const;
const resumable = {
  mode: "resumable",
  group: "g",
  autoStreamReset: "earliest",
  autoCommit: "rolling",
  autoCommitInterval: 20,
  shardDiscoveryInterval: null,
} as const;

/** Reads all of a stream, with a group or without, and acknowledges. */
async function reading(streamer: RedisStreamer, stream: ManyShards, inGroup: boolean): Promise<Got> {
  const got = new Got();
  if (!inGroup) got.take(await streamer.createConsumer(stream.streamKey, earliest));
  else {
    const consumer = await streamer.createConsumer(stream.streamKey, resumable);
    got.take(consumer, (message) => consumer.ack(message));
  }
  return got;
}

for (const [reason, { url, options, cause }] of Object.entries(REASONS)) {
  for (const inGroup of [false, true]) {
    test(`if ${reason}, 20 shards are read over 17 connections (${inGroup ? "a group" : "real time"})`, async () => {
      const stream = new ManyShards(server, 20);
      await stream.add(2);
      await using streamer = await connectAs(stream.streamKey, url, options);
      const events = eventsOf(streamer, "tracking-unavailable");
      const got = await reading(streamer, stream, inGroup);
      await got.until(stream.count);
      const name = options.clientInfo === false ? "" : stream.streamKey;
      const isBlocked = (flags: string) => flags.includes("b");
      await until(async () => (await flagsOf(server, name)).filter(isBlocked).length === 16);
      const connections = (await flagsOf(server, name)).length - (name === "" ? 1 : 0); // the question has no name, either
      assertEquals(connections, 18, "one polls, and one runs commands");
      for (let shard = 0; shard < 20; shard++) {
        await stream.add(1, [shard]);
        await got.until(stream.count);
      }
      await stream.addVeryMany(500);
      await got.until(stream.count);
      assertEquals(got.payloads, stream.payloads);
      assertEquals(events.length, 1);
      assert(cause.test(String(events[0].cause)), `${events[0].cause}`);
      if (inGroup) await until(async () => await stream.pending("g") === 0);
    });
  }
}

test("a node is reported once for all consumers of a streamer", async () => {
  const stream = new ManyShards(server, 3);
  await stream.add(1);
  await using streamer = await connectAs(stream.streamKey, as("untracked"));
  const events = eventsOf(streamer, "tracking-unavailable");
  for (const inGroup of [false, true, false]) await (await reading(streamer, stream, inGroup)).until(stream.count);
  assertEquals(events.map(({ node }) => node), [`127.0.0.1:${server.port}`]);
});

test("shards that cannot be armed are read without watching, too", async () => {
  const stream = new ManyShards(server, 5);
  await stream.add(1);
  await using streamer = await connectAs(stream.streamKey, as("uncounted"));
  const events = eventsOf(streamer, "tracking-unavailable");
  const got = await reading(streamer, stream, true);
  await got.until(stream.count);
  await stream.add(2);
  await got.until(stream.count);
  assertEquals([got.payloads, events.length], [stream.payloads, 1]);
  assert(/NOPERM/.test(String(events[0].cause)));
});

test("idle shards are polled ten times a second, and at once after an entry more often", async () => {
  const stream = new ManyShards(server, 18);
  await stream.add(1);
  await using streamer = await connectAs(stream.streamKey, as("untracked"));
  const got = await reading(streamer, stream, false);
  await got.until(stream.count);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const before = await callsOf(server);
  const begun = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const rounds = ((await callsSince(server, before)).get("xread") ?? 0) / 2; // two shards are polled
  assertLessOrEqual(rounds, (performance.now() - begun) / 100 + 2);
  assert(rounds >= 4, `${rounds}`);
});

test("a slot that was polled gets the connection of one that is unassigned", async () => {
  const stream = new ManyShards(server, 18);
  await stream.add(1);
  await using streamer = await connectAs(stream.streamKey, as("untracked"));
  const consumer = await streamer.createConsumer(stream.streamKey, earliest);
  await take(consumer, 18);
  for (const shard of [0, 1]) await consumer.unassign(stream.streamKey, shard);
  await using monitor = await Monitor.open(server);
  await until(async () =>
    (await flagsOf(server, stream.streamKey)).filter((flags) => flags.includes("b")).length === 16
  );
  await until(async () => (await flagsOf(server, stream.streamKey)).length === 17);
  await stream.add(1);
  assertEquals(new Set((await take(consumer, 16)).map(({ shardId }) => shardId)).size, 16);
  await monitor.settled(server);
  const polls = monitor.commands.filter((words) => words[0] === "XREAD" && !words.includes("BLOCK"));
  assertEquals(polls, []);
});

test("seek and rewind go to the same place in each shard that is polled or not", async () => {
  const stream = new ManyShards(server, 20);
  await stream.add(5);
  await using streamer = await connectAs(stream.streamKey, as("untracked"));
  const consumer = await streamer.createConsumer(stream.streamKey, earliest);
  const takeAll = async (count: number) => {
    const got = new Got();
    for (const message of await take(consumer, count)) got.add(message);
    return got.payloads;
  };
  assertEquals(await takeAll(100), stream.payloads);
  await consumer.rewind("beginning");
  assertEquals(await takeAll(100), stream.payloads);
  await consumer.rewind("end");
  await stream.add(1);
  assertEquals(await takeAll(20), stream.payloads.map((payloads) => payloads.slice(5)));
});
