// Tests moves of one group consumer that are aborted, or meet a lost connection, an end or a replay: nothing is lost or
// repeated, and nothing hangs.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { Random } from "../../support/resp/drive.ts";
import { connectEagerly } from "../../support/consumer/group_faults.ts";
import { groupOf, leftBy, pendingIds } from "../../support/consumer/grouping.ts";
import { addMany, restUpToMark, take, takeIds, takeTexts, texts } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const mine = { mode: "resumable", group, consumerId: "me", autoCommit: "disabled" } as const;

test("a signal that is already aborted moves nothing", async () => {
  const { key } = await groupOf(server, group, 20);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, mine);
  assertEquals(await takeTexts(consumer, 5), texts(5));
  const reason = new Error("no");
  const signal = AbortSignal.abort(reason);
  const moves = [
    () => consumer.rewind("end", { signal }),
    () => consumer.seek(0n, { signal }),
    () => consumer.seek(0n, { signal, group: true }),
    () => consumer.assign(key, 0, { signal }),
    () => consumer.unassign(key, 0, { signal }),
  ];
  for (const move of moves) assertStrictEquals(await assertRejects(move), reason);
  assertEquals(await takeTexts(consumer, 15), texts(15, "", 5));
});

for (const seed of [91, 92]) {
  for (const whole of [false, true]) {
    const what = whole ? "of the group " : "";
    test(`rewinds ${what}to the end that are aborted at random neither lose nor repeat messages (seed ${seed})`, async () => {
      const random = new Random(seed);
      const total = 600;
      const { key } = await groupOf(server, group, total);
      await using streamer = await connect(server.url);
      const consumer = await streamer.createConsumer(key, {
        ...mine,
        batchSize: 1 + random.below(40),
        prefetch: random.below(4),
      });
      const got: string[] = [];
      let aborted = 0;
      while (got.length < total) {
        const controller = new AbortController();
        const options = { signal: controller.signal, group: whole };
        const move = consumer.rewind("end", options).then(() => false, () => true);
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
      assert(aborted > 5, `${aborted} aborted`);
      assertEquals((await pendingIds(server, key, group)).length, total + 1, "all of it is still the group's");
    });
  }
}

test("a rewind that is aborted while the server is silent leaves everything as it was", async () => {
  for (const whole of [false, true]) {
    const { key } = await groupOf(server, group, 50);
    await using proxy = await startProxy(server);
    await using streamer = await connect(proxy.url);
    const consumer = await streamer.createConsumer(key, { ...mine, batchSize: 5 });
    assertEquals(await takeTexts(consumer, 3), texts(3));
    await until(() => consumer.stats().queued >= 7);
    proxy.toClient.hold();
    const controller = new AbortController();
    const move = consumer.rewind("end", { signal: controller.signal, group: whole });
    const waiting = consumer.rewind("beginning", { signal: AbortSignal.timeout(20), group: whole });
    assertEquals((await assertRejects(() => waiting, DOMException)).name, "TimeoutError");
    const reason = new Error("too slow");
    controller.abort(reason);
    assertStrictEquals(await assertRejects(() => move), reason);
    proxy.toClient.release();
    assertEquals(await takeTexts(consumer, 47), texts(47, "", 3));
    assertEquals(await restUpToMark(server, consumer, key), []);
  }
});

test("an end during moves ends them, and leaves prefetched messages to the next run", async () => {
  for (const whole of [false, true]) {
    const { key, ids } = await groupOf(server, group, 30);
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, { ...mine, batchSize: 10 });
    for (const message of await take(consumer, 5)) consumer.ack(message);
    const moves = [
      consumer.rewind("end", { group: whole }),
      consumer.rewind("beginning"),
      consumer.assign(key, 1),
      consumer.seek(0n),
    ];
    const settled = Promise.allSettled(moves);
    const asked = assertRejects(() => consumer.next(), StreamerError);
    await consumer.end();
    for (const result of await settled) {
      assert(result.status === "rejected" && result.reason instanceof StreamerError);
      assertEquals(result.reason.code, "CONSUMER_ENDED");
    }
    assertEquals((await asked).code, "CONSUMER_ENDED");
    const next = await streamer.createConsumer(key, mine);
    const first = (await take(next, 1))[0].id;
    assert(whole || first === ids[5], `${first} comes first`);
  }
});

for (const when of ["before", "while"] as const) {
  test(`a connection that is cut ${when} a move does not affect it`, async () => {
    for (const position of ["beginning", "end"] as const) {
      const { key } = await groupOf(server, group, 300);
      await using proxy = await startProxy(server);
      await using streamer = await connectEagerly(proxy.url);
      const consumer = await streamer.createConsumer(key, { ...mine, batchSize: 20 });
      assertEquals(await takeTexts(consumer, 30), texts(30));
      if (when === "before") proxy.cut();
      const moving = consumer.rewind(position);
      if (when === "while") proxy.cut();
      await moving;
      if (position === "end") await addMany(server, key, 100, "new");
      for (let part = 0; part < 10; part++) {
        const expected = position === "end" ? texts(10, "new", part * 10) : texts(30, "", part * 30);
        assertEquals(await takeTexts(consumer, expected.length), expected);
        if (part % 3 === 0) proxy.cut();
      }
      assertEquals(await restUpToMark(server, consumer, key), []);
    }
  });
}

test("a move during a replay leaves the rest of it, and the next run gets all unacknowledged messages", async () => {
  const { key, ids } = await groupOf(server, group, 100);
  await leftBy(server, { key, group, consumer: "me", count: 80 });
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...mine, batchSize: 10, prefetch: 1 });
  const replayed = await take(consumer, 15);
  assert(replayed.every(({ deliveries }) => deliveries === 2));
  await consumer.rewind(ids[89]);
  assertEquals(await takeIds(consumer, 10), ids.slice(90));
  for (const message of replayed) consumer.ack(message);
  await consumer.commit();
  await consumer.end();
  const next = await streamer.createConsumer(key, mine);
  assertEquals((await takeIds(next, 85)).toSorted(), ids.slice(15).toSorted());
  assertEquals(await restUpToMark(server, next, key), []);
});

test("pause holds messages after a move, too", async () => {
  const { key } = await groupOf(server, group, 10);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, mine);
  consumer.pause();
  const asked = consumer.next();
  await consumer.rewind("beginning");
  await until(() => consumer.stats().queued === 10);
  assertEquals(consumer.stats().delivered, 0);
  consumer.resume();
  assertEquals((await asked).text(), "0");
});
