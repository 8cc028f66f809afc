// Tests refusals of one slot or one group while a consumer watches many: the other shards of the node are read without delay.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { eventsOf } from "../../support/consumer/grouping.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { Got } from "../../support/routing/got.ts";
import { RawWriter } from "../../support/routing/raw_writer.ts";
import { toySlotOf } from "../../support/routing/slots.ts";
import { type Routed, streamerOver } from "../../support/routing/two_node_streamer.ts";
import { TwoNodes } from "../../support/routing/two_nodes.ts";
import { test } from "../../support/runner.ts";

const SHARDS = 12;

/** A stream of 12 shards over two nodes, read with a group or without, and what has come of it. */
async function reading(
  both: TwoNodes,
  { streamer }: Routed,
  inGroup: boolean,
): Promise<{ writer: RawWriter; got: Got }> {
  const writer = new RawWriter(both, uniqueKey(), SHARDS);
  await writer.add(3);
  const got = new Got();
  if (inGroup) {
    const options = { mode: "resumable", group: "g", autoStreamReset: "earliest", autoCommit: "rolling" } as const;
    const consumer = await streamer.createConsumer(writer.streamKey, options);
    got.take(consumer, (message) => consumer.ack(message));
  } else got.take(await streamer.createConsumer(writer.streamKey, { mode: "real-time", autoStreamReset: "earliest" }));
  await got.until(3 * SHARDS);
  return { writer, got };
}

for (const inGroup of [false, true]) {
  const kind = inGroup ? "a group" : "real time";

  test(`while one slot is refused, the others of its node are read at once (${kind})`, async () => {
    await using both = await TwoNodes.start();
    await using routed = streamerOver(both);
    const { writer, got } = await reading(both, routed, inGroup);
    const waiting = eventsOf(routed.streamer, "waiting");
    const resumed = eventsOf(routed.streamer, "resumed");
    const [held] = writer.keys;
    const slot = toySlotOf(held);
    const owner = both.table.ownerOf(slot);
    both.table.set(slot, { kind: "arriving", owner }); // it answers TRYAGAIN
    await both.at(held).command("XADD", held, "*", "msg", "0:3"); // at the server itself, which pushes
    await until(() => both.refusals("TRYAGAIN") > 0);
    const others = writer.keys.filter((key) => key !== held);
    const times: number[] = [];
    for (let round = 0; round < 30 || waiting.length === 0; round++) {
      const before = got.count;
      const begun = performance.now();
      for (const key of others) {
        await both.at(key).command("XADD", key, "*", "msg", `${key.slice(key.lastIndexOf(":") + 1)}:${3 + round}`);
      }
      await until(() => got.count === before + others.length);
      times.push(performance.now() - begun);
      assertLessOrEqual(round, 500);
    }
    times.sort((one, other) => one - other);
    assertLessOrEqual(times[times.length >> 1], 100, "no read waits for a delay");
    assertEquals([got.payloads[0], waiting.map(({ streamKey }) => streamKey)], [["0:0", "0:1", "0:2"], [
      writer.streamKey,
    ]]);
    both.table.set(slot, { kind: "owned", owner });
    await until(() => got.payloads[0].length === 4);
    await until(() => resumed.length === 1);
    assertEquals(both.faults, []);
  });
}

test("a lost group is recreated while its stream is missing, and the other shards are read meanwhile", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const { writer, got } = await reading(both, routed, true);
  const [gone] = writer.keys;
  await both.at(gone).command("DEL", gone); // pushes
  await until(() => [...both.nodes].some(({ commands }) => (commands.get("XINFO") ?? 0) > 0));
  const begun = performance.now();
  for (let round = 3; round < 40; round++) {
    for (const key of writer.keys.slice(1)) {
      await both.at(key).command("XADD", key, "*", "msg", `${key.slice(key.lastIndexOf(":") + 1)}:${round}`);
    }
    await got.until(3 + (SHARDS - 1) * (round + 1));
  }
  assert(performance.now() - begun < 10_000);
  await both.at(gone).command("XADD", gone, "*", "msg", "0:new");
  await until(() => got.payloads[0].includes("0:new"));
});
