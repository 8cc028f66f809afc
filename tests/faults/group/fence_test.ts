// Tests a lost connection that cannot be killed: entries that the server delivers to its blocked read are recovered
// later.

import { connect as dial, type Socket } from "node:net";
import { assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { addMany } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { destroy, Listener } from "../../support/network/sockets.ts";

const server = await sharedServer();

test("entries delivered to a lost connection that cannot be killed do not stay pending", async () => {
  const [key, user] = [uniqueKey(), uniqueKey("user")];
  await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", "-client|kill");
  const upstreams: Socket[] = [];
  // A network that does not tell the server about closed clients.
  const network = await Listener.open((client) => {
    const upstream = dial({ host: server.host, port: server.port });
    upstreams.push(upstream);
    client.on("data", (bytes) => upstream.write(bytes));
    upstream.on("data", (bytes) => client.destroyed || client.write(bytes));
    for (const socket of [client, upstream]) socket.on("error", () => {});
  });
  const blocked = async (count: number) =>
    new RegExp(`^blocked_clients:${count}\r?$`, "m").test(String(await server.command("INFO", "clients")));
  // Reads block for the timeout, which is longer than the wait without a fence.
  const streamer = await connect(`redis://${user}:pw@127.0.0.1:${network.port}`, { timeout: 4_000 });
  try {
    const options = { mode: "resumable", group: "g", autoCommit: "rolling", mkstream: true } as const;
    const consumer = await streamer.createConsumer(key, options);
    const next = consumer.next();
    next.catch(() => {}); // because an earlier command fails
    await until(() => blocked(1));
    await Promise.all([...network.sockets].map((socket) => destroy(socket)));
    await until(() => blocked(2)); // that one, which no client reads any more, and the new connection's
    const [id] = await addMany(server, key, 1); // which the old read receives
    assertEquals((await next).id, id);
  } finally {
    await streamer.disconnect();
    await Promise.all(upstreams.map((socket) => destroy(socket)));
    await network.stop();
  }
}, { timeout: 40_000 });
