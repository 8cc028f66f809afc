// Tests claims of entries that are no longer in their stream: pending ones are reported as gaps, acknowledged ones are
// not. Also the number of commands for that.

import { assert, assertEquals, assertLess } from "@std/assert";
import { connect, type ConnectOptions, type RedisStreamer, StreamerError } from "../../../mod.ts";
import type { Command } from "../../../resp/connection/command.ts";
import { systemClock } from "../../../resp/connection/clock.ts";
import { GroupShard } from "../../../streamer/consumer/shards/group_shard.ts";
import { PendingEntries } from "../../../streamer/consumer/pending/pending_entries.ts";
import { Ownership } from "../../../streamer/consumer/lifecycle/ownership.ts";
import { type Claimed, PendingClaims } from "../../../streamer/consumer/lifecycle/pending_claims.ts";
import { plainShard } from "../../../streamer/consumer/shards/shard.ts";
import { routerFor } from "../../../streamer/streamer.ts";
import { connectEagerly, countPending } from "../../support/consumer/group_faults.ts";
import { eventsOf, groupOf, leftBy, pendingRows } from "../../support/consumer/grouping.ts";
import { Monitor, take } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const member = { group, consumer: "me" };
const claiming = {
  mode: "load-balanced",
  group,
  consumerId: "me",
  autoCommit: "disabled",
  autoClaimInterval: 20,
  autoClaimIdle: 10_000,
} as const;

/** A streamer whose user may or may not use scripts. */
async function connectAs(scripts: boolean, options: ConnectOptions = {}): Promise<RedisStreamer> {
  if (scripts) return await connect(server.url, options);
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", "-eval");
  return await connect(server.url.replace("redis://", `redis://${user}:pw@`), options);
}

/**
 * Lists, calls `meanwhile`, and claims. With `lose`, the first reply to a command that must not be sent twice is lost.
 */
async function claimAfter(
  streamer: RedisStreamer,
  key: string,
  meanwhile: () => Promise<unknown>,
  { lose = false } = {},
): Promise<Claimed> {
  const lane = routerFor(streamer);
  const run = async <T>(command: Command<T>, options: { readonly signal: AbortSignal }): Promise<T> => {
    const answer = await lane.run(command, options);
    if (!lose || command.repeatable || command.args[1] === undefined) return answer;
    if (/XCLAIM/.test(`${command.args[0]} ${command.args[1]}`)) {
      lose = false;
      throw new StreamerError("DISCONNECTED", "The answer was lost");
    }
    return answer;
  };
  const reconnect = { initialDelay: 1, maxDelay: 10, maxAttempts: 5 };
  const server = { clock: systemClock, reconnect, run };
  const pendingEntries = new PendingEntries({ byTime: false });
  const claims = new PendingClaims({ server, member, pendingEntries, signal: new AbortController().signal });
  const shard = new GroupShard(plainShard(key));
  const { rows, isTrimmed } = await claims.list(shard, { consumer: "dead", idle: 1_000, start: "0-0", count: 100 });
  assertEquals(rows.filter(isTrimmed), []);
  await meanwhile();
  return await claims.claim(shard, { from: "dead", rows, minIdle: 1_000 });
}

/** Redelivers an entry after `meanwhile` has run: without scripts right after the check of its owner. */
async function redeliveredAfter(
  streamer: RedisStreamer,
  { redisKey, id, scripts }: { readonly redisKey: string; readonly id: string; readonly scripts: boolean },
  meanwhile: () => Promise<unknown>,
): Promise<"nothing" | "gone" | "entry"> {
  const lane = routerFor(streamer);
  let happened = false;
  const run = async <T>(command: Command<T>, options: { readonly signal: AbortSignal }): Promise<T> => {
    const answer = await lane.run(command, options);
    if (happened || command.args[0] !== "XPENDING") return answer;
    happened = true;
    await meanwhile();
    return answer;
  };
  if (scripts) await meanwhile();
  const server = { clock: systemClock, reconnect: { initialDelay: 1, maxDelay: 10, maxAttempts: 5 }, run };
  const ownership = new Ownership({ server, member, signal: new AbortController().signal });
  const page = await ownership.redeliver({ redisKey, id, deliveries: 2 });
  assertEquals(happened, !scripts);
  if (page === undefined) return "nothing";
  return page.entries.length === 0 ? "gone" : "entry";
}

for (const scripts of [true, false]) {
  const how = scripts ? "by script" : "where scripts are forbidden";

  test(`an entry that its holder acknowledged, and that was deleted, before the claim is not a gap (${how})`, async () => {
    const { key, ids } = await groupOf(server, group, 5);
    await leftBy(server, { key, group, consumer: "dead" });
    await using streamer = await connectAs(scripts);
    const { ids: claimed, gone } = await claimAfter(streamer, key, async () => {
      await server.command("XACK", key, group, ids[1], ids[3]);
      await server.command("XDEL", key, ids[1], ids[3]);
    });
    assertEquals([claimed, gone], [[ids[0], ids[2], ids[4]], []]);
  });

  test(`an unacknowledged entry that was deleted before the claim is a gap (${how})`, async () => {
    const { key, ids } = await groupOf(server, group, 5);
    await leftBy(server, { key, group, consumer: "dead" });
    await using streamer = await connectAs(scripts);
    const meanwhile = () => server.command("XDEL", key, ids[1], ids[3]);
    const { ids: claimed, gone } = await claimAfter(streamer, key, meanwhile);
    assertEquals([claimed, gone], [[ids[0], ids[2], ids[4]], [ids[1], ids[3]]]);
  });

  test(`an entry that another consumer has claimed meanwhile stays with that consumer (${how})`, async () => {
    const { key, ids } = await groupOf(server, group, 3);
    await leftBy(server, { key, group, consumer: "dead" });
    await using streamer = await connectAs(scripts);
    const meanwhile = () => server.command("XCLAIM", key, group, "other", 0, ids[1]);
    const { ids: claimed, gone } = await claimAfter(streamer, key, meanwhile);
    assertEquals([claimed, gone], [[ids[0], ids[2]], []]);
    assertEquals((await pendingRows(server, key, group)).map(({ consumer }) => consumer), ["me", "other", "me"]);
  });

  test(`a claim whose reply is lost delivers its entries, counted once, and reports every gap (${how})`, async () => {
    const { key, ids } = await groupOf(server, group, 4);
    await leftBy(server, { key, group, consumer: "dead" });
    await using streamer = await connectAs(scripts);
    const meanwhile = () => server.command("XDEL", key, ids[2]);
    const { ids: claimed, gone, found } = await claimAfter(streamer, key, meanwhile, { lose: true });
    assertEquals([claimed, gone], [[ids[0], ids[1], ids[3]], [ids[2]]]);
    assertEquals(found.flatMap(({ deliveries }) => deliveries), [2, 2, 2]);
  });

  test(`an entry that waits for redelivery and is acknowledged and deleted elsewhere is not a gap (${how})`, async () => {
    const { key, ids } = await groupOf(server, group, 3);
    await leftBy(server, { key, group, consumer: "me" });
    await using streamer = await connectAs(scripts);
    const deliver = (id: string, ...meanwhile: readonly string[][]) =>
      redeliveredAfter(streamer, { redisKey: key, id, scripts }, async () => {
        for (const words of meanwhile) await server.command(...words);
      });
    assertEquals(await deliver(ids[0], ["XACK", key, group, ids[0]], ["XDEL", key, ids[0]]), "nothing");
    assertEquals(await deliver(ids[1], ["XDEL", key, ids[1]]), "gone", "it was not acknowledged");
    assertEquals(await deliver(ids[2]), "entry");
  });

  test(`all trimmed entries of a long list are reported, and the rest is claimed (${how})`, async () => {
    const { key, ids } = await groupOf(server, group, 3_000);
    await leftBy(server, { key, group, consumer: "dead" });
    await server.command("XTRIM", key, "MAXLEN", 15);
    await using monitor = await Monitor.open(server);
    await using streamer = await connectAs(scripts);
    const gaps = eventsOf(streamer, "gap");
    const consumer = await streamer.createConsumer(key, claiming);
    const messages = await take(consumer, 15);
    assertEquals(messages.map(({ id }) => id), ids.slice(-15));
    assertEquals(gaps.flatMap((gap) => gap.ids), ids.slice(0, -15));
    assertEquals(consumer.stats().gaps, 2_985);
    await until(async () => await countPending(server, key, group) === 15);
    await monitor.settled(server);
    const about = monitor.commands.filter((words) => words.includes(key)).length;
    assertLess(about, 300, "pages are requested, and not each entry");
  });
}

test("an empty stream clears its pending entries, and claiming continues", async () => {
  const { key, ids } = await groupOf(server, group, 40);
  await leftBy(server, { key, group, consumer: "dead" });
  await server.command("XTRIM", key, "MAXLEN", 0);
  await using streamer = await connectEagerly(server.url);
  const gaps = eventsOf(streamer, "gap");
  const consumer = await streamer.createConsumer(key, claiming);
  const next = consumer.next();
  await until(async () => await countPending(server, key, group) === 0);
  assertEquals(gaps.flatMap((gap) => gap.ids), ids);
  await server.command("XADD", key, "*", "msg", "after");
  assertEquals((await next).text(), "after");
  assert(gaps.every(({ streamKey, shardId }) => streamKey === key && shardId === 0));
});
