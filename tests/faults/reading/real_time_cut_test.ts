// Tests cuts inside of a page: at every byte of an XREAD reply of 100 messages the connection breaks, and still each
// message is delivered exactly once, in ascending order.

import { assert, assertEquals, assertGreater } from "@std/assert";
import { connect, type RedisStreamer } from "../../../mod.ts";
import { systemClock } from "../../../resp/connection/clock.ts";
import { nativeDial } from "../../../resp/transport/dial.ts";
import { connectWith } from "../../../streamer/connect.ts";
import { Random } from "../../support/resp/drive.ts";
import { entry, page3 } from "../../unit/commands/frames.ts";
import { addMany, idsInRange, restUpToMark, takeIds } from "../../support/consumer/reading.ts";
import { handshake, noShards, startFakeServer } from "../../support/network/fake_server.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

/** The pauses between attempts take no time: another test checks the pace. */
function connectAtOnce(url: string): Promise<RedisStreamer> {
  const after = (delay: number, run: () => void) => systemClock.after(delay < 5_000 ? 0 : delay, run);
  return connectWith({ dial: nativeDial(), clock: { ...systemClock, after } }, url);
}

const ids = Array.from({ length: 100 }, (_, i) => `${1_700_000_000_000 + i}-${i % 7}`);
const reply = page3(["k", ...ids.map((id, i) => entry(id, "msg", `payload ${i}`))]);

/** All these cuts on one consumer, in sequence. After the last one the page arrives complete. */
async function readThroughCuts(cuts: readonly number[]): Promise<void> {
  let made = 0;
  await using fake = await startFakeServer(async (peer) => {
    await peer.serve({
      ...handshake,
      ...noShards,
      XREAD: async (words) => {
        if (words.at(-1) !== "0-0") return words.at(-1) === ids[99] ? undefined : `-ERR not a position: ${words}\r\n`;
        if (made === cuts.length) return reply;
        await peer.sendAndCut(reply, cuts[made++]);
        return undefined;
      },
    });
  });
  await using streamer = await connectAtOnce(fake.url);
  const consumer = await streamer.createConsumer("k", { mode: "real-time", autoStreamReset: "earliest" });
  assertEquals(await takeIds(consumer, 100), ids);
  assertEquals([made, consumer.stats().delivered, consumer.stats().queued], [cuts.length, 100, 0]);
}

const SEED = 31;
const [FIRST, SAMPLE] = [400, 120];

test(
  `a cut at each of the first ${FIRST} bytes of a page, and at ${SAMPLE} others (seed ${SEED}), neither loses nor repeats messages`,
  async () => {
    const random = new Random(SEED);
    const cuts = Array.from({ length: FIRST }, (_, i) => i);
    for (let i = 0; i < SAMPLE; i++) cuts.push(FIRST + random.below(reply.length - FIRST));
    cuts.push(reply.length - 2, reply.length - 1);
    await Promise.all([0, 1].map((half) => readThroughCuts(cuts.filter((_, i) => i % 2 === half))));
  },
  { timeout: 60_000 },
);

test("a cut anywhere in a real server's page neither loses nor repeats messages", async () => {
  const key = uniqueKey();
  await addMany(server, key, 100, "payload ");
  const expected = await idsInRange(server, key);
  await using proxy = await startProxy(server);
  await using streamer = await connectAtOnce(proxy.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  assertEquals(await takeIds(consumer, 100), expected);
  const random = new Random(SEED);
  for (let round = 0; round < 60; round++) {
    // The bytes of a handshake are among the first of these, so that it is cut too now and then.
    proxy.toClient.cutAfter(random.below(8_000));
    await consumer.rewind("beginning");
    assertEquals(await takeIds(consumer, 100), expected);
  }
  proxy.toClient.cutAfter(Infinity);
  assertEquals(await restUpToMark(server, consumer, key), []);
  assertGreater(proxy.connections, 10);
});

test("after a cut at the end of a page reading resumes after it", async () => {
  let pages = 0;
  await using fake = await startFakeServer(async (peer) => {
    await peer.serve({
      ...handshake,
      ...noShards,
      XREAD: async (words) => {
        const from = ids.indexOf(words.at(-1) ?? "") + 1;
        if (from === ids.length) return undefined;
        pages++;
        const part = page3(["k", ...ids.slice(from, from + 10).map((id) => entry(id, "msg", "x"))]);
        await peer.sendAndCut(part, part.length);
        return undefined;
      },
    });
  });
  await using streamer = await connectAtOnce(fake.url);
  const consumer = await streamer.createConsumer("k", { mode: "real-time", autoStreamReset: "earliest" });
  assertEquals(await takeIds(consumer, 100), ids);
  assert(pages >= 10, `${pages} pages`);
});

test("a page in single bytes is read like any other", async () => {
  const key = uniqueKey();
  await addMany(server, key, 30, "payload ");
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url);
  proxy.toClient.split(1);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  assertEquals(await takeIds(consumer, 30), await idsInRange(server, key));
});
