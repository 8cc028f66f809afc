// Tests half-open connections of consumers that watch many slots: nothing blocks there, so only heartbeats notice them.

import { assertEquals } from "@std/assert";
import { StreamerError } from "../../../mod.ts";
import { eventsOf } from "../../support/consumer/grouping.ts";
import { connectAs, ManyShards, sharedNode } from "../../support/consumer/watching.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { Got } from "../../support/routing/got.ts";
import { RawWriter } from "../../support/routing/raw_writer.ts";
import { streamerOver } from "../../support/routing/two_node_streamer.ts";
import { TwoNodes } from "../../support/routing/two_nodes.ts";
import { test } from "../../support/runner.ts";

const server = await sharedNode();

for (const inGroup of [false, true]) {
  test(`a connection that drops all bytes is noticed while idle, and replaced (${inGroup ? "a group" : "real time"})`, async () => {
    const stream = new ManyShards(server, 12);
    await stream.add(1);
    await using proxy = await startProxy(server);
    const mapNode = () => ({ hostname: proxy.host, port: proxy.port });
    await using streamer = await connectAs(stream.streamKey, proxy.url, { mapNode, timeout: 400 });
    const got = new Got();
    if (inGroup) {
      const options = { mode: "resumable", group: "g", autoStreamReset: "earliest", autoCommit: "rolling" } as const;
      const consumer = await streamer.createConsumer(stream.streamKey, options);
      got.take(consumer, (message) => consumer.ack(message));
    } else {got.take(
        await streamer.createConsumer(stream.streamKey, { mode: "real-time", autoStreamReset: "earliest" }),
      );}
    await got.until(stream.count);
    const lost = eventsOf(streamer, "disconnect");
    proxy.toClient.hold({ swallow: true });
    proxy.toServer.hold({ swallow: true });
    await stream.add(2);
    const manager = await streamer.createManager();
    const asked = manager.length(stream.keys[0]).catch(() => {}); // over the other connection
    await until(() => lost.length >= 2);
    for (const { cause } of lost) assertEquals(cause instanceof StreamerError && cause.code, "TIMEOUT");
    await proxy.cut();
    proxy.toClient.release();
    proxy.toServer.release();
    await asked;
    await got.until(stream.count);
    assertEquals(got.payloads, stream.payloads);
  });
}

test("entries whose pushes were swallowed by a proxy are read with later heartbeats", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both, { timeout: 200 });
  const writer = new RawWriter(both, uniqueKey(), 12);
  await writer.add(1);
  const got = new Got();
  got.take(
    await routed.streamer.createConsumer(writer.streamKey, { mode: "real-time", autoStreamReset: "earliest" }),
  );
  await got.until(12);
  for (const node of both.nodes) node.pushes = false;
  await writer.add(1);
  await got.until(24);
  for (const node of both.nodes) node.pushes = true;
  await writer.add(1);
  await got.until(36);
  assertEquals(got.payloads, writer.payloads);
});
