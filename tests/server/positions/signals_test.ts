// Tests aborted moves: they reject with the signal's reason, nothing is lost or repeated, and later moves work.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { Random } from "../../support/resp/drive.ts";
import { array, bulk, entry, page3 } from "../../unit/commands/frames.ts";
import { addMany, restUpToMark, takeTexts, texts } from "../../support/consumer/reading.ts";
import { nextEvent, until } from "../../support/events.ts";
import { handshake, noShards, startFakeServer } from "../../support/network/fake_server.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { OWN, PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const realTime = { mode: "real-time" } as const;

test("a signal that is already aborted moves nothing", async () => {
  const key = uniqueKey();
  await addMany(server, key, 20);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, autoStreamReset: "earliest" });
  assertEquals(await takeTexts(consumer, 5), texts(5));
  const reason = new Error("no");
  const signal = AbortSignal.abort(reason);
  const moves = [
    () => consumer.rewind("end", { signal }),
    () => consumer.rewind("beginning", { signal }),
    () => consumer.seek(0n, { signal }),
    () => consumer.assign(key, 0, { signal }),
  ];
  for (const move of moves) assertStrictEquals(await assertRejects(move), reason);
  assertEquals(await takeTexts(consumer, 15), texts(15, "", 5));
});

for (const seed of [61, 62]) {
  test(`rewinds to the end that are aborted at random neither lose nor repeat messages (seed ${seed})`, async () => {
    const key = uniqueKey();
    const random = new Random(seed);
    const total = 1_500;
    await addMany(server, key, total);
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, {
      ...realTime,
      ...{ autoStreamReset: "earliest", batchSize: 1 + random.below(40), prefetch: random.below(4) },
    });
    const got: string[] = [];
    let aborted = 0;
    while (got.length < total) {
      const controller = new AbortController();
      const move = consumer.rewind("end", { signal: controller.signal }).then(() => false, () => true);
      if (random.once(3)) await Promise.resolve();
      const asked = random.once(3) ? consumer.next() : undefined;
      controller.abort(); // before any reply: no turn of the event loop has passed
      assert(await move, "it had no time to succeed");
      aborted++;
      if (asked !== undefined) got.push((await asked).text());
      got.push(...await takeTexts(consumer, Math.min(total - got.length, random.below(60))));
    }
    assertEquals(got, texts(total));
    assertEquals(await restUpToMark(server, consumer, key), []);
    assert(aborted > 10, `${aborted} aborted`);
  });
}

test("a rewind that is aborted while the server is silent leaves everything as it was", async () => {
  const key = uniqueKey();
  await addMany(server, key, 50);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, autoStreamReset: "earliest", batchSize: 5 });
  assertEquals(await takeTexts(consumer, 3), texts(3));
  await until(() => consumer.stats().queued >= 7);
  proxy.toClient.hold();
  const controller = new AbortController();
  const move = consumer.rewind("end", { signal: controller.signal });
  const reason = new Error("too slow");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => move), reason);
  proxy.toClient.release();
  assertEquals(await takeTexts(consumer, 47), texts(47, "", 3));
  assertEquals(await restUpToMark(server, consumer, key), []);
}, { oneServer: PROXIED });

test("an abort after a rewind resolved has no effect", async () => {
  const key = uniqueKey();
  await addMany(server, key, 5, "old");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, autoStreamReset: "earliest" });
  const controller = new AbortController();
  await consumer.rewind("end", { signal: controller.signal });
  controller.abort();
  await addMany(server, key, 1, "new");
  assertEquals(await takeTexts(consumer, 1), ["new0"]);
});

const XINFO = array(bulk("last-generated-id"), bulk("5-0"));

/** A server that answers the first query for the end, and none of the later ones. */
function startMute() {
  let asked = 0;
  let given = false;
  return startFakeServer(async (peer) => {
    await peer.serve({
      ...handshake,
      ...noShards,
      XINFO: () => asked++ === 0 ? XINFO : undefined,
      XREAD: (words) => {
        if (words.at(-1) !== "7-0" || given) return undefined;
        given = true;
        return page3(["k", entry("8-0", "msg", "after seven")]);
      },
    });
  });
}

test("a seek that waits for a hanging rewind obeys its own signal", async () => {
  await using mute = await startMute();
  await using streamer = await connect(mute.url);
  const consumer = await streamer.createConsumer("k", realTime);
  const rewinding = consumer.rewind("end");
  rewinding.catch(() => {});
  const controller = new AbortController();
  const moves = [
    consumer.seek(5n, { signal: controller.signal }),
    consumer.rewind("end", { signal: controller.signal }),
    consumer.assign("k", 3, { signal: controller.signal }),
    consumer.unassign("k", 0, { signal: controller.signal }),
  ];
  const reason = new Error("enough");
  controller.abort(reason);
  for (const move of moves) assertStrictEquals(await assertRejects(() => move), reason);
  await consumer.end();
}, { oneServer: OWN });

test("a hanging rewind that is aborted lets the following moves proceed", async () => {
  await using mute = await startMute();
  await using streamer = await connect(mute.url);
  const consumer = await streamer.createConsumer("k", realTime);
  const controller = new AbortController();
  const hanging = consumer.rewind("end", { signal: controller.signal });
  const behind = consumer.rewind("7-0");
  controller.abort(new Error("enough"));
  await assertRejects(() => hanging, Error, "enough");
  await behind;
  assertEquals((await consumer.next()).text(), "after seven");
}, { oneServer: OWN });

test("the end of the consumer settles moves that hang", async () => {
  await using mute = await startMute();
  await using streamer = await connect(mute.url);
  const consumer = await streamer.createConsumer("k", realTime);
  const moves = [consumer.rewind("end"), consumer.seek(5n), consumer.assign("k", 1), consumer.rewind("end")];
  await consumer.end();
  for (const move of moves) {
    const error = await assertRejects(() => move, StreamerError);
    assertEquals(error.code, "CONSUMER_ENDED");
  }
}, { oneServer: OWN });

test("the end of the streamer settles moves and creations that hang", async () => {
  await using mute = await startMute();
  const streamer = await connect(mute.url);
  const consumer = await streamer.createConsumer("k", realTime);
  const moves = [consumer.rewind("end"), consumer.assign("k", 1)];
  const making = streamer.createConsumer("k", realTime);
  const settled = Promise.allSettled([...moves, making]);
  await streamer.disconnect({ timeout: 100 });
  for (const result of await settled) {
    assert(result.status === "rejected");
    assert(["CONSUMER_ENDED", "DISCONNECTED"].includes(result.reason.code), result.reason.code);
  }
}, { oneServer: OWN });

test("a rewind to the end while the server cannot be reached resolves when it can", async () => {
  const key = uniqueKey();
  await addMany(server, key, 3, "old");
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 5, maxDelay: 50 } });
  const consumer = await streamer.createConsumer(key, { ...realTime, autoStreamReset: "earliest" });
  const gone = nextEvent(streamer, "disconnect");
  proxy.refuse();
  await proxy.cut();
  await gone;
  const move = consumer.rewind("end");
  proxy.refuse(false);
  await move;
  await addMany(server, key, 1, "new");
  assertEquals(await takeTexts(consumer, 1), ["new0"]);
}, { oneServer: PROXIED });
