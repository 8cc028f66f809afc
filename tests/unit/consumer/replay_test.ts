// Tests how a replay combines pages and their counts, without a server.

import { assertEquals, assertRejects } from "@std/assert";
import type { Command } from "../../../resp/connection/command.ts";
import type { OpenConnection } from "../../../resp/connection/node.ts";
import { StreamerError } from "../../../resp/errors.ts";
import { systemClock } from "../../../resp/connection/clock.ts";
import { PrefetchQueue } from "../../../streamer/consumer/delivery/prefetch_queue.ts";
import type { Delivery, Intake } from "../../../streamer/consumer/pending/intake.ts";
import { PendingEntries } from "../../../streamer/consumer/pending/pending_entries.ts";
import { Replay } from "../../../streamer/consumer/group/replay.ts";
import { test } from "../../support/runner.ts";
import { array, bulk, entry, page3, standing } from "../commands/frames.ts";
import { replayingShard, shardOf } from "../../support/consumer/batches.ts";

type Call = <T>(command: Command<T>) => Promise<T>;

/** A connection to a node. A checked border: a replay uses no more than this of one. */
function opened(call: Call, node = { losses: 0 }): OpenConnection {
  return { pipeline: { call, inFlight: 0, ending: undefined, heardOfNext: 0 }, node } as unknown as OpenConnection;
}

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
    exclusively: (_, work) => work(),
    count: () => 100,
    onSized: () => {},
    onGone: (_, ids) => void gone.push(...ids),
  });
  await replay.bring(replayingShard("s"), opened(call), () => Promise.resolve());
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
    exclusively: (_, work) => work(),
    count: () => 100,
    onSized: () => {},
    onGone: (_, ids) => void gone.push(...ids),
  });
  await replay.bring(shardOf("s"), opened(call), () => Promise.resolve());
  assertEquals([delivered, gone, replay.replayed], [["1-0", "3-0"], [], 2]);
});

test("cut connections to one node make pages of that node smaller, and its own losses count", async () => {
  const asked: string[] = [];
  const cut = new StreamerError("DISCONNECTED", "cut");
  const answering: Call = ({ args, read }) => {
    const words = args.map(String);
    asked.push(words[0] === "XPENDING" ? `${words[1]} lists ${words.at(-2)}` : words.slice(0, 2).join(" "));
    const rows = words[1] === "single" && words.at(-1) === "c"
      ? [array(bulk("1-0"), bulk("c"), ":0\r\n", ":1\r\n")]
      : [];
    if (words[0] === "XPENDING") return Promise.resolve(read(standing(array(...rows))));
    return Promise.resolve(
      read(standing(words[0] === "XREADGROUP" ? page3(["s"]) : words[0] === "XRANGE" ? array() : "+OK\r\n")),
    );
  };
  const cutAt = (command: string, node: { losses: number }): OpenConnection => {
    const open = opened((asking) => {
      if (asking.args[0] !== command) return answering(asking);
      Object.assign(open.pipeline, { ending: cut });
      node.losses += 2; // also one of another owner
      return Promise.reject(cut);
    }, node);
    return open;
  };
  const replay = new Replay({
    clock: systemClock,
    member: { group: "g", consumer: "c" },
    pendingEntries: new PendingEntries({ byTime: false }),
    queue: new PrefetchQueue({ onDemand: () => {} }),
    // A checked border: a replay uses no more than this of an intake.
    intake: { add: () => {} } as unknown as Intake,
    exclusively: (_, work) => work(),
    count: () => 100,
    onSized: () => {},
    onGone: () => {},
  });
  const room = () => Promise.resolve();
  const [one, other] = [{ losses: 0 }, { losses: 0 }];
  for (let cuts = 0; cuts < 2; cuts++) {
    await assertRejects(() => replay.bring(replayingShard("s"), cutAt("XREADGROUP", one), room));
  }
  asked.length = 0;
  await replay.bring(replayingShard("s"), opened(answering, other), room);
  await replay.bring(replayingShard("s"), opened(answering, one), room);
  assertEquals(asked.filter((text) => text.startsWith("s lists")), ["s lists 100", "s lists 50"]);
  for (let cuts = 0; cuts < 3; cuts++) {
    await assertRejects(() => replay.bring(shardOf("single"), cutAt("XRANGE", one), room));
  }
  other.losses = 50;
  asked.length = 0;
  await replay.bring(shardOf("single"), opened(answering, other), room);
  assertEquals(asked.includes("PING"), false, "nothing is suspected of another node");
  await assertRejects(() => replay.bring(shardOf("single"), cutAt("XRANGE", one), room));
  assertEquals(asked.slice(-4, -1), ["single lists 1000", "PING", "TYPE single"]);
});
