// Tests the restart of a server that persists each command, under load, and acknowledgements whose replies are lost:
// acknowledged messages stay so, all messages are delivered, and nothing is pending in the end.

import { assert, assertEquals, assertGreater } from "@std/assert";
import {
  connectEagerly,
  countPending,
  eventsOf,
  groupInfo,
  inOrder,
  nothingPending,
  pendingOf,
} from "../../support/consumer/group_faults.ts";
import { addMany, blockedClient, idsInRange, take } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { OWN, PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());
const server = await sharedServer();
const group = "g";
const durable = { args: ["--appendonly", "yes", "--appendfsync", "always"] };

const base = { mode: "resumable", group, mkstream: true, autoStreamReset: "earliest" } as const;
const options = {
  delayed: { autoCommit: "delayed", autoCommitDelay: 0, autoCommitInterval: 10 },
  rolling: { autoCommit: "rolling", autoCommitInterval: 10 },
  disabled: { autoCommit: "disabled" },
} as const;

for (const autoCommit of ["delayed", "rolling", "disabled"] as const) {
  test(
    `a server that is killed and restarted under load loses no message and no acknowledgement (${autoCommit})`,
    async () => {
      await using own = await startServer(durable);
      const key = uniqueKey();
      await using streamer = await connectEagerly(own.url);
      const cuts = eventsOf(streamer, "disconnect");
      const producer = await streamer.createProducer(key);
      // A checked border: the policy decides which methods exist.
      const consumer = await streamer.createConsumer(
        key,
        { ...base, ...options[autoCommit] } as typeof base & {
          readonly autoCommit: "disabled";
        },
      );
      const seen: string[] = [];
      const committed: string[] = [];
      const run = async () => {
        for await (const message of consumer) {
          seen.push(message.id);
          assertEquals(message.deliveries, 1);
          if (autoCommit !== "delayed") consumer.ack(message);
          if (autoCommit !== "disabled" || seen.length % 50 !== 0) continue;
          const upTo = seen.slice(committed.length);
          await consumer.commit();
          committed.push(...upTo);
        }
      };
      const running = run();
      let sending = true;
      const load = (async () => {
        for (let i = 0; sending; i++) {
          producer.send(`${i}`);
          if (i % 20 === 0) await producer.flush();
        }
      })();
      for (let round = 0; round < 3; round++) {
        const before = seen.length;
        await until(() => seen.length > before + 100, { what: "messages come" });
        await own.kill("SIGKILL");
        const sure = [...committed];
        await own.restart();
        const pending = new Set((await pendingOf(own, key, group)).map(({ id }) => id));
        assertEquals(sure.filter((id) => pending.has(id)), []);
      }
      sending = false;
      await load;
      await producer.flush();
      const all = await idsInRange(own, key);
      await until(() => seen.length >= all.length, { what: "all have come" });
      assertEquals(seen, all);
      if (autoCommit === "disabled") await consumer.commit();
      await nothingPending(own, key, group);
      assertEquals((await groupInfo(own, key, group)).get("entries-read"), all.length);
      assertEquals(consumer.stats().delivered, all.length);
      assertGreater(cuts.length, 2);
      await consumer.end();
      await running;
    },
    { oneServer: OWN, ignore, timeout: 60_000 },
  );
}

test(
  "acknowledgements whose replies are lost are sent again, and a commit resolves only with the server's reply",
  async () => {
    const key = uniqueKey();
    await using proxy = await startProxy(server);
    await using streamer = await connectEagerly(proxy.url, { clientName: key });
    const consumer = await streamer.createConsumer(key, {
      mode: "resumable",
      group,
      mkstream: true,
      autoStreamReset: "earliest",
      autoCommit: "disabled",
      batchSize: 20,
    });
    for (let round = 0; round < 20; round++) {
      await blockedClient(server, key);
      await addMany(server, key, 20);
      const messages = await take(consumer, 20);
      for (const message of messages) consumer.ack(message);
      await blockedClient(server, key);
      let resolved = false;
      proxy.toClient.hold(); // the server acknowledges, and the reply is lost
      const commit = consumer.commit().then(() => resolved = true);
      await nothingPending(server, key, group);
      assertEquals([resolved, consumer.stats().unsentAcks], [false, 20]);
      proxy.refuse();
      await proxy.cut();
      proxy.toClient.release();
      await until(() => proxy.refused > 0);
      proxy.refused = 0;
      assertEquals(resolved, false);
      proxy.refuse(false);
      await commit;
      assertEquals([consumer.stats().acked, consumer.stats().unsentAcks], [20 * (round + 1), 0]);
    }
    const read = (await groupInfo(server, key, group)).get("entries-read");
    assertEquals(read, consumer.stats().acked + await countPending(server, key, group));
  },
  { oneServer: PROXIED },
);

test("acknowledgements that never reached the server are sent after the reconnect, also by the end", async () => {
  for (const last of ["commit", "end"] as const) {
    const key = uniqueKey();
    const ids = await addMany(server, key, 50);
    await using proxy = await startProxy(server);
    await using streamer = await connectEagerly(proxy.url);
    const consumer = await streamer.createConsumer(key, {
      mode: "load-balanced",
      group,
      autoStreamReset: "earliest",
      autoCommit: "disabled",
    });
    for (const message of await take(consumer, 50)) consumer.ack(message);
    proxy.refuse();
    await proxy.cut();
    let resolved = false;
    const done = consumer[last]().then(() => resolved = true);
    await until(() => proxy.refused > 2);
    assertEquals((await pendingOf(server, key, group)).map(({ id }) => id), [...ids].sort(inOrder));
    assert(!resolved);
    proxy.refuse(false);
    await done;
    assertEquals(await countPending(server, key, group), 0);
    assertEquals(consumer.stats().acked, 50);
    assertGreater(proxy.connections, 1);
  }
}, { oneServer: PROXIED });
