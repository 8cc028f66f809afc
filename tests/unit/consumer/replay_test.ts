// Tests how a replay combines pages and their counts, without a server.

import { assertEquals } from "@std/assert";
import type { Command } from "../../../resp/connection/command.ts";
import type { Pipeline } from "../../../resp/connection/pipeline/pipeline.ts";
import { systemClock } from "../../../resp/connection/clock.ts";
import { PrefetchQueue } from "../../../streamer/consumer/delivery/prefetch_queue.ts";
import type { Delivery, Intake } from "../../../streamer/consumer/pending/intake.ts";
import { PendingEntries } from "../../../streamer/consumer/pending/pending_entries.ts";
import { Replay } from "../../../streamer/consumer/group/replay.ts";
import { test } from "../../support/runner.ts";
import { array, bulk, entry, page3, standing } from "../commands/frames.ts";
import { replayingShard, shardOf } from "../../support/consumer/batches.ts";

test("deleted entries in a page, still listed as pending, do not displace the counts of others", async () => {
  const pending = ["1-0", "2-0", "3-0", "4-0", "5-0"];
  const deleted = new Set(["2-0", "3-0"]);
  const delivered: Delivery[] = [];
  const gone: string[] = [];
  const call = <T>({ args, read }: Command<T>): Promise<T> => {
    const words = args.map(String);
    if (words[0] === "XREADGROUP") {
      const left = pending.slice(words.at(-1) === "0-0" ? 0 : 5);
      return Promise.resolve(read(standing(page3([
        "s",
        ...left.map((id) => deleted.has(id) ? array(bulk(id), "_\r\n") : entry(id, "msg", id)),
      ]))));
    }
    const [start, end, count] = words.slice(3);
    const rows = pending.filter((id) => id >= start && id <= end).slice(0, Number(count));
    return Promise.resolve(read(standing(array(...rows.map((id) => array(bulk(id), bulk("c"), ":0\r\n", ":7\r\n"))))));
  };
  const replay = new Replay({
    clock: systemClock,
    member: { group: "g", consumer: "c" },
    pendingEntries: new PendingEntries({ byTime: false }),
    queue: new PrefetchQueue({ onDemand: () => {} }),
    // Checked borders: a replay uses no more than these of an intake and a pipeline.
    intake: { add: (some: readonly Delivery[]) => void delivered.push(...some) } as unknown as Intake,
    exclusively: (work) => work(),
    count: () => 100,
    onSized: () => {},
    losses: () => 0,
    onGone: (_, ids) => void gone.push(...ids),
  });
  await replay.bring(replayingShard("s"), { call } as unknown as Pipeline, () => Promise.resolve());
  assertEquals(delivered.flatMap(({ deliveries }) => deliveries), [7, 7, 7]);
  assertEquals([gone, replay.replayed], [["2-0", "3-0"], 3]);
});

test("an entry that was acked while the list was in flight is not delivered", async () => {
  const listed = ["1-0", "2-0", "3-0"];
  const acked = new Set(["2-0"]); // after it was listed
  const delivered: string[] = [];
  const gone: string[] = [];
  const call = <T>({ args, read }: Command<T>): Promise<T> => {
    const words = args.map(String);
    if (words[0] === "XRANGE") return Promise.resolve(read(standing(array(entry(words[2], "msg", words[2])))));
    const [start, end, count] = words.slice(3);
    const all = count === "1000" ? listed : listed.filter((id) => id === start && id === end && !acked.has(id));
    return Promise.resolve(read(standing(array(...all.map((id) => array(bulk(id), bulk("c"), ":0\r\n", ":1\r\n"))))));
  };
  const add = (some: readonly Delivery[]) => {
    for (const { frame, entries } of some) for (const at of entries) delivered.push(frame.textAt(at + 2));
  };
  const replay = new Replay({
    clock: systemClock,
    member: { group: "g", consumer: "c" },
    pendingEntries: new PendingEntries({ byTime: false }),
    queue: new PrefetchQueue({ onDemand: () => {} }),
    // Checked borders: a replay uses no more than these of an intake and a pipeline.
    intake: { add } as unknown as Intake,
    exclusively: (work) => work(),
    count: () => 100,
    onSized: () => {},
    losses: () => 0,
    onGone: (_, ids) => void gone.push(...ids),
  });
  await replay.bring(shardOf("s"), { call } as unknown as Pipeline, () => Promise.resolve());
  assertEquals([delivered, gone, replay.replayed], [["1-0", "3-0"], [], 2]);
});
