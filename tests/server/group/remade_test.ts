// Tests a group that another consumer has recreated: prefetched messages of the old one reach the application.

import { assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { addMany } from "../../support/consumer/reading.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

/** The number of lease renewals by all consumers. */
async function keepAliveRounds(): Promise<number> {
  const stats = await server.command("INFO", "commandstats");
  return Number(/cmdstat_eval:calls=(\d+)/.exec(String(stats))?.[1] ?? 0);
}

test("prefetched messages of a group are returned after another consumer has recreated the group", async () => {
  const key = uniqueKey();
  await using slow = await connect(server.url);
  await using quick = await connect(server.url);
  const options = {
    mode: "load-balanced",
    group: "g",
    autoCommit: "rolling",
    autoStreamReset: "earliest",
    mkstream: true,
    autoClaimIdle: 200,
    autoClaimInterval: 50,
  } as const;
  const lazy = await slow.createConsumer(key, { ...options, consumerId: "lazy" });
  await addMany(server, key, 20);
  const seen = [(await lazy.next()).text()]; // nine more are prefetched, and no read is in flight
  const eager = await quick.createConsumer(key, { ...options, consumerId: "eager" });
  for (let i = 0; i < 10; i++) {
    const message = await eager.next();
    seen.push(message.text());
    eager.ack(message);
  }
  const later = eager.next(); // so that it notices the loss
  const recreated = nextEvent(quick, "group-recreated");
  await server.command("XGROUP", "DESTROY", key, "g");
  await recreated;
  const lost: unknown[] = [];
  slow.addEventListener("lost", (event) => void lost.push(event.detail));
  await addMany(server, key, 1, "new");
  seen.push((await later).text());
  const rounds = await keepAliveRounds();
  await until(async () => await keepAliveRounds() >= rounds + 4); // two of each consumer
  for (let i = 0; i < 9; i++) seen.push((await lazy.next()).text());
  assertEquals(new Set(seen).size, 21);
  assertEquals(lost, []);
});
