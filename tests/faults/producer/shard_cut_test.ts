// Tests that a lost connection keeps every promise for each shard of a stream: cut at any byte, stalled, and again and
// again under load.

import { assert, assertEquals } from "@std/assert";
import { connect, type Delivery, keyHashSharder, type Producer, roundRobinSharder } from "../../../mod.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { type Proxy, startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { Lines } from "../../support/producer/lines.ts";
import {
  checkNothingLate,
  checkStream,
  type Ending,
  endingsOf,
  type Entry,
  parseEntries,
} from "../../support/producer/stream_checks.ts";
import { bytesOnWire } from "../../support/producer/wire_bytes.ts";

const server = await sharedServer();
const SHARDS = 5;
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);
const DELIVERIES = ["at-least-once", "at-most-once"] as const;

/** The entries of each shard, which are then deleted. */
async function takeShards(key: string, count = SHARDS): Promise<Entry[][]> {
  const keys = numbers(count).map((shard) => `${key}:${shard}`);
  const replies = await server.commands([...keys.map((shard) => ["XRANGE", shard, "-", "+"]), ["DEL", ...keys]]);
  return replies.slice(0, count).map(parseEntries);
}

/**
 * Compares each shard's stream with the outcomes of its messages. `shardOf` has the shard by the place among the calls.
 */
function checkShards(
  shards: readonly Entry[][],
  endings: readonly Ending[],
  claims: { readonly delivery: Delivery; readonly cuts?: number; readonly shardOf?: (call: number) => number },
): void {
  const { delivery, shardOf = (call) => call % SHARDS, ...cuts } = claims;
  assert(delivery !== "exactly-once");
  shards.forEach((entries, shard) => {
    const mine = endings.filter((_, call) => shardOf(call) === shard);
    for (const ending of mine) if ("receipt" in ending) assertEquals(ending.receipt.shardId, shard);
    checkStream(entries, mine, { delivery, ...cuts });
  });
  if (delivery === "at-least-once") assert(endings.every((ending) => "receipt" in ending));
}

/** Sends until a message is stored: then the connection is ready, and its handshake is complete. */
async function warmUp(producer: Producer, key: string): Promise<void> {
  while (!("receipt" in (await endingsOf([["warm", producer.sendTo(key, "warm")]]))[0]));
}

/** One flight over all shards, cut at a byte. Later messages are stored after it in each shard. */
async function cutAt(proxy: Proxy, way: "toServer" | "toClient", offset: number, delivery: Delivery): Promise<void> {
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 1 } });
  const warm = uniqueKey("warm");
  const producer = await streamer.createProducer(uniqueKey("s"), { delivery, sharder: roundRobinSharder(SHARDS) });
  await warmUp(producer, warm);
  const lost = nextEvent(streamer, "disconnect");
  proxy[way].cutAfter(offset);
  const send = (i: number) => [`m${i}`, producer.send(`m${i}`)] as const;
  const endings = await endingsOf(numbers(20).map(send));
  endings.push(...await endingsOf(numbers(SHARDS).map((i) => send(20 + i))));
  await lost;
  const shards = await takeShards(producer.streamKey);
  await takeShards(warm);
  checkShards(shards, endings, { delivery });
  const block = new Set(endings.slice(0, 20).map(({ payload }) => payload));
  for (const entries of shards) checkNothingLate(entries, block);
}

/** Bytes of a flight of 20 messages, each way. */
async function flightSize(way: "toServer" | "toClient"): Promise<number> {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url);
  const producer = await streamer.createProducer(uniqueKey("s"), { sharder: roundRobinSharder(SHARDS) });
  await producer.sendTo(uniqueKey("warm"), "warm");
  const before = proxy[way].passed;
  await Promise.all(numbers(20).map((i) => producer.send(`m${i}`)));
  await takeShards(producer.streamKey);
  return proxy[way].passed - before;
}

for (const delivery of DELIVERIES) {
  for (const way of ["toServer", "toClient"] as const) {
    test(
      `${delivery}: cut after any byte of the ${
        way === "toServer" ? "requests" : "replies"
      }, each shard keeps every promise`,
      async () => {
        const size = await flightSize(way);
        const step = way === "toServer" ? 11 : 5; // 11 of some 80 bytes a message, 5 of 22 a reply: every kind of place
        const offsets = numbers(Math.ceil(size / step)).map((i) => 1 + i * step).filter((at) => at <= size);
        await Promise.all(
          numbers(10).map(async () => {
            await using proxy = await startProxy(server);
            for (let offset = offsets.pop(); offset !== undefined; offset = offsets.pop()) {
              try {
                await cutAt(proxy, way, offset, delivery);
              } catch (cause) {
                throw new Error(`after byte ${offset} of ${size}: ${cause instanceof Error ? cause.message : cause}`, {
                  cause,
                });
              }
            }
          }),
        );
      },
      { timeout: 60_000 },
    );
  }
}

const seed = freshSeed();

for (const delivery of DELIVERIES) {
  test(
    `${delivery}: cut again and again under load over 16 shards by key, each shard keeps every promise (seed ${seed})`,
    async () => {
      await using proxy = await startProxy(server);
      await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 1 } });
      const random = new Random(seed);
      const factory = keyHashSharder(16);
      const producer = await streamer.createProducer(uniqueKey("s"), { delivery, sharder: factory });
      let cuts = 0;
      streamer.addEventListener("disconnect", () => cuts++);
      const hash = factory();
      const places: number[] = [];
      const all: Promise<Ending[]>[] = [];
      const sendWhile = async (goesOn: () => boolean) => {
        for (let turn = 0; goesOn(); turn++) {
          assert(turn < 5_000, "the connection is neither lost nor up again");
          all.push(endingsOf(
            numbers(100).map(() => {
              const key = `customer-${random.below(1_000)}`;
              const payload = `${key}/${places.length}`;
              places.push(hash.shard("", "", key));
              return [payload, producer.send(payload, { key })] as const;
            }),
          ));
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      };
      for (let round = 0; round < 8; round++) {
        const { acked } = producer.stats();
        await sendWhile(() => producer.stats().acked === acked); // then the handshake is complete
        const before = cuts;
        proxy[random.of(["toServer", "toClient"] as const)].cutAfter(1 + random.below(20_000));
        await sendWhile(() => cuts === before);
      }
      const endings = (await Promise.all(all)).flat();
      checkShards(await takeShards(producer.streamKey, 16), endings, {
        delivery,
        cuts,
        shardOf: (call) => places[call],
      });
      assertEquals(producer.stats().buffered, 0);
    },
    { timeout: 60_000 },
  );
}

test("bytes that a stalled connection still holds for many shards are never stored: each message is stored once, in order", async () => {
  await using lines = await Lines.start(server);
  await using streamer = await connect(lines.url, { reconnect: { initialDelay: 5 } });
  const producer = await streamer.createProducer(uniqueKey("stall"), { sharder: roundRobinSharder(SHARDS) });
  await producer.sendTo(uniqueKey("warm"), "warm");
  const stalled = lines.lines[lines.lines.length - 1];
  stalled.hold();
  const send = (i: number) => [`m${i}`, producer.send(`m${i}`)] as const;
  const old = numbers(400).map(send);
  const size = bytesOnWire(producer.stats());
  await until(() => stalled.waiting >= size);
  const lost = nextEvent(streamer, "disconnect");
  await stalled.cutClient();
  await lost;
  const newer = numbers(200).map((i) => send(400 + i));
  const endings = await endingsOf([...old, ...newer]);
  stalled.release();
  await until(() => stalled.serverClosed);
  const shards = await takeShards(producer.streamKey);
  checkShards(shards, endings, { delivery: "at-least-once" });
  shards.forEach((entries, shard) =>
    assertEquals(entries.map(({ payload }) => payload), numbers(120).map((i) => `m${shard + i * SHARDS}`))
  );
});
