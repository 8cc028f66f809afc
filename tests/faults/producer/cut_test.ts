// Tests that a connection cut at any byte, in either direction, loses nothing, mixes nothing up and repeats no more
// than allowed. By default every byte is tried with at-least-once, every fifth with at-most-once.

import { assert, assertEquals } from "@std/assert";
import { connect, type Delivery, type Producer, type RedisStreamer } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { type Proxy, startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { checkNothingLate, checkStream, endingsOf, parseEntries } from "../../support/producer/stream_checks.ts";

const server = await sharedServer();
const MESSAGES = 30;
/**
 * The number of connections that are cut at the same time. Each pauses a tenth of a second between cuts, as any client
 * must.
 */
const LANES = 40;

type Way = "toServer" | "toClient";

interface Lane {
  readonly proxy: Proxy;
  readonly streamer: RedisStreamer;
  readonly producer: Producer;
}

async function openLane(delivery: Delivery): Promise<Lane> {
  const proxy = await startProxy(server);
  const streamer = await connect(proxy.url, { reconnect: { initialDelay: 1 } });
  const generic = await streamer.createGenericProducer({ delivery, sendTimeout: 20_000 });
  const producer = generic.anchor(uniqueKey("warm"));
  await warmUp(producer);
  return { proxy, streamer, producer };
}

/** Sends until a message is stored: then the connection is ready, and its handshake is complete. */
async function warmUp(producer: Producer): Promise<void> {
  while (!("receipt" in (await endingsOf([["warm", producer.send("warm")]]))[0]));
  await server.command("DEL", producer.streamKey);
}

/** The bytes of a flight of messages, each way. */
async function flightSize(way: Way): Promise<number> {
  const { proxy, streamer, producer } = await openLane("at-least-once");
  const before = proxy[way].passed;
  await flight(producer, uniqueKey("q"));
  const size = proxy[way].passed - before;
  await streamer.disconnect();
  await proxy.stop();
  return size;
}

function flight(producer: Producer, key: string) {
  return endingsOf(Array.from({ length: MESSAGES }, (_, i) => [`m${i}`, producer.sendTo(key, `m${i}`)] as const));
}

async function cutAt({ proxy, producer, streamer }: Lane, way: Way, offset: number, delivery: Delivery): Promise<void> {
  assert(delivery !== "exactly-once");
  const key = uniqueKey("q");
  const { connections } = proxy;
  let lost = 0;
  const count = () => void lost++;
  streamer.addEventListener("disconnect", count);
  proxy[way].cutAfter(offset);
  const endings = await flight(producer, key);
  // Messages sent from now on are stored after all of it.
  endings.push(...await endingsOf([["last", producer.sendTo(key, "last")]]));
  await until(() => lost > 0);
  await warmUp(producer); // if the cut took the last one's reply, the new connection may still be opening
  streamer.removeEventListener("disconnect", count);
  const [range] = await server.commands([["XRANGE", key, "-", "+"], ["DEL", key]]);
  const entries = parseEntries(range);
  checkStream(entries, endings, { delivery });
  checkNothingLate(entries, new Set(endings.slice(0, -1).map(({ payload }) => payload)));
  assertEquals([lost, proxy.connections - connections], [1, 1], "one cut, one new connection");
  if (delivery === "at-least-once") assert(endings.every((ending) => "receipt" in ending));
}

async function cutEverywhere(way: Way, delivery: Delivery, step: number): Promise<void> {
  const size = await flightSize(way);
  const offsets = Array.from({ length: Math.ceil(size / step) }, (_, i) => 1 + i * step).filter((at) => at <= size);
  await Promise.all(Array.from({ length: LANES }, async () => {
    const lane = await openLane(delivery);
    try {
      for (let offset = offsets.pop(); offset !== undefined; offset = offsets.pop()) {
        try {
          await cutAt(lane, way, offset, delivery);
        } catch (cause) {
          throw new Error(`after byte ${offset} of ${size}: ${cause instanceof Error ? cause.message : cause}`, {
            cause,
          });
        }
      }
    } finally {
      await lane.streamer.disconnect({ timeout: 100 });
      await lane.proxy.stop();
    }
  }));
}

test(
  "at-least-once: cut after every byte of the requests, every message is acked, in order, at most twice",
  () => cutEverywhere("toServer", "at-least-once", 1),
  { timeout: 60_000 },
);

test(
  "at-least-once: cut after every byte of the replies, every message is acked, in order, at most twice",
  () => cutEverywhere("toClient", "at-least-once", 1),
  { timeout: 60_000 },
);

test(
  "at-most-once: cut after any byte of the requests, nothing is stored twice, and outcomes are correct",
  () => cutEverywhere("toServer", "at-most-once", 5),
  { timeout: 60_000 },
);

test(
  "at-most-once: cut after any byte of the replies, nothing is stored twice, and outcomes are correct",
  () => cutEverywhere("toClient", "at-most-once", 5),
  { timeout: 60_000 },
);
