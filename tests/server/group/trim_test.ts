// Tests messages that are trimmed or deleted while they are pending: at a replay, at a claim, at a redelivery and after
// a cut they are skipped, acknowledged, and reported by a gap event with their ids.

import { assertEquals } from "@std/assert";
import {
  connectEagerly,
  eventsOf,
  nothingPending,
  pendingOf,
  readAndDie,
} from "../../support/consumer/group_faults.ts";
import { addMany, blockedClient, restUpToMark, take, takeIds } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const shared = { mode: "load-balanced", group, autoCommit: "rolling", autoCommitInterval: 10 } as const;
const claiming = { ...shared, consumerId: "me", autoClaimIdle: 50, autoClaimInterval: 30 } as const;

/** A group with so many entries, without consumers. */
async function begin(key: string, count: number): Promise<string[]> {
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  return await addMany(server, key, count);
}

const ways: Record<string, (key: string, ids: readonly string[]) => Promise<unknown>> = {
  deleted: (key, ids) => server.command("XDEL", key, ...ids),
  trimmed: (key) => server.command("XTRIM", key, "MAXLEN", "=", 10),
};

for (const [way, remove] of Object.entries(ways)) {
  for (const [stage, from] of [["replayed", "me"], ["claimed", "dead"]] as const) {
    test(`an entry that was ${way} while it was pending is skipped when it is ${stage}, acknowledged, and reported as a gap`, async () => {
      const key = uniqueKey();
      const ids = await begin(key, 50);
      await readAndDie(server, { key, group, consumer: from });
      const gone = way === "trimmed" ? ids.slice(0, 40) : ids.filter((_, i) => i % 3 === 0 || i < 20);
      await remove(key, gone);
      await using streamer = await connectEagerly(server.url);
      const [gaps, claimed] = [eventsOf(streamer, "gap"), eventsOf(streamer, "claimed")];
      const consumer = await streamer.createConsumer(key, claiming);
      const left = ids.filter((id) => !gone.includes(id));
      const messages = await take(consumer, left.length);
      assertEquals(messages.map(({ id, deliveries }) => `${id} ${deliveries}`), left.map((id) => `${id} 2`));
      for (const message of messages) consumer.ack(message);
      const rest = restUpToMark(server, consumer, key); // reads, so that the whole list is checked
      await until(() => consumer.stats().gaps === gone.length, { what: "all gaps are reported" });
      assertEquals(await rest, []);
      assertEquals(gaps.flatMap((gap) => gap.ids), gone);
      assertEquals(
        gaps.every(({ streamKey, shardId, group: name }) => `${streamKey} ${shardId} ${name}` === `${key} 0 g`),
        true,
      );
      assertEquals(claimed.flatMap((one) => one.ids), stage === "claimed" ? left : []);
      await until(async () => (await pendingOf(server, key, group)).length === 1, { what: "only the mark is pending" });
    });
  }
}

test("an entry deleted while it waited for its redelivery is skipped, acked, and reported as a gap", async () => {
  const key = uniqueKey();
  const ids = await begin(key, 5);
  await using streamer = await connectEagerly(server.url);
  const gaps = eventsOf(streamer, "gap");
  const consumer = await streamer.createConsumer(key, { ...shared, autoClaimInterval: null });
  const messages = await take(consumer, 5);
  for (const message of messages.slice(0, 3)) consumer.nack(message, { delay: 100 });
  await server.command("XDEL", key, ids[0], ids[2], ids[4]);
  const [again] = await take(consumer, 1);
  assertEquals([again.id, again.deliveries], [ids[1], 2]);
  await until(() => gaps.flatMap((gap) => gap.ids).length === 2);
  assertEquals(gaps.flatMap((gap) => gap.ids).sort(), [ids[0], ids[2]]);
  // A message in flight stays valid after its entry was deleted.
  for (const message of [again, messages[3], messages[4]]) consumer.ack(message);
  await nothingPending(server, key, group);
  assertEquals(await restUpToMark(server, consumer, key), []);
});

test(
  "an entry that was lost with a connection and then deleted is reported as a gap, and the rest is delivered",
  async () => {
    const key = uniqueKey();
    await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
    await using proxy = await startProxy(server);
    await using streamer = await connectEagerly(proxy.url, { clientName: key });
    const gaps = eventsOf(streamer, "gap");
    const consumer = await streamer.createConsumer(key, {
      mode: "resumable",
      group,
      autoCommit: "rolling",
      autoCommitInterval: 10,
    });
    await blockedClient(server, key);
    proxy.refuse();
    proxy.toClient.cutAfter(1);
    const adds = Array.from({ length: 10 }, (_, i) => ["XADD", key, "*", "msg", `${i}`]);
    const replies = await server.commands([["MULTI"], ...adds, ["EXEC"]]);
    const ids = [replies.at(-1)].flat().map(String);
    await until(() => proxy.refused > 0);
    await server.command("XDEL", key, ids[0], ids[5], ids[9]);
    proxy.refuse(false);
    const left = ids.filter((_, i) => ![0, 5, 9].includes(i));
    const messages = await take(consumer, 7);
    assertEquals(messages.map(({ id, deliveries }) => `${id} ${deliveries}`), left.map((id) => `${id} 1`));
    for (const message of messages) consumer.ack(message);
    await nothingPending(server, key, group);
    assertEquals(gaps.flatMap((gap) => gap.ids), [ids[0], ids[5], ids[9]]);
    assertEquals(consumer.stats().gaps, 3);
    const [next] = await addMany(server, key, 1);
    assertEquals(await takeIds(consumer, 1), [next]);
  },
  { oneServer: PROXIED },
);

test(
  "an entry that was deleted while it waited for its redelivery is reported as a gap also if that reply is lost",
  async () => {
    const key = uniqueKey();
    const ids = await addMany(server, key, 1);
    await using proxy = await startProxy(server);
    await using streamer = await connectEagerly(proxy.url);
    const gaps = eventsOf(streamer, "gap");
    const consumer = await streamer.createConsumer(key, {
      mode: "resumable",
      group,
      autoStreamReset: "earliest",
      autoCommit: "rolling",
    });
    const [message] = await take(consumer, 1);
    await server.command("XDEL", key, ids[0]);
    proxy.toClient.hold();
    consumer.nack(message);
    await nothingPending(server, key, group);
    await proxy.cut();
    proxy.toClient.release();
    await until(() => gaps.length > 0);
    assertEquals(gaps[0].ids, ids);
  },
  { oneServer: PROXIED },
);
