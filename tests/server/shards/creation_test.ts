// Tests which shards a new consumer reads: existing streams, whatever other keys exist, or the plain key.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { addMany, Monitor, restUpToMark, take, takeTexts, texts } from "../../support/consumer/reading.ts";
import { byShard, numbersOf, shardsTold } from "../../support/consumer/sharding.ts";
import { until } from "../../support/events.ts";
import { handshake, noShards, startFakeServer } from "../../support/network/fake_server.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { DATABASES, OWN, PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());
const server = await sharedServer();
const realTime = { mode: "real-time" } as const;
const reconnect = { initialDelay: 5, maxDelay: 50 };

for (const shards of [undefined, "discover"] as const) {
  test(`existing shards are read, in the order of their numbers (shards: ${shards})`, async () => {
    const key = uniqueKey();
    for (const shard of [10, 0, 9]) await addMany(server, `${key}:${shard}`, 2, "old");
    await using streamer = await connect(server.url);
    const told = shardsTold(streamer);
    const consumer = await streamer.createConsumer(key, { ...realTime, shards });
    assertEquals(numbersOf(consumer, key), [0, 9, 10]);
    assertEquals(told, [{ streamKey: key, found: [0, 9, 10], gone: [], ignoredPlain: false }]);
    for (const shard of [10, 0, 9]) await addMany(server, `${key}:${shard}`, 2, `${shard}-`);
    const expected = { "0": ["0-0", "0-1"], "9": ["9-0", "9-1"], "10": ["10-0", "10-1"] };
    assertEquals(byShard(await take(consumer, 6)), expected);
    assertEquals(await restUpToMark(server, consumer, `${key}:0`, `${key}:9`, `${key}:10`), []);
  });
}

test("with earliest, existing entries of the shards are read", async () => {
  const key = uniqueKey();
  await addMany(server, `${key}:0`, 3, "zero");
  await addMany(server, `${key}:4`, 3, "four");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, autoStreamReset: "earliest" });
  assertEquals(byShard(await take(consumer, 6)), { "0": texts(3, "zero"), "4": texts(3, "four") });
});

test("if shards exist the plain key is not read, and an event reports that", async () => {
  const key = uniqueKey();
  await addMany(server, `${key}:1`, 1);
  await addMany(server, key, 1);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, { ...realTime, autoStreamReset: "earliest" });
  assertEquals(told, [{ streamKey: key, found: [1], gone: [], ignoredPlain: true }]);
  await addMany(server, key, 3, "plain");
  assertEquals(await restUpToMark(server, consumer, `${key}:1`), ["0"]);
});

test("an empty plain key beside shards is not reported as ignored", async () => {
  const key = uniqueKey();
  await server.command("XGROUP", "CREATE", key, "g", "0", "MKSTREAM");
  await addMany(server, `${key}:1`, 1);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  await streamer.createConsumer(key, realTime);
  assertEquals(told, [{ streamKey: key, found: [1], gone: [], ignoredPlain: false }]);
});

test("keys that look like shards and are not streams are ignored", async () => {
  const key = uniqueKey();
  const suffixes = ["x", "01", "", "-1", "1.5", "1:2", "9007199254740993", "99999999999999999999", "1e3", " 1"];
  for (const suffix of suffixes) await addMany(server, `${key}:${suffix}`, 1);
  await server.command("SET", `${key}:3`, "a string");
  await server.command("RPUSH", `${key}:4`, "a list");
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const plain = await streamer.createConsumer(key, realTime);
  assertEquals([plain.streamShards, told], [[{ streamKey: key, shardId: 0 }], []]);
  await addMany(server, key, 2);
  assertEquals(await takeTexts(plain, 2), texts(2));
  await addMany(server, `${key}:2`, 1);
  const sharded = await streamer.createConsumer(key, realTime);
  assertEquals(numbersOf(sharded, key), [2]);
});

test("names that match a pattern by accident are not mixed up", async () => {
  const key = uniqueKey();
  const other = `${key}{a}`;
  await addMany(server, `${key}x:0`, 1);
  await addMany(server, `x${key}:0`, 1);
  await addMany(server, `${other}:5`, 1);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([key, other], realTime);
  assertEquals(consumer.streamShards, [{ streamKey: key, shardId: 0 }, { streamKey: other, shardId: 5 }]);
});

test("each stream of several has its own shards, or none", async () => {
  const [sharded, plain, both] = [uniqueKey(), uniqueKey(), uniqueKey()];
  for (const redisKey of [`${sharded}:0`, `${sharded}:1`, plain, both, `${both}:7`]) await addMany(server, redisKey, 1);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer([sharded, plain, both], realTime);
  assertEquals(consumer.streamShards, [
    { streamKey: sharded, shardId: 0 },
    { streamKey: sharded, shardId: 1 },
    { streamKey: plain, shardId: 0 },
    { streamKey: both, shardId: 7 },
  ]);
  assertEquals(told, [
    { streamKey: sharded, found: [0, 1], gone: [], ignoredPlain: false },
    { streamKey: both, found: [7], gone: [], ignoredPlain: true },
  ]);
  for (const redisKey of [`${sharded}:0`, `${sharded}:1`, plain, `${both}:7`]) {
    await addMany(server, redisKey, 1, redisKey);
  }
  const got = (await take(consumer, 4)).map(({ streamKey, shardId }) => `${streamKey} ${shardId}`);
  assertEquals(got.toSorted(), [`${sharded} 0`, `${sharded} 1`, `${plain} 0`, `${both} 7`].toSorted());
});

test("a key that is subscribed by name is not a shard of another stream", async () => {
  const key = uniqueKey();
  const named = `${key}:1`;
  await addMany(server, named, 1);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([key, named], realTime);
  assertEquals(consumer.streamShards, [{ streamKey: key, shardId: 0 }, { streamKey: named, shardId: 0 }]);
  await addMany(server, named, 1, "once");
  const message = await consumer.next();
  assertEquals([message.streamKey, message.shardId, message.text()], [named, 0, "once0"]);
  await addMany(server, `${key}:2`, 1);
  const other = await streamer.createConsumer([named, key], realTime);
  assertEquals(other.streamShards, [{ streamKey: named, shardId: 0 }, { streamKey: key, shardId: 2 }]);
});

test("shards are found among ten thousand other keys", async () => {
  const key = uniqueKey();
  await server.commands(Array.from({ length: 10_000 }, (_, i) => ["SETEX", `${key}-${i}:${i}`, 60, "1"]));
  const numbers = Array.from({ length: 40 }, (_, shard) => shard * 3);
  for (const shard of numbers) await addMany(server, `${key}:${shard}`, 1);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, realTime);
  assertEquals(numbersOf(consumer, key), numbers);
  await monitor.settled(server);
  const scans = monitor.of("SCAN", `${key}:*`);
  assert(scans.length >= 5, "in many steps, none of which takes long");
  for (const words of scans) assertEquals(words.slice(2), ["MATCH", `${key}:*`, "COUNT", "1000", "TYPE", "stream"]);
});

test("a consumer with explicit shards does not discover any", async () => {
  const key = uniqueKey();
  await addMany(server, `${key}:9`, 1);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  for (const shards of [2, [3, 4]]) await streamer.createConsumer(key, { ...realTime, shards });
  await monitor.settled(server);
  assertEquals([monitor.count("SCAN", `${key}:*`), told], [0, []]);
});

test("more than 1,024 shards are refused, 1,024 are read", async () => {
  const key = uniqueKey();
  const most = Array.from({ length: 1_024 }, (_, shard) => ["XADD", `${key}:${shard}`, "*", "msg", "x"]);
  await server.commands(most);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, realTime);
  assertEquals(consumer.streamShards.length, 1_024);
  await addMany(server, `${key}:700`, 1, "new");
  assertEquals((await consumer.next()).shardId, 700);
  await addMany(server, `${key}:5000`, 1);
  const error = await assertRejects(() => streamer.createConsumer(key, realTime), StreamerError);
  assertEquals(error.code, "INVALID_OPTION");
  assert(error.message.includes("1024") && error.message.includes(key), error.message);
  await server.commands([...most.map(([, redisKey]) => ["DEL", redisKey]), ["DEL", `${key}:5000`]]);
});

const FORBIDDING: Record<string, { readonly rules: readonly string[]; readonly command: string }> = {
  "SCAN": { rules: ["~*", "+@all", "-scan"], command: "SCAN" },
  "TYPE": { rules: ["~*", "+@all", "-type"], command: "TYPE" },
};

for (const [what, { rules, command }] of Object.entries(FORBIDDING)) {
  test(`if ${what} is forbidden the plain key is read, and an event has the reason`, async () => {
    const key = uniqueKey();
    const user = uniqueKey("user");
    await server.command("ACL", "SETUSER", user, "on", ">secret", "&*", "-@all", ...rules);
    await addMany(server, `${key}:0`, 1, "shard");
    await using streamer = await connect(server.url, { username: user, password: "secret" });
    const told = shardsTold(streamer);
    const consumer = await streamer.createConsumer(key, { ...realTime, shardDiscoveryInterval: 5 });
    assertEquals(told.map(({ cause: _, ...rest }) => rest), [
      { streamKey: key, found: [], gone: [], ignoredPlain: false },
    ]);
    const [{ cause }] = told;
    assert(
      cause instanceof StreamerError && cause.code === "NOPERM" &&
        cause.message.toLowerCase().includes(command.toLowerCase()),
    );
    await addMany(server, key, 2);
    await addMany(server, `${key}:0`, 2, "shard");
    assertEquals(await restUpToMark(server, consumer, key), texts(2));
    assertEquals(told.length, 1, "it is reported once, and not repeated");
    await streamer.disconnect();
    await server.command("ACL", "DELUSER", user);
  });
}

test("a user with rights for the shards only reads them", async () => {
  const key = uniqueKey();
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">secret", `~${key}:*`, "&*", "+@all");
  await addMany(server, `${key}:0`, 1, "old");
  await addMany(server, key, 1, "plain");
  await using streamer = await connect(server.url, { username: user, password: "secret" });
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, realTime);
  assertEquals(told, [{ streamKey: key, found: [0], gone: [], ignoredPlain: false }]);
  await addMany(server, `${key}:0`, 1, "new");
  assertEquals(await takeTexts(consumer, 1), ["new0"]);
  await streamer.disconnect();
  await server.command("ACL", "DELUSER", user);
});

test("a user with rights for the plain key only reads that", async () => {
  const key = uniqueKey();
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">secret", `~${key}`, "&*", "+@all");
  await addMany(server, `${key}:0`, 1, "shard");
  await using streamer = await connect(server.url, { username: user, password: "secret" });
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, realTime);
  assertEquals(told.map(({ found, cause }) => [found, cause instanceof StreamerError && cause.code]), [[[], "NOPERM"]]);
  await addMany(server, key, 1, "plain");
  assertEquals(await takeTexts(consumer, 1), ["plain0"]);
  await streamer.disconnect();
  await server.command("ACL", "DELUSER", user);
});

test("entries added right after the creation are read, of existing and of later shards", async () => {
  await using streamer = await connect(server.url);
  for (let round = 0; round < 10; round++) {
    const key = uniqueKey();
    await addMany(server, `${key}:0`, 1, "old");
    const consumer = await streamer.createConsumer(key, { ...realTime, shardDiscoveryInterval: 5 });
    await addMany(server, `${key}:0`, 2, "zero");
    await addMany(server, `${key}:1`, 2, "one");
    assertEquals(byShard(await take(consumer, 4)), { "0": texts(2, "zero"), "1": texts(2, "one") });
    await consumer.end();
  }
});

test("shards created during the creation of a consumer are read from their beginning, or from where they are found", async () => {
  await using streamer = await connect(server.url);
  for (let round = 0; round < 10; round++) {
    const key = uniqueKey();
    await addMany(server, `${key}:0`, 1, "old");
    const making = streamer.createConsumer(key, { ...realTime, shardDiscoveryInterval: 5 });
    const during = addMany(server, `${key}:1`, 1, "during");
    const consumer = await making;
    await during;
    await addMany(server, `${key}:1`, 1, "after");
    const [first] = await takeTexts(consumer, 1);
    if (first !== "after0") assertEquals([first, ...await takeTexts(consumer, 1)], ["during0", "after0"]);
    await consumer.end();
  }
});

test("LOADING during discovery is retried", async () => {
  for (const loading of ["SCAN", "TYPE"] as const) {
    let asked = 0;
    await using fake = await startFakeServer(async (peer) => {
      const answer = () =>
        asked++ < 2 ? "-LOADING Redis is loading the dataset in memory\r\n" : noShards[loading] as string;
      await peer.serve({
        ...handshake,
        ...noShards,
        [loading]: answer,
        XINFO: "-ERR no such key\r\n",
        XREAD: () => undefined,
      });
    });
    await using streamer = await connect(fake.url, { reconnect });
    const consumer = await streamer.createConsumer("k", realTime);
    assertEquals(consumer.streamShards, [{ streamKey: "k", shardId: 0 }]);
    assertEquals(asked, 3);
  }
}, { oneServer: OWN });

test("a creation waits while the server cannot be reached, and finds the shards when it can", async () => {
  const key = uniqueKey();
  await addMany(server, `${key}:2`, 1);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect });
  proxy.refuse();
  await proxy.cut();
  const making = streamer.createConsumer(key, realTime);
  proxy.refuse(false);
  assertEquals(numbersOf(await making, key), [2]);
}, { oneServer: PROXIED });

test("a creation that is aborted or disconnected during discovery rejects, and leaves no connection", async () => {
  await using fake = await startFakeServer(async (peer) => {
    await peer.serve({ ...handshake, SCAN: () => undefined });
  });
  const streamer = await connect(fake.url);
  const told = shardsTold(streamer);
  const controller = new AbortController();
  const making = streamer.createConsumer("k", { ...realTime, signal: controller.signal });
  await until(() => fake.peers[0].commands.some(([name]) => name === "SCAN"));
  const reason = new Error("no longer");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => making), reason);
  assertEquals(streamer.stats().consumers, 0);
  const other = streamer.createConsumer("k", realTime);
  other.catch(() => {});
  await streamer.disconnect();
  assertEquals((await assertRejects(() => other, StreamerError)).code, "DISCONNECTED");
  assertEquals([told, fake.peers.length], [[], 1]);
}, { oneServer: OWN });

test("a server without SCAN by type is read in its plain keys", async () => {
  await using fake = await startFakeServer(async (peer) => {
    await peer.serve({
      ...handshake,
      SCAN: "-ERR syntax error\r\n",
      XINFO: "-ERR no such key\r\n",
      XREAD: () => undefined,
    });
  });
  await using streamer = await connect(fake.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer("k", realTime);
  assertEquals([consumer.streamShards, told.length], [[{ streamKey: "k", shardId: 0 }], 1]);
}, { oneServer: OWN });

test("in another database the shards of that database are found", async () => {
  const key = uniqueKey();
  await server.commands([["SELECT", 3], ["XADD", `${key}:6`, "*", "msg", "x"]]);
  await addMany(server, `${key}:0`, 1);
  await using streamer = await connect(server.url, { db: 3 });
  assertEquals(numbersOf(await streamer.createConsumer(key, realTime), key), [6]);
  await server.commands([["SELECT", 3], ["DEL", `${key}:6`]]);
}, { oneServer: DATABASES, ignore });

test("a flushed server has no shards", async () => {
  await using own = await startServer();
  const key = uniqueKey();
  await addMany(own, `${key}:0`, 1);
  await own.command("FLUSHALL");
  await using streamer = await connect(own.url);
  const consumer = await streamer.createConsumer(key, realTime);
  await addMany(own, key, 1, "plain");
  assertEquals(await takeTexts(consumer, 1), ["plain0"]);
}, { oneServer: OWN, ignore });
