// Tests entries that are settled together with their outputs: what they may become meanwhile, and afterwards.

import { assert, assertEquals } from "@std/assert";
import { GatedInput } from "../../../../streamer/consumer/pending/gated_input.ts";
import type { PendingBatch } from "../../../../streamer/consumer/pending/pending_batch.ts";
import { PendingEntries } from "../../../../streamer/consumer/pending/pending_entries.ts";
import { Message } from "../../../../streamer/model/message.ts";
import { fieldBytes } from "../../../../streamer/model/message_headers.ts";
import { batchOf, shardOf } from "../../../support/consumer/batches.ts";
import { test } from "../../../support/runner.ts";
import { entry, frame } from "../../commands/frames.ts";

const shard = shardOf("s");

function messageOf(batch?: PendingBatch): Message {
  return new Message(
    {
      frame: frame(entry("1-0", "msg", "x")),
      streamKey: "s",
      shardId: 0,
      timestampFormat: "milliseconds",
      field: fieldBytes("msg"),
      ...(batch === undefined ? {} : { delivered: { batch, entries: undefined, index: 0 } }),
    },
    0,
    1,
  );
}

/** One entry in flight, its message, and how often a gated input has reported that it is settled. */
function inFlight() {
  const entries = new PendingEntries({ byTime: false });
  const batch = batchOf(shard, ["1-0"]);
  entries.add(batch);
  entries.take(batch, 0, 5);
  const message = messageOf(batch);
  const owner = { now: () => 7, onSettled: () => void state.settled++ };
  const state = { settled: 0 };
  const begin = () => {
    const input = entries.gated(message, owner);
    assert(input instanceof GatedInput);
    return input;
  };
  return { entries, batch, message, begin, state };
}

test("an input that is being stored is not in flight, keeps its lease, and cannot be lost, nacked or delivered again", () => {
  const { entries, batch, begin } = inFlight();
  const input = begin();
  assertEquals([input.redisKey, input.id, entries.inFlight, entries.unacked], ["s", "1-0", 0, 1]);
  assert(batch.needsLease(0));
  assertEquals([entries.nack(batch, 0), entries.lose(batch, 0), entries.ack(batch, 0)], [false, false, false]);
  assert(entries.undeliverable(shard)("1-0"));
});

test("an acknowledged input is counted, and nothing is left of it", () => {
  const { entries, begin, state } = inFlight();
  begin().acknowledged();
  assertEquals([entries.confirmed, entries.unacked, entries.hasAny(shard), state.settled], [1, 0, false, 1]);
});

test("an input that is given up is in flight again, and can be nacked", () => {
  const { entries, batch, begin, state } = inFlight();
  begin().giveUp();
  assertEquals([entries.inFlight, entries.confirmed, state.settled], [1, 0, 0]);
  assert(entries.nack(batch, 0));
});

test("a released input is tracked while it is stored, and released again if it is given up", () => {
  const { entries, batch, begin } = inFlight();
  entries.release(batch, 0, 6);
  assertEquals(entries.unacked, 0);
  const input = begin();
  assertEquals(entries.unacked, 1);
  input.giveUp();
  assertEquals([entries.unacked, entries.isReleased({ batch, index: 0 })], [0, true]);
  begin().acknowledged();
  assertEquals([entries.confirmed, entries.hasAny(shard)], [1, false]);
});

test("an input that another consumer has got is stored without a trace here", () => {
  const { entries, batch, begin, state } = inFlight();
  entries.lose(batch, 0);
  entries.outdate({ batch, index: 0 });
  const input = begin();
  input.giveUp();
  input.acknowledged();
  assertEquals([entries.confirmed, entries.unacked, state.settled], [0, 0, 1]);
});

test("only the entries of before a missing group are orphaned", () => {
  const { entries, begin } = inFlight();
  const input = begin();
  const orphan = entries.orphans(shard);
  const later = batchOf(shard, ["2-0"]);
  entries.add(later);
  assertEquals(input.isOrphaned, false);
  orphan();
  assertEquals([input.isOrphaned, later.isOrphaned], [true, false]);
  entries.loseGroup(shard);
  assertEquals([later.groupLost, later.isOrphaned], [true, false]);
});

test("a message that is pending nowhere has no gated input", () => {
  const { entries } = inFlight();
  assertEquals(entries.gated(messageOf(), { now: () => 0, onSettled: () => {} }), undefined);
});
