// Tests a group consumer while the server refuses its commands, and the fate of messages delivered by then.

import { assertEquals, assertRejects } from "@std/assert";
import { connect, process, StreamerError } from "../../../mod.ts";
import { addMany } from "../../support/consumer/reading.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";

async function pendingIds(server: { command(...words: string[]): Promise<unknown> }, key: string): Promise<string[]> {
  const rows = await server.command("XPENDING", key, "g", "-", "+", "100") as [string][];
  return rows.map(([id]) => id);
}

test("while a dead letter is refused for lack of memory, acks are committed, and a consumer of the group can start", async () => {
  await using server = await startServer();
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  const [first, second] = await addMany(server, key, 2);
  const options = { mode: "load-balanced", group: "g", autoCommit: "disabled", autoStreamReset: "earliest" } as const;
  const consumer = await streamer.createConsumer(key, { ...options, deadLetter: "dead" });
  const [bad, good] = [await consumer.next(), await consumer.next()];
  await server.command("CONFIG", "SET", "maxmemory", "1");
  consumer.term(bad);
  consumer.ack(good);
  const error = await assertRejects(() => consumer.end({ timeout: 300 }), StreamerError);
  assertEquals([error.code, good.id], ["TIMEOUT", second]);
  assertEquals(await pendingIds(server, key), [first]);
  const other = await streamer.createConsumer(key, { ...options, autoClaimIdle: 1, autoClaimInterval: 10 });
  assertEquals((await other.next()).id, first);
  await other.end();
});

test("a nacked message is redelivered although another consumer has recreated its group meanwhile", async () => {
  await using server = await startServer();
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  await addMany(server, key, 1);
  const consumer = await streamer.createConsumer(key, {
    mode: "resumable",
    group: "g",
    autoCommit: "rolling",
    autoStreamReset: "earliest",
    prefetch: 0, // so that no read in flight would notice
  });
  const message = await consumer.next();
  await server.command("XGROUP", "DESTROY", key, "g");
  await server.command("XGROUP", "CREATE", key, "g", "$");
  consumer.nack(message);
  const again = await consumer.next();
  assertEquals([again.id, again.deliveries], [message.id, 2]);
  await consumer.end();
  consumer.nack(again, { delay: 3_600_000 }); // after the end no timer is left
});

test("messages that `process` has not started are not deliveries, and no limit dead-letters them", async () => {
  await using server = await startServer();
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  const ids = await addMany(server, key, 10);
  const options = { mode: "resumable", group: "g", autoCommit: "rolling", autoStreamReset: "earliest" } as const;
  const consumer = await streamer.createConsumer(key, { ...options, maxDeliveries: 1, deadLetter: "dead" });
  const stop = new AbortController();
  const counts = await process(consumer, () => stop.abort(), { signal: stop.signal });
  assertEquals(counts, { handled: 1, failed: 0, repeated: 0 });
  const rest: [string, number][] = [];
  while (rest.length < 9) {
    const { id, deliveries } = await consumer.next();
    rest.push([id, deliveries]);
  }
  assertEquals(rest.sort(), ids.slice(1).map((id): [string, number] => [id, 1]).sort());
  assertEquals(await server.command("XLEN", "dead"), 0);
});

test("messages handled after the consumer has ended are not counted as handled: they stay pending", async () => {
  await using server = await startServer();
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  const ids = await addMany(server, key, 1);
  const consumer = await streamer.createConsumer(key, {
    mode: "resumable",
    group: "g",
    autoCommit: "rolling",
    autoStreamReset: "earliest",
  });
  const started = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const running = process(consumer, () => {
    started.resolve();
    return gate.promise;
  });
  await started.promise;
  await consumer.end();
  gate.resolve();
  assertEquals(await running, { handled: 0, failed: 1, repeated: 0 });
  assertEquals(await pendingIds(server, key), ids);
});

test("a group that vanished while the server was full is recreated when it has memory", async () => {
  await using server = await startServer();
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  await addMany(server, key, 1);
  const consumer = await streamer.createConsumer(key, { mode: "resumable", group: "g", autoCommit: "rolling" });
  const next = consumer.next();
  const recreated = nextEvent(streamer, "group-recreated");
  await server.command("CONFIG", "SET", "maxmemory", "1");
  await server.command("XGROUP", "DESTROY", key, "g");
  await until(async () =>
    /cmdstat_xgroup\|create:[^\n]*rejected_calls=[1-9]/.test(String(await server.command("INFO", "commandstats")))
  );
  await server.command("CONFIG", "SET", "maxmemory", "0");
  await recreated;
  const [id] = await addMany(server, key, 1);
  assertEquals((await next).id, id);
});
