// Tests shards that are created on other nodes while consumers run: they are found within the documented time, and read from their first
// entry.

import { assertEquals, assertLessOrEqual } from "@std/assert";
import type { Consumer, RedisStreamer } from "../../../mod.ts";
import { nativeDial } from "../../../resp/transport/dial.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { connectWith } from "../../../streamer/connect.ts";
import { shardsTold } from "../../support/consumer/sharding.ts";
import { fastClock } from "../../support/consumer/watching.ts";
import { uniqueKey } from "../../support/keys.ts";
import { Got } from "../../support/routing/got.ts";
import { afterAll, test } from "../../support/runner.ts";
import { startCluster } from "../../support/servers/cluster.ts";
import { addStreams } from "../../support/servers/cluster_keys.ts";

const cluster = await startCluster();
afterAll(() => cluster.stop());
/** Times faster than the clock of the servers. */
const FACTOR = 20;
/** Milliseconds of the fast clock between two looks. */
const INTERVAL = 30_000;
/** What a busy machine may take, in milliseconds. */
const SLACK = 1_000;
const group = { group: "g", consumerId: "c", autoStreamReset: "earliest", autoCommit: "rolling" } as const;

/** The node of a shard. */
const nodeOf = (key: string, shard: number) => cluster.ownerOf(slotOfKey(`${key}:${shard}`));

/** A stream key whose first shard is on one node, and these shards on the others, the first two of them apart. */
async function scattered(later: readonly number[]): Promise<string> {
  for (;;) {
    const key = uniqueKey();
    const [first, ...others] = await Promise.all([0, ...later].map((shard) => nodeOf(key, shard)));
    if (!others.includes(first) && others[0] !== others[1]) return key;
  }
}

const MODES: Record<string, (streamer: RedisStreamer, key: string, got: Got) => Promise<Consumer>> = {
  "real-time": async (streamer, key, got) => {
    const consumer = await streamer.createConsumer(key, { mode: "real-time" });
    got.take(consumer);
    return consumer;
  },
  resumable: async (streamer, key, got) => {
    const consumer = await streamer.createConsumer(key, { mode: "resumable", ...group });
    got.take(consumer, (message) => consumer.ack(message));
    return consumer;
  },
  "load-balanced": async (streamer, key, got) => {
    const consumer = await streamer.createConsumer(key, { mode: "load-balanced", ...group });
    got.take(consumer, (message) => consumer.ack(message));
    return consumer;
  },
};

for (const [mode, create] of Object.entries(MODES)) {
  test(`shards that are created on other nodes are read from their first entry by a ${mode} consumer`, async () => {
    const key = await scattered([1, 2, 6]);
    await addStreams(cluster, [`${key}:0`]);
    await using streamer = await connectWith({ dial: nativeDial(), clock: fastClock(FACTOR) }, cluster.url, {
      timeout: 200_000,
    });
    const told = shardsTold(streamer);
    const got = new Got();
    const consumer = await create(streamer, key, got);
    let expected = mode === "real-time" ? 0 : 1; // the others begin with the earliest message
    await got.until(expected);
    // The next number is found by the next look. The third one after the highest number has its turn within three looks, as six of
    // those 14 are asked for at a time.
    for (const [shard, looks] of [[1, 1], [2, 1], [6, 3]] as const) {
      const entries = Array.from({ length: 50 }, (_, i) => ["*", "msg", `${shard}:${i}`]);
      await addStreams(cluster, [`${key}:${shard}`], entries);
      const begun = performance.now();
      expected += entries.length;
      await got.until(expected);
      assertLessOrEqual(performance.now() - begun, looks * INTERVAL / FACTOR + SLACK);
      assertEquals(got.payloads[shard], entries.map(([, , payload]) => payload));
      assertEquals(told.at(-1), { streamKey: key, found: [shard], gone: [], ignoredPlain: false });
      await cluster.command("XADD", `${key}:${shard}`, "*", "msg", "later");
      await got.until(++expected);
    }
    assertEquals(consumer.streamShards.map(({ shardId }) => shardId), [0, 1, 2, 6]);
    assertEquals(got.failure, undefined);
  });
}

test("a stream that is empty at first gets its shards on all nodes within a second", async () => {
  const key = await scattered([1, 2]);
  await using streamer = await connectWith({ dial: nativeDial(), clock: fastClock(1) }, cluster.url);
  const got = new Got();
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  got.take(consumer);
  const begun = performance.now();
  await addStreams(cluster, [0, 1, 2].map((shard) => `${key}:${shard}`), [["*", "msg", "a"], ["*", "msg", "b"]]);
  await got.until(6);
  assertLessOrEqual(performance.now() - begun, 1_000 + SLACK);
  assertEquals(got.payloads, [["a", "b"], ["a", "b"], ["a", "b"]]);
});
