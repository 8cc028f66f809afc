// Tests the default of `orderBy`, which follows from the consumer's mode.

import { assertEquals } from "@std/assert";
import { connect, type Message, process } from "../../../mod.ts";
import { groupOf, untilPending } from "../../support/consumer/grouping.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";

for (const [mode, most] of [["load-balanced", 4], ["resumable", 1]] as const) {
  test(`a ${mode} consumer has ${most} handlers at a time of one shard, unless orderBy says otherwise`, async () => {
    const { key } = await groupOf(server, group, 4);
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, { mode, group, autoCommit: "rolling", autoCommitInterval: 1 });
    const gates = new Map<string, PromiseWithResolvers<void>>();
    const handle = (message: Message) => {
      const gate = Promise.withResolvers<void>();
      gates.set(message.text(), gate);
      return gate.promise;
    };
    const stop = new AbortController();
    const running = process(consumer, handle, { signal: stop.signal });
    for (let finished = 0; finished < 4;) {
      await until(() => gates.size === Math.min(most, 4 - finished));
      finished += gates.size;
      for (const [text, gate] of gates) {
        gates.delete(text);
        gate.resolve();
      }
    }
    await untilPending(server, key, group, 0);
    stop.abort();
    assertEquals(await running, { handled: 4, failed: 0, repeated: 0 });
  });
}

test("orderBy overrides the default of the mode", async () => {
  const { key } = await groupOf(server, group, 3);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "load-balanced", group, autoCommit: "rolling" });
  const stop = new AbortController();
  const seen: string[] = [];
  let running = 0;
  await process(consumer, async (message) => {
    assertEquals(++running, 1);
    seen.push(message.text());
    await new Promise((resolve) => setTimeout(resolve, 1));
    running--;
    if (seen.length === 3) stop.abort();
  }, { orderBy: "shard", signal: stop.signal, onError: (error) => Promise.reject(error) });
  assertEquals(seen, ["0", "1", "2"]);
});
