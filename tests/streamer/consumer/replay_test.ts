// Owns how a replay puts pages and their counts together, with a server that does nothing in between. Must not need one.

import { assertEquals } from "@std/assert";
import type { Command } from "../../../resp/connection/command.ts";
import type { Pipeline } from "../../../resp/connection/pipeline.ts";
import { systemClock } from "../../../resp/connection/clock.ts";
import { Inbox } from "../../../streamer/consumer/inbox.ts";
import type { Delivery, Intake } from "../../../streamer/consumer/intake.ts";
import { Ledger } from "../../../streamer/consumer/ledger.ts";
import { Replay } from "../../../streamer/consumer/replay.ts";
import { test } from "../../support/runner.ts";
import { array, bulk, entry, page3, standing } from "../commands/frames.ts";
import { shardOf } from "./lots.ts";

test("deleted entries in a page, still listed as pending, do not push the counts of others out", async () => {
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
    ledger: new Ledger({ byTime: false }),
    inbox: new Inbox({ wanted: () => {} }),
    // Checked borders: a replay uses no more than these of an intake and a pipeline.
    intake: { add: (some: readonly Delivery[]) => void delivered.push(...some) } as unknown as Intake,
    exclusively: (work) => work(),
    count: () => 100,
    onSized: () => {},
    onGone: (_, ids) => void gone.push(...ids),
  });
  await replay.bring({ ...shardOf("s"), replayed: false }, { call } as unknown as Pipeline, () => Promise.resolve());
  assertEquals(delivered.flatMap(({ deliveries }) => deliveries), [7, 7, 7]);
  assertEquals([gone, replay.replayed], [["2-0", "3-0"], 3]);
});
