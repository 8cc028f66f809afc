// Tests that after a cut few bytes are in flight until the server has answered: a connection that is cut again and
// again does not get the whole backlog each time.

import { assert, assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";
import { bytesOnWire } from "../../support/producer/wire_bytes.ts";

const KEY = uniqueKey();
const KIB = 1024;

test("after a cut at most two small windows are in flight before the first reply, and they grow with the replies", async () => {
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  await using redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      if (xadd.connection === 1) return redis.added.length === 500 ? await xadd.cut() : undefined;
      await promise;
      return fake.store(xadd);
    },
  });
  await using streamer = await connect(redis.url, { reconnect: { initialDelay: 1 } });
  const producer = await streamer.createProducer(KEY);
  const payload = "x".repeat(KIB);
  const receipts = Array.from({ length: 3_000 }, () => producer.send(payload));
  const bytes = bytesOnWire(producer.stats()) / receipts.length;
  await until(() => redis.added.at(-1)?.connection === 2);
  const { inFlight, resent } = producer.stats();
  assert(resent * bytes > 500 * KIB, "much was in flight at the cut");
  assert(inFlight > 0 && inFlight * bytes <= 2 * 64 * KIB, `${inFlight} messages of ${bytes} bytes are in flight`);
  let most = 0;
  const look = () => void (most = Math.max(most, producer.stats().inFlight));
  for (let i = 0; i < receipts.length; i += 50) receipts[i].then(look);
  answer();
  await Promise.all(receipts);
  assert(most * bytes > 4 * 64 * KIB, `${most} messages were in flight at most`);
  assertEquals(redis.payloads(KEY).length, receipts.length);
  redis.server.errors.length = 0; // the cut was in the middle of a command
});
