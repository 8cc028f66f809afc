// Tests that every method of a consumer refuses options that it does not know, and signals that are none.

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type CommitConsumer, connect, type Message, StreamerError } from "../../../mod.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

// deno-lint-ignore no-explicit-any -- what a program without types may pass
type Wrong = any;

/** Methods of every consumer. */
const calls: Readonly<Record<string, (consumer: Pick<CommitConsumer, Common>, options: Wrong) => unknown>> = {
  next: (consumer, options) => consumer.next(options),
  messages: (consumer, options) => consumer.messages(options),
  batches: (consumer, options) => consumer.batches(options),
  seek: (consumer, options) => consumer.seek(new Date(), options),
  rewind: (consumer, options) => consumer.rewind("end", options),
  assign: (consumer, options) => consumer.assign(consumer.streamShards[0].streamKey, 1, options),
  unassign: (consumer, options) => consumer.unassign(consumer.streamShards[0].streamKey, 0, options),
  end: (consumer, options) => consumer.end(options),
};
type Common = "next" | "messages" | "batches" | "seek" | "rewind" | "assign" | "unassign" | "end" | "streamShards";

async function refused(call: () => unknown): Promise<StreamerError> {
  const error = await assertRejects(async () => await call(), StreamerError);
  assertEquals(error.code, "INVALID_OPTION", String(call));
  return error;
}

for (const mode of ["real-time", "load-balanced"] as const) {
  test(`a ${mode} consumer refuses unknown options and signals that are none, and goes on`, async () => {
    await using streamer = await connect(server.url);
    const key = uniqueKey();
    const consumer = mode === "real-time"
      ? await streamer.createConsumer(key, { mode })
      : await streamer.createConsumer(key, { mode, group: "g", autoCommit: "disabled" });
    for (const call of Object.values(calls)) {
      assertStringIncludes((await refused(() => call(consumer, { bogus: 1 }))).message, `"bogus"`);
      for (const signal of [5, null, {}]) await refused(() => call(consumer, { signal }));
      for (const options of [null, 5]) await refused(() => call(consumer, options));
    }
    await server.command("XADD", key, "*", "msg", "x");
    assertEquals((await consumer.next()).text(), "x");
    await server.command("DEL", key);
  });
}

test("nack and commit refuse unknown options, and the message stays in flight", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  const options = { mode: "load-balanced", group: "g", autoCommit: "disabled" } as const;
  const consumer = await streamer.createConsumer(key, options);
  await server.command("XADD", key, "*", "msg", "x");
  const message: Message = await consumer.next();
  for (const wrong of [{ dely: 5 }, 5, null] as Wrong[]) await refused(() => consumer.nack(message, wrong));
  for (const wrong of [{ bogus: 5 }, { signal: 5 }, null] as Wrong[]) await refused(() => consumer.commit(wrong));
  assertEquals(consumer.stats().inHand, 1);
  consumer.ack(message);
  await consumer.commit();
  assertEquals(consumer.stats().inHand, 0);
  await server.command("DEL", key);
});
