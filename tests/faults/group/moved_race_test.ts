// Tests races of a move of the whole group with replays, redeliveries and the server's clock: entries that the move releases do
// not come back. The tests choose in which order the server gets commands of different connections.

import { assert, assertEquals } from "@std/assert";
import type { GroupConsumer } from "../../../mod.ts";
import { delay } from "../../support/async.ts";
import { connectEagerly } from "../../support/consumer/group_faults.ts";
import { groupOf, leftBy, pendingRows } from "../../support/consumer/grouping.ts";
import { restUpToMark, take, takeIds } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { startFilterServer, type Verdict } from "../../support/network/filter_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const whole = { group: true } as const;
const mine = { mode: "resumable", group, consumerId: "me", autoCommit: "disabled", batchSize: 2 } as const;

/** Index of the connection for commands; the others read. */
const LANE = 0;
/** Milliseconds for which a command is held at most: another one may wait for it. */
const HELD = 200;

/** Idle time of released entries at least, in milliseconds. */
const DAY = 86_400_000;

/** Whether entries are released. */
const isRelease = (words: readonly string[]) => words[0] === "EVAL" && Number(words[6]) >= DAY;

/** A command that others are held for. */
class Awaited {
  readonly #come = Promise.withResolvers<void>();

  /** The command is passed on. */
  comes(): void {
    this.#come.resolve();
  }

  /** Resolves when the command has been executed, or after a while. */
  async isDone(): Promise<void> {
    const limit = new AbortController();
    const atMost = delay(HELD, { signal: limit.signal }).catch(() => {});
    await Promise.race([this.#come.promise, atMost]);
    limit.abort();
    await delay(20); // it is still on its way to the server
  }
}

/** The rest of the messages, also those that come only after the next reconnect. */
async function restAfterCut(key: string, consumer: GroupConsumer, cut: () => Promise<void>): Promise<string[]> {
  const rest = await restUpToMark(server, consumer, key);
  await cut();
  return [...rest, ...await restUpToMark(server, consumer, key)];
}

test("a replay after a cut does not take entries for lost that a move is just releasing", async () => {
  const { key, ids } = await groupOf(server, group, 8);
  const [release, listing] = [new Awaited(), new Awaited()];
  let listings = 0;
  let isMoving = false;
  await using proxy = await startFilterServer(() => server.address, async (words, _, index): Promise<Verdict> => {
    if (!isMoving) return "pass";
    if (isRelease(words)) {
      release.comes();
      await listing.isDone();
    } else if (index !== LANE && words[0] === "XPENDING") {
      if (++listings === 1) await release.isDone();
      else listing.comes();
    }
    return "pass";
  });
  await using streamer = await connectEagerly(proxy.url);
  const consumer = await streamer.createConsumer(key, mine);
  assertEquals(await takeIds(consumer, 6), ids.slice(0, 6));
  await until(() => consumer.stats().queued === 2);
  isMoving = true;
  await proxy.peers[1].cut();
  await consumer.rewind(ids[2], whole);
  assertEquals(await takeIds(consumer, 5), ids.slice(3));
  assert(listings > 0, "there was a replay");
  isMoving = false;
  assertEquals(await restAfterCut(key, consumer, () => proxy.peers[2].cut()), []);
});

test("a page of a previous session that is read during a move is not delivered, also after a cut", async () => {
  const { key, ids } = await groupOf(server, group, 10);
  await leftBy(server, { key, group, consumer: "me", count: 6 });
  const release = new Awaited();
  let held = 0;
  await using proxy = await startFilterServer(() => server.address, async (words, _, index): Promise<Verdict> => {
    if (isRelease(words)) release.comes();
    else if (index !== LANE && words[0] === "XREADGROUP" && words.at(-1) === ids[1]) {
      held++;
      await release.isDone();
    }
    return "pass";
  });
  await using streamer = await connectEagerly(proxy.url);
  const consumer = await streamer.createConsumer(key, mine);
  assertEquals(await takeIds(consumer, 2), ids.slice(0, 2));
  await until(() => held === 1);
  await consumer.rewind(ids[3], whole);
  assertEquals(await takeIds(consumer, 6), ids.slice(4));
  assertEquals(await restAfterCut(key, consumer, () => proxy.peers[1].cut()), []);
});

test("a redelivery that the server has refused for now does not bring an entry back after a move", async () => {
  const { key, ids } = await groupOf(server, group, 6);
  let refused = 0;
  await using proxy = await startFilterServer(() => server.address, (words) => {
    const isRedelivery = words[0] === "EVAL" && words[6] === ids[0];
    if (!isRedelivery || refused++ > 0) return "pass";
    return { answer: "-BUSY Redis is busy running a script\r\n" };
  });
  await using streamer = await connectEagerly(proxy.url, { reconnect: { initialDelay: 300, maxDelay: 300 } });
  const consumer = await streamer.createConsumer(key, mine);
  const [first] = await take(consumer, 4);
  consumer.nack(first);
  await until(() => refused === 1);
  await consumer.rewind(ids[2], whole);
  assertEquals(await takeIds(consumer, 3), ids.slice(3));
  await delay(500);
  assertEquals(await restAfterCut(key, consumer, () => proxy.peers[1].cut()), []);
});

test("entries are released for longer than a day, so that a server's clock that is set back does not change what they are", async () => {
  const { key, ids } = await groupOf(server, group, 6);
  await using streamer = await connectEagerly(server.url);
  const consumer = await streamer.createConsumer(key, mine);
  await take(consumer, 4);
  await consumer.rewind("end", whole);
  const rows = await pendingRows(server, key, group);
  assertEquals(rows.filter(({ idle }) => idle > DAY + 3_000_000).map(({ id }) => id), ids.slice(4));
});
