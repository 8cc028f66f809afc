// Tests cut connections of consumers that watch many slots: at random bytes, with several reads in flight. Nothing is lost, nothing comes
// twice, and in the end nothing is pending.

import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import type { AckConsumer, Consumer, Message, RedisStreamer } from "../../../mod.ts";
import { connectAs, ManyShards, sharedNode } from "../../support/consumer/watching.ts";
import { until } from "../../support/events.ts";
import { type Proxy, startProxy } from "../../support/network/proxy.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { Got } from "../../support/routing/got.ts";
import { test } from "../../support/runner.ts";

const server = await sharedNode();
const seed = freshSeed();
const SHARDS = 24;
const group = "g";

/** A streamer whose connections to the node lead through a proxy. */
function connectThrough(proxy: Proxy, name: string): Promise<RedisStreamer> {
  return connectAs(name, proxy.url, { mapNode: () => ({ hostname: proxy.host, port: proxy.port }) });
}

/** Adds entries to some of the shards, each time in another way. */
async function addSome(stream: ManyShards, random: Random): Promise<void> {
  const some = [...stream.payloads.keys()].filter(() => random.once(3));
  if (random.once(8)) await stream.addVeryMany(1 + random.below(40));
  else await stream.add(1 + random.below(3), some);
}

test(
  `a real-time consumer gets each entry once and in order, wherever its connection is cut (seed ${seed})`,
  async () => {
    const random = new Random(seed);
    const stream = new ManyShards(server, SHARDS);
    await stream.add(1);
    await using proxy = await startProxy(server);
    await using streamer = await connectThrough(proxy, stream.streamKey);
    const got = new Got();
    got.take(await streamer.createConsumer(stream.streamKey, { mode: "real-time", autoStreamReset: "earliest" }));
    await got.until(stream.count);
    const before = proxy.connections;
    for (let round = 0; round < 80; round++) {
      const way = random.once(4) ? proxy.toServer : proxy.toClient;
      way.cutAfter(1 + random.below(random.once(2) ? 300 : 6_000));
      await addSome(stream, random);
      if (random.once(2)) await got.until(stream.count);
    }
    proxy.toServer.cutAfter(Infinity);
    proxy.toClient.cutAfter(Infinity);
    await got.until(stream.count);
    assertEquals(got.payloads, stream.payloads);
    assertGreaterOrEqual(proxy.connections - before, 40);
  },
  { timeout: 60_000 },
);

/** Takes and acknowledges everything; each message counts as delivered once. */
function acking(consumer: AckConsumer, wrong: Message[]): Got {
  const got = new Got();
  got.take(consumer, (message) => {
    if (message.deliveries !== 1) wrong.push(message);
    consumer.ack(message);
  });
  return got;
}

for (const mode of ["resumable", "load-balanced"] as const) {
  test(
    `a group delivers each entry once, and acknowledges all, wherever connections are cut (${mode}, seed ${seed})`,
    async () => {
      const random = new Random(seed);
      const stream = new ManyShards(server, SHARDS);
      await stream.add(1);
      await using proxy = await startProxy(server);
      await using streamer = await connectThrough(proxy, stream.streamKey);
      const wrong: Message[] = [];
      const got = acking(
        await streamer.createConsumer(stream.streamKey, {
          mode,
          group,
          consumerId: "c",
          autoStreamReset: "earliest",
          autoCommit: "rolling",
          autoCommitInterval: 20,
        }),
        wrong,
      );
      await got.until(stream.count);
      const before = proxy.connections;
      for (let round = 0; round < 60; round++) {
        const way = random.once(4) ? proxy.toServer : proxy.toClient;
        way.cutAfter(1 + random.below(random.once(2) ? 300 : 6_000));
        await addSome(stream, random);
        if (random.once(2)) await got.until(stream.count);
      }
      proxy.toServer.cutAfter(Infinity);
      proxy.toClient.cutAfter(Infinity);
      await got.until(stream.count);
      await until(async () => await stream.pending(group) === 0, { what: "nothing is pending" });
      assertEquals([got.count, wrong.map((message) => message.text())], [stream.count, []]);
      assertEquals(got.payloads.map((payloads) => [...payloads].sort()), stream.payloads.map((all) => [...all].sort()));
      assertGreaterOrEqual(proxy.connections - before, 30);
    },
    { timeout: 60_000 },
  );
}

test("shards that join and leave while connections are cut are neither lost nor read twice", async () => {
  const random = new Random(seed);
  const stream = new ManyShards(server, 10);
  await stream.add(3);
  await using proxy = await startProxy(server);
  await using streamer = await connectThrough(proxy, stream.streamKey);
  const { streamKey } = stream;
  const consumer: Consumer = await streamer.createConsumer(streamKey, {
    mode: "real-time",
    autoStreamReset: "earliest",
    shards: 10,
  });
  const got = new Got();
  got.take(consumer);
  await got.until(stream.count);
  for (let round = 0; round < 30; round++) {
    proxy.toClient.cutAfter(1 + random.below(2_000));
    const shard = random.below(10);
    await consumer.unassign(streamKey, shard);
    const missed = stream.payloads[shard].length;
    await stream.add(1, [...stream.payloads.keys()].filter((one) => one !== shard));
    await consumer.rewind("end"); // the others, too: all that came before is not awaited
    await consumer.assign(streamKey, shard); // from its beginning
    const before = got.payloads[shard].length;
    await until(() => got.payloads[shard].length - before >= missed);
    assertEquals(got.payloads[shard].slice(before), stream.payloads[shard]);
  }
  assert(got.failure === undefined, String(got.failure));
}, { timeout: 60_000 });
