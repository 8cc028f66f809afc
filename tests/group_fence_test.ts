// Owns the lost connection that cannot be killed: what the server hands to its blocked read is brought in later.

import { assertEquals } from "@std/assert";
import { connect } from "../mod.ts";
import { addMany } from "./streamer/consumer/reading.ts";
import { nextEvent, until } from "./support/events.ts";
import { uniqueKey } from "./support/keys.ts";
import { startProxy } from "./support/proxy.ts";
import { test } from "./support/runner.ts";
import { sharedServer } from "./support/server.ts";

const server = await sharedServer();

test("what a lost connection is given that cannot be killed is not left pending", async () => {
  const [key, user] = [uniqueKey(), uniqueKey("user")];
  await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", "-client|kill");
  await using proxy = await startProxy(server);
  const url = proxy.url.replace("redis://", `redis://${user}:pw@`);
  // Reads block for as long as the timeout, which is longer than what is waited where there is no fence.
  await using streamer = await connect(url, { timeout: 4_000 });
  const consumer = await streamer.createConsumer(key, {
    mode: "resumable",
    group: "g",
    autoCommit: "rolling",
    mkstream: true,
  });
  const next = consumer.next();
  const blocked = async (count: number) =>
    new RegExp(`^blocked_clients:${count}`, "m").test(String(await server.command("INFO", "clients")));
  await until(() => blocked(1));
  const unavailable = nextEvent(streamer, "fence-unavailable");
  await proxy.cutClients(); // the server's side of it stays, and its read goes on blocking
  await unavailable;
  await until(() => blocked(2)); // that one, and the new connection's
  const [id] = await addMany(server, key, 1); // which the old read gets
  assertEquals((await next).id, id);
}, { timeout: 40_000 });
