// Tests a bad network: connections that are cut at any byte and at any time, many times in a row, make no message fail.

import { assert } from "@std/assert";
import { connect } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { type Proxy, startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { checkStream, endingsOf, entriesOf } from "../../support/producer/stream_checks.ts";

const server = await sharedServer();
const seed = freshSeed();
const LANES = 12;
const CUTS = 25;

/** The byte at which the next connection is cut: a third of them during the handshake. */
function nextCut(proxy: Proxy, random: Random): void {
  const bytes = 1 + random.below(random.below(3) === 0 ? 300 : 40_000);
  (random.below(3) === 0 ? proxy.toClient : proxy.toServer).cutAfter(bytes);
}

async function lane(random: Random): Promise<void> {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 1, maxDelay: 5 } });
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("first");
  let cuts = 0;
  streamer.addEventListener("disconnect", () => cuts++);
  const sends = Array.from({ length: 150 }, (_, i) => {
    const payload = `m${i} `.padEnd(random.of([5, 60, 500, 5_000]), "x");
    return [payload, producer.send(payload)] as const;
  });
  const all = endingsOf(sends);
  for (let i = 0; i < CUTS && producer.stats().buffered > 0; i++) {
    const { connections } = proxy;
    nextCut(proxy, random);
    await until(() => proxy.connections > connections || producer.stats().buffered === 0);
  }
  const endings = await all;
  for (const ending of endings) {
    assert("receipt" in ending, `${ending.payload.slice(0, 5)}: ${"error" in ending && ending.error}`);
  }
  checkStream((await entriesOf(server, producer.streamKey)).slice(1), endings, { delivery: "at-least-once", cuts });
  await server.command("DEL", producer.streamKey);
}

test(`random cuts reject no send (seed ${seed})`, async () => {
  await Promise.all(Array.from({ length: LANES }, (_, i) => lane(new Random(seed + i))));
}, { timeout: 60_000 });
