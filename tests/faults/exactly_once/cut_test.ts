// Tests that a connection that is reset at any byte, in either direction, loses and repeats nothing, if ids are the producer's own.

import { assertEquals } from "@std/assert";
import { connect, type Producer, type RedisStreamer } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { type Proxy, startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { checkExactlyOnce, SINGLE_WRITER } from "../../support/producer/single_writer.ts";
import { endingsOf, parseEntries } from "../../support/producer/stream_checks.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const MESSAGES = 24;
/** Connections that are cut at the same time. */
const LANES = 40;

type Way = "toServer" | "toClient";

interface Lane {
  readonly proxy: Proxy;
  readonly streamer: RedisStreamer;
  readonly producer: Producer;
}

async function openLane(): Promise<Lane> {
  const proxy = await startProxy(server);
  const streamer = await connect(proxy.url, { reconnect: { initialDelay: 1 } });
  const producer = await streamer.createProducer(uniqueKey("warm"), { ...SINGLE_WRITER, sendTimeout: 20_000 });
  await producer.send("warm");
  return { proxy, streamer, producer };
}

function flight(producer: Producer, key: string) {
  return endingsOf(Array.from({ length: MESSAGES }, (_, i) => [`m${i}`, producer.sendTo(key, `m${i}`)] as const));
}

/** The bytes of a flight, each way, with those of the question for the end of the stream. */
async function flightSize(way: Way): Promise<number> {
  const { proxy, streamer, producer } = await openLane();
  const before = proxy[way].passed;
  await flight(producer, uniqueKey("q"));
  const size = proxy[way].passed - before;
  await streamer.disconnect();
  await proxy.stop();
  return size;
}

async function cutAt({ proxy, producer, streamer }: Lane, way: Way, offset: number): Promise<void> {
  const key = uniqueKey("q");
  let lost = 0;
  const count = () => void lost++;
  streamer.addEventListener("disconnect", count);
  proxy[way].cutAfter(offset);
  const endings = await flight(producer, key);
  endings.push(...await endingsOf([["last", producer.sendTo(key, "last")]]));
  await until(() => lost > 0);
  await producer.send("warm"); // the next connection is ready
  streamer.removeEventListener("disconnect", count);
  const [range] = await server.commands([["XRANGE", key, "-", "+"], ["DEL", key]]);
  checkExactlyOnce(parseEntries(range), endings);
  assertEquals(producer.stats().conflicts, 0);
}

async function cutEverywhere(way: Way): Promise<void> {
  const size = await flightSize(way);
  const offsets = Array.from({ length: size }, (_, i) => 1 + i);
  await Promise.all(Array.from({ length: LANES }, async () => {
    const lane = await openLane();
    try {
      for (let offset = offsets.pop(); offset !== undefined; offset = offsets.pop()) {
        try {
          await cutAt(lane, way, offset);
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

for (const way of ["toServer", "toClient"] as const) {
  test(
    `a reset at every byte ${way === "toServer" ? "of the requests" : "of the replies"}: each message is stored once`,
    async () => {
      await cutEverywhere(way);
    },
    { timeout: 60_000, oneServer: PROXIED },
  );
}
