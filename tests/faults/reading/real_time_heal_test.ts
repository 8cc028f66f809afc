// Tests real-time consumers across a reconnect: they resume after the last message, without loss or repetition,
// whatever ended the read.

import { assert, assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { Random } from "../../support/resp/drive.ts";
import {
  addMany,
  blockedClient,
  clientsNamed,
  restUpToMark,
  takeTexts,
  texts,
} from "../../support/consumer/reading.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());
const server = await sharedServer();
const reconnect = { initialDelay: 5, maxDelay: 50 };

test("callers do not notice CLIENT KILL of a blocked read", async () => {
  const key = uniqueKey();
  const name = uniqueKey("client");
  await using streamer = await connect(server.url, { clientName: name, reconnect });
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  for (let round = 0; round < 5; round++) {
    const asked = consumer.next();
    const id = await blockedClient(server, name);
    await server.command("CLIENT", "KILL", "ID", id);
    await addMany(server, key, 1, `round${round}-`); // during a pause of reading, perhaps
    assertEquals((await asked).text(), `round${round}-0`);
  }
  assertEquals(await restUpToMark(server, consumer, key), []);
});

for (const how of ["TIMEOUT", "ERROR"]) {
  test(`callers do not notice CLIENT UNBLOCK with ${how}`, async () => {
    const key = uniqueKey();
    const name = uniqueKey("client");
    await using streamer = await connect(server.url, { clientName: name, reconnect });
    const consumer = await streamer.createConsumer(key, { mode: "real-time" });
    for (let round = 0; round < 3; round++) {
      const asked = consumer.next();
      assertEquals(await server.command("CLIENT", "UNBLOCK", await blockedClient(server, name), how), 1);
      await blockedClient(server, name);
      await addMany(server, key, 1, `round${round}-`);
      assertEquals((await asked).text(), `round${round}-0`);
    }
    assertEquals((await clientsNamed(server, name)).length, 2, "with the connections it had");
  });
}

test("a server that becomes a replica and a primary again is read further", async () => {
  await using own = await startServer();
  const key = uniqueKey();
  const name = uniqueKey("client");
  await using streamer = await connect(own.url, { clientName: name, reconnect });
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const asked = consumer.next();
  await blockedClient(own, name);
  await own.command("REPLICAOF", "127.0.0.1", "1");
  await own.command("REPLICAOF", "NO", "ONE");
  await addMany(own, key, 1);
  assertEquals((await asked).text(), "0");
}, { ignore });

test("a server that restarts with its data is read after the last message", async () => {
  await using own = await startServer({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
  const key = uniqueKey();
  await using streamer = await connect(own.url, { reconnect });
  const resets: unknown[] = [];
  streamer.addEventListener("stream-reset", ({ detail }) => resets.push(detail));
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  await addMany(own, key, 3, "before");
  assertEquals(await takeTexts(consumer, 3), texts(3, "before"));
  const asked = consumer.next();
  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    await own.kill(signal);
    await own.restart();
  }
  await addMany(own, key, 3, "after");
  assertEquals([(await asked).text(), ...await takeTexts(consumer, 2)], texts(3, "after"));
  assertEquals(await restUpToMark(own, consumer, key), []);
  assertEquals(resets, []);
}, { ignore });

test("messages written while the server is unreachable are read after the reconnect", async () => {
  const key = uniqueKey();
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect });
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const asked = consumer.next();
  const gone = nextEvent(streamer, "disconnect");
  proxy.refuse();
  await proxy.cut();
  await gone;
  await addMany(server, key, 500);
  await until(() => proxy.refused >= 3);
  proxy.refuse(false);
  assertEquals([(await asked).text(), ...await takeTexts(consumer, 499)], texts(500));
});

test("a consumer can be created, moved and ended while the server is unreachable", async () => {
  const key = uniqueKey();
  await addMany(server, key, 3, "old");
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect });
  const there = await streamer.createConsumer(key, { mode: "real-time" });
  proxy.refuse();
  await proxy.cut();
  const making = streamer.createConsumer(key, { mode: "real-time" });
  await there.rewind("beginning"); // sends no command
  const asked = there.next();
  // Its shards are known, and their beginning: no command is needed either.
  const ended = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest", shards: 1 });
  await ended.end();
  proxy.refuse(false);
  assertEquals((await asked).text(), "old0");
  const made = await making;
  await addMany(server, key, 1, "new");
  assertEquals(await takeTexts(made, 1), ["new0"]);
});

for (const seed of [21, 22]) {
  test(`with random cuts while messages flow each is delivered exactly once, in order (seed ${seed})`, async () => {
    const key = uniqueKey();
    const random = new Random(seed);
    await using proxy = await startProxy(server);
    await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 1, maxDelay: 5 } });
    const consumer = await streamer.createConsumer(key, { mode: "real-time" });
    const total = 4_000;
    const adding = (async () => {
      for (let n = 0; n < total; n += 100) {
        if (random.once(4)) proxy.toClient.cutAfter(1 + random.below(6_000));
        if (random.once(8)) await proxy.cut();
        await addMany(server, key, 100, `${n}+`);
      }
    })();
    const got: string[] = [];
    for await (const message of consumer) {
      got.push(message.text());
      if (got.length === total) break;
    }
    await adding;
    assertEquals(got, Array.from({ length: total / 100 }, (_, i) => texts(100, `${i * 100}+`)).flat());
    proxy.toClient.cutAfter(Infinity);
    assertEquals(await restUpToMark(server, consumer, key), []);
    assert(proxy.connections > 4, `${proxy.connections} connections`);
  });
}
