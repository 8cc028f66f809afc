// Tests that records settled while they wait do not accumulate, and that the order stays.

import { assert, assertEquals } from "@std/assert";
import { RecordQueue } from "../../../streamer/producer/messages/record_queue.ts";
import { test } from "../../support/runner.ts";

interface Entry {
  readonly serial: number;
  settled: boolean;
}

test("with any number of records settled while they wait, the queue stays about as long as the unsettled ones", () => {
  const queue = new RecordQueue<Entry>();
  const open: Entry[] = [];
  for (let serial = 0; serial < 300_000; serial++) {
    const entry = { serial, settled: false };
    queue.push(entry);
    if (serial % 100 === 0) open.push(entry);
    else entry.settled = true;
    assert(queue.length <= 2 * open.length + 10_000, `${queue.length} wait, ${open.length} are not settled`);
  }
  assertEquals(queue.drain().filter(({ settled }) => !settled), open);
});

test("unsettled records are never removed, and keep their order", () => {
  const queue = new RecordQueue<Entry>();
  for (let serial = 0; serial < 50_000; serial++) queue.push({ serial, settled: false });
  for (let serial = 0; serial < 50_000; serial++) assertEquals(queue.shift()?.serial, serial);
  assertEquals([queue.length, queue.shift(), queue.peek()], [0, undefined, undefined]);
});
