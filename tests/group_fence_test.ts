// Owns the lost connection that cannot be killed: what the server hands to its blocked read is brought in later.

import { connect as dial, type Socket } from "node:net";
import { assertEquals } from "@std/assert";
import { connect } from "../mod.ts";
import { addMany } from "./streamer/consumer/reading.ts";
import { until } from "./support/events.ts";
import { uniqueKey } from "./support/keys.ts";
import { test } from "./support/runner.ts";
import { sharedServer } from "./support/server.ts";
import { destroy, Listener } from "./support/sockets.ts";

const server = await sharedServer();

test("what a lost connection is given that cannot be killed is not left pending", async () => {
  const [key, user] = [uniqueKey(), uniqueKey("user")];
  await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", "-client|kill");
  const upstreams: Socket[] = [];
  // A network that tells the server nothing of clients that are gone.
  const network = await Listener.open((client) => {
    const upstream = dial({ host: server.host, port: server.port });
    upstreams.push(upstream);
    client.on("data", (bytes) => upstream.write(bytes));
    upstream.on("data", (bytes) => client.destroyed || client.write(bytes));
    for (const socket of [client, upstream]) socket.on("error", () => {});
  });
  const blocked = async (count: number) =>
    new RegExp(`^blocked_clients:${count}\r?$`, "m").test(String(await server.command("INFO", "clients")));
  // Reads block for as long as the timeout, which is longer than what is waited where there is no fence.
  const streamer = await connect(`redis://${user}:pw@127.0.0.1:${network.port}`, { timeout: 4_000 });
  try {
    const options = { mode: "resumable", group: "g", autoCommit: "rolling", mkstream: true } as const;
    const consumer = await streamer.createConsumer(key, options);
    const next = consumer.next();
    next.catch(() => {}); // where something before it fails
    await until(() => blocked(1));
    await Promise.all([...network.sockets].map((socket) => destroy(socket)));
    await until(() => blocked(2)); // that one, which nobody hears any more, and the new connection's
    const [id] = await addMany(server, key, 1); // which the old read gets
    assertEquals((await next).id, id);
  } finally {
    await streamer.disconnect();
    await Promise.all(upstreams.map((socket) => destroy(socket)));
    await network.stop();
  }
}, { timeout: 40_000 });
