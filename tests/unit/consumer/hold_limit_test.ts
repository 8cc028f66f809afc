// Tests maxHold by example: which entries are released, when, and which never are.

import { assertEquals } from "@std/assert";
import { HoldLimit } from "../../../streamer/consumer/lifecycle/hold_limit.ts";
import { PendingEntries } from "../../../streamer/consumer/pending/pending_entries.ts";
import { ENTRY_STATE } from "../../../streamer/consumer/pending/entry_state.ts";
import type { PendingBatch } from "../../../streamer/consumer/pending/pending_batch.ts";
import { FakeClock } from "../connection/fakes.ts";
import { test } from "../../support/runner.ts";
import { batchOf, shardOf } from "../../support/consumer/batches.ts";

const shard = shardOf("s");
const MAX_HOLD = 600;

/** A limit over a batch of four entries. */
function limited() {
  const clock = new FakeClock();
  const pendingEntries = new PendingEntries({ byTime: false });
  const batch = batchOf(shard, ["1-0", "2-0", "3-0", "4-0"]);
  pendingEntries.add(batch);
  const released: string[] = [];
  const stale = new Set<PendingBatch>();
  const limit = new HoldLimit({
    clock,
    maxHold: MAX_HOLD,
    pendingEntries,
    shards: () => [shard],
    isStale: (one) => stale.has(one),
    onReleased: (_, ids) => void released.push(...ids),
    onCapacity: () => {},
  });
  limit.start();
  return { clock, pendingEntries, batch, released, stale, limit };
}

test("returned entries are released after their time, and never those that were not returned, or wait for their turn", async () => {
  const { clock, pendingEntries, batch, released, limit } = limited();
  for (const i of [0, 1, 2]) pendingEntries.take(batch, i, clock.now());
  batch.markPostponed(1);
  pendingEntries.nack(batch, 2);
  await clock.pass(MAX_HOLD - 1);
  assertEquals(released, []);
  await clock.pass(MAX_HOLD);
  assertEquals(released, ["1-0"]);
  batch.markDelivered(1, clock.now());
  await clock.pass(MAX_HOLD - 1);
  assertEquals(released, ["1-0"]);
  await clock.pass(MAX_HOLD / 10);
  assertEquals([released, pendingEntries.inFlight], [["1-0", "2-0"], 0]);
  assertEquals([...batch.states], [ENTRY_STATE.released, ENTRY_STATE.released, ENTRY_STATE.nacked, ENTRY_STATE.queued]);
  limit.close();
  assertEquals(clock.running, 0);
});

test("entries that a silence has left unconfirmed are not released before their owner is known", async () => {
  const { clock, pendingEntries, batch, released, stale, limit } = limited();
  pendingEntries.take(batch, 0, clock.now());
  stale.add(batch);
  await clock.pass(MAX_HOLD * 3);
  assertEquals(released, []);
  stale.clear();
  await clock.pass(MAX_HOLD);
  assertEquals(released, ["1-0"]);
  limit.close();
});

test("an entry that was released and is delivered again is counted like any other", () => {
  const verbs: Record<string, (pendingEntries: PendingEntries, batch: PendingBatch) => boolean> = {
    nacked: (pendingEntries, batch) => pendingEntries.nackReleased(batch, 0),
    settling: (pendingEntries, batch) => pendingEntries.settleReleased(batch, 0),
    acked: (pendingEntries, batch) => pendingEntries.ackAny({ batch, index: 0 }),
  };
  for (const [to, revive] of Object.entries(verbs)) {
    const pendingEntries = new PendingEntries({ byTime: false });
    const batch = batchOf(shard, ["1-0"]);
    pendingEntries.add(batch);
    pendingEntries.take(batch, 0, 5);
    pendingEntries.release(batch, 0, 5);
    assertEquals([pendingEntries.hasAny(shard), pendingEntries.find(shard, "1-0"), pendingEntries.countOf(shard)], [
      false,
      undefined,
      0,
    ]);
    assertEquals([revive(pendingEntries, batch), revive(pendingEntries, batch)], [true, false]);
    assertEquals([
      pendingEntries.countOf(shard),
      pendingEntries.find(shard, "1-0")?.batch,
      pendingEntries.releases.has(shard),
    ], [1, batch, false]);
    assertEquals([pendingEntries.nacked, pendingEntries.unsent], [
      Number(to === "nacked"),
      Number(to === "acked"),
    ]);
    for (const acks of pendingEntries.collect()) pendingEntries.confirm(acks);
    pendingEntries.finish(batch, 0);
    assertEquals(
      [pendingEntries.countOf(shard), pendingEntries.nacked, pendingEntries.unsent, pendingEntries.sending],
      [
        0,
        0,
        0,
        0,
      ],
    );
  }
});

test("entries acked without being in flight are known until the server has replied", () => {
  const pendingEntries = new PendingEntries({ byTime: false });
  pendingEntries.ackById(shard, "1-0");
  assertEquals([pendingEntries.isAcking(shard, "1-0"), pendingEntries.isAcking(shard, "2-0")], [true, false]);
  const [acks] = pendingEntries.collect();
  assertEquals(pendingEntries.isAcking(shard, "1-0"), true);
  pendingEntries.restore(acks);
  assertEquals(pendingEntries.isAcking(shard, "1-0"), true);
  for (const again of pendingEntries.collect()) pendingEntries.confirm(again);
  assertEquals(pendingEntries.isAcking(shard, "1-0"), false);
});
