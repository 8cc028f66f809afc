// Tests shards that are created and deleted while a consumer runs: read from their first entry, reported, and ignored
// if the user has unassigned them.

import { assert, assertEquals } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { addMany, Monitor, restUpToMark, take, takeTexts, texts } from "../../support/consumer/reading.ts";
import { asksFor, byShard, lookedFor, numbersOf, shardsTold, toldTimes } from "../../support/consumer/sharding.ts";
import { nextEvent, until } from "../../support/events.ts";
import { handshake, noShards, startFakeServer } from "../../support/network/fake_server.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { COUNTED, OWN, PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());
const server = await sharedServer();
const often = { mode: "real-time", shardDiscoveryInterval: 20 } as const;
const reconnect = { initialDelay: 5, maxDelay: 50 };

/** Returns when another consumer has completed as many discoveries as this one would have. */
async function othersLook(monitor: Monitor): Promise<void> {
  await using streamer = await connect(server.url);
  const key = uniqueKey("other");
  await streamer.createConsumer(key, often);
  await lookedFor(monitor, `${key}:5`);
}

test("new shards are read from their first entry, and reported", async () => {
  const key = uniqueKey();
  await addMany(server, `${key}:0`, 1, "old");
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, often);
  for (const shard of [3, 1]) {
    await addMany(server, `${key}:${shard}`, 300, `${shard}-`);
    assertEquals(await takeTexts(consumer, 300), texts(300, `${shard}-`));
  }
  assertEquals(told, [[0], [3], [1]].map((found) => ({ streamKey: key, found, gone: [], ignoredPlain: false })));
  assertEquals(numbersOf(consumer, key), [0, 3, 1]);
  assertEquals(await restUpToMark(server, consumer, ...[0, 1, 3].map((shard) => `${key}:${shard}`)), []);
});

test("while producers write to more and more shards nothing is missed or repeated", async () => {
  const key = uniqueKey();
  await addMany(server, `${key}:0`, 1, "old");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...often, batchSize: 7 });
  const shards = [0, 1, 2, 3, 17, 30]; // each starts two rounds after the previous one
  const roundsOf = (turn: number) => Array.from({ length: 12 - turn * 2 }, (_, round) => round + turn * 2);
  const writing = (async () => {
    for (let round = 0; round < 12; round++) {
      const begun = shards.filter((_, turn) => roundsOf(turn).includes(round));
      await Promise.all(begun.map((shard) => addMany(server, `${key}:${shard}`, 5, `${round}/`)));
    }
  })();
  const total = shards.reduce((sum, _, turn) => sum + roundsOf(turn).length * 5, 0);
  const got = byShard(await take(consumer, total));
  await writing;
  for (const [turn, shard] of shards.entries()) {
    assertEquals(got[shard], roundsOf(turn).flatMap((round) => texts(5, `${round}/`)), `shard ${shard}`);
  }
  assertEquals(await restUpToMark(server, consumer, ...shards.map((shard) => `${key}:${shard}`)), []);
});

test("each stream of several gets its own new shards", async () => {
  const keys = [uniqueKey(), uniqueKey(), uniqueKey()];
  for (const key of keys) await addMany(server, `${key}:0`, 1);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(keys, often);
  for (const [i, key] of keys.entries()) await addMany(server, `${key}:${i + 1}`, 2, `${i}-`);
  const got = (await take(consumer, 6)).map(({ streamKey, shardId }) => `${keys.indexOf(streamKey)} ${shardId}`);
  assertEquals(got.toSorted(), ["0 1", "0 1", "1 2", "1 2", "2 3", "2 3"]);
  await toldTimes(told, 6);
  assertEquals(
    told.slice(3).map(({ streamKey, found }) => [streamKey, found]).toSorted(),
    keys.map((key, i) => [key, [i + 1]]).toSorted(),
  );
});

test("with an interval of null none is discovered", async () => {
  const key = uniqueKey();
  await addMany(server, `${key}:0`, 1);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const never = await streamer.createConsumer(key, { ...often, shardDiscoveryInterval: null });
  await monitor.settled(server);
  await addMany(server, `${key}:1`, 2, "one");
  assertEquals(await restUpToMark(server, never, `${key}:0`), []);
  assertEquals(numbersOf(never, key), [0]);
  await never.rewind("end");
  await monitor.settled(server);
  assertEquals(asksFor(monitor, `${key}:1`), 0);
});

test("a shard that was unassigned is not read again, and one that is assigned again is", async () => {
  const key = uniqueKey();
  for (const shard of [0, 1]) await addMany(server, `${key}:${shard}`, 1);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, often);
  await consumer.unassign(key, 1);
  await addMany(server, `${key}:1`, 5, "not wanted");
  await lookedFor(monitor, `${key}:2`);
  assertEquals(await restUpToMark(server, consumer, `${key}:0`), []);
  assertEquals([numbersOf(consumer, key), told.length], [[0], 1]);
  await consumer.assign(key, 1);
  await addMany(server, `${key}:1`, 1, "wanted");
  assertEquals(await takeTexts(consumer, 1), ["wanted0"]);
});

test("a shard assigned before it existed is read once, and one unassigned before it was found is not read", async () => {
  const key = uniqueKey();
  await addMany(server, `${key}:0`, 1);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, often);
  await consumer.assign(key, 2);
  await consumer.assign(key, 5);
  await consumer.unassign(key, 5);
  for (const shard of [2, 5, 9]) await addMany(server, `${key}:${shard}`, 3, `${shard}-`);
  await lookedFor(monitor, `${key}:0`);
  assertEquals(byShard(await take(consumer, 6)), { "2": texts(3, "2-"), "9": texts(3, "9-") });
  assertEquals(numbersOf(consumer, key), [0, 2, 9]);
  assertEquals(await restUpToMark(server, consumer, `${key}:0`, `${key}:2`, `${key}:9`), []);
});

test("a stream whose shards were all unassigned is ignored until one is assigned again", async () => {
  const [key, other] = [uniqueKey(), uniqueKey()];
  for (const name of [key, other]) await addMany(server, `${name}:0`, 1);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([key, other], often);
  await consumer.unassign(key, 0);
  await addMany(server, `${key}:1`, 1, "meanwhile");
  await lookedFor(monitor, `${other}:1`);
  assertEquals(numbersOf(consumer, key), []);
  await consumer.assign(key, 0);
  assertEquals(await takeTexts(consumer, 1), ["meanwhile0"]);
  assertEquals(numbersOf(consumer, key), [0, 1]);
});

test("deleted shards are reported once, stay assigned, and are read when they are recreated", async () => {
  const key = uniqueKey();
  for (const shard of [0, 1, 2]) await addMany(server, `${key}:${shard}`, 1, "old");
  await addMany(server, key, 1);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, often);
  await server.command("DEL", `${key}:1`, `${key}:2`);
  await toldTimes(told, 2);
  await lookedFor(monitor, `${key}:1`);
  assertEquals(told.slice(1), [{ streamKey: key, found: [], gone: [1, 2], ignoredPlain: true }]);
  assertEquals(numbersOf(consumer, key), [0, 1, 2]);
  await addMany(server, `${key}:1`, 1, "back");
  assertEquals(await takeTexts(consumer, 1), ["back0"]);
  await lookedFor(monitor, `${key}:1`);
  await server.command("DEL", `${key}:1`);
  await toldTimes(told, 3);
  assertEquals(told[2].gone, [1]);
});

test("discovery runs while the consumer is paused, and not after its end", async () => {
  const key = uniqueKey();
  await addMany(server, `${key}:0`, 1);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, often);
  consumer.pause();
  await addMany(server, `${key}:1`, 2, "one");
  await toldTimes(told, 2);
  await until(() => consumer.stats().queued === 2);
  consumer.resume();
  assertEquals(await takeTexts(consumer, 2), texts(2, "one"));
  await consumer.end();
  await addMany(server, `${key}:2`, 1);
  await monitor.settled(server);
  const looks = asksFor(monitor, `${key}:2`);
  await othersLook(monitor);
  assertEquals([asksFor(monitor, `${key}:2`), told.length], [looks, 2]);
});

test("discovery continues after a lost connection", async () => {
  const key = uniqueKey();
  await addMany(server, `${key}:0`, 1);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect });
  const consumer = await streamer.createConsumer(key, often);
  for (let shard = 1; shard <= 3; shard++) {
    const cut = nextEvent(streamer, "disconnect");
    proxy.refuse();
    await proxy.cut();
    await cut;
    await addMany(server, `${key}:${shard}`, 2, `${shard}-`);
    proxy.refuse(false);
    assertEquals(await takeTexts(consumer, 2), texts(2, `${shard}-`));
  }
}, { oneServer: PROXIED });

test("a server that restarts without its shards is scanned again", async () => {
  await using own = await startServer();
  const key = uniqueKey();
  for (const shard of [0, 1]) await addMany(own, `${key}:${shard}`, 1);
  await using streamer = await connect(own.url, { reconnect });
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, often);
  await own.restart();
  await toldTimes(told, 2);
  assertEquals(told[1], { streamKey: key, found: [], gone: [0, 1], ignoredPlain: false });
  await addMany(own, `${key}:2`, 1, "two");
  assertEquals(await takeTexts(consumer, 1), ["two0"]);
}, { oneServer: OWN, ignore });

test("if EXISTS and TYPE become forbidden known shards are read, and the reason is reported once", async () => {
  const key = uniqueKey();
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">secret", "~*", "&*", "+@all");
  await addMany(server, `${key}:0`, 1);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url, { username: user, password: "secret" });
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, often);
  await lookedFor(monitor, `${key}:1`);
  await server.command("ACL", "SETUSER", user, "-type", "-exists");
  await toldTimes(told, 2);
  assertEquals({ ...told[1], cause: undefined }, {
    streamKey: key,
    found: [],
    gone: [],
    ignoredPlain: false,
    cause: undefined,
  });
  const { cause } = told[1];
  assert(cause instanceof StreamerError && cause.code === "NOPERM");
  await addMany(server, `${key}:1`, 1);
  await addMany(server, `${key}:0`, 1, "known");
  assertEquals(await takeTexts(consumer, 1), ["known0"]);
  await othersLook(monitor);
  assertEquals([told.length, numbersOf(consumer, key)], [2, [0]]);
  await streamer.disconnect();
  await server.command("ACL", "DELUSER", user);
});

test("if there are more than 1,024 shards, the known ones are read, and an event reports it", async () => {
  const key = uniqueKey();
  const most = Array.from({ length: 1_024 }, (_, shard) => ["XADD", `${key}:${shard}`, "*", "msg", "x"]);
  await server.commands(most);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, often);
  await addMany(server, `${key}:1024`, 1, "one too many");
  await toldTimes(told, 2);
  const { cause, ...rest } = told[1];
  assertEquals(rest, { streamKey: key, found: [], gone: [], ignoredPlain: false });
  assert(cause instanceof StreamerError && cause.code === "INVALID_OPTION");
  await addMany(server, `${key}:1023`, 1, "known");
  assertEquals(await takeTexts(consumer, 1), ["known0"]);
  await server.commands([...most.map(([, redisKey]) => ["DEL", redisKey]), ["DEL", `${key}:1024`]]);
});

test("LOADING during discovery delays it to the next time", async () => {
  let asked = 0;
  await using fake = await startFakeServer(async (peer) => {
    const TYPE = ([, key]: string[]) => {
      if (key !== "k:1") return "+none\r\n";
      return ++asked < 3 ? "-LOADING Redis is loading the dataset in memory\r\n" : "+stream\r\n";
    };
    const answers = { ...handshake, ...noShards, TYPE, EXISTS: ":1\r\n" };
    await peer.serve({ ...answers, XINFO: "-ERR no such key\r\n", XREAD: () => undefined });
  });
  await using streamer = await connect(fake.url, { reconnect });
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer("k", often);
  await toldTimes(told, 1);
  assertEquals(told, [{ streamKey: "k", found: [1], gone: [], ignoredPlain: false }]);
  assertEquals(numbersOf(consumer, "k"), [1]);
}, { oneServer: OWN });

test("an end during discovery does not hang", async () => {
  let mute = false;
  await using fake = await startFakeServer(async (peer) => {
    const EXISTS = () => mute ? undefined : ":0\r\n";
    await peer.serve({ ...handshake, ...noShards, EXISTS, XINFO: "-ERR no such key\r\n", XREAD: () => undefined });
  });
  await using streamer = await connect(fake.url, { reconnect });
  const told = shardsTold(streamer);
  const consumers = [await streamer.createConsumer("k", often), await streamer.createConsumer("k", often)];
  mute = true;
  const asked = () => fake.peers[0].commands.filter(([name]) => name === "EXISTS").length;
  const before = asked();
  await until(() => asked() > before);
  await consumers[0].end();
  await streamer.disconnect();
  assertEquals(told, []);
}, { oneServer: OWN });

test("a seek applies to shards that are found later: earlier entries of them are not read either", async () => {
  const key = uniqueKey();
  await server.command("XADD", `${key}:0`, "5-0", "msg", "old");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, often);
  await consumer.rewind("7-0");
  for (const id of ["6-0", "7-0", "8-0"]) await server.command("XADD", `${key}:1`, id, "msg", id);
  assertEquals(await takeTexts(consumer, 1), ["8-0"]);
  assertEquals(numbersOf(consumer, key), [0, 1]);
});

test("after a rewind to the end no earlier message is delivered, also of shards found later", async () => {
  await using streamer = await connect(server.url);
  for (let round = 0; round < 10; round++) {
    const key = uniqueKey();
    await addMany(server, `${key}:0`, 1, "old");
    const consumer = await streamer.createConsumer(key, { ...often, shardDiscoveryInterval: 10 });
    await addMany(server, `${key}:1`, 3, "before");
    await consumer.rewind("end");
    await addMany(server, `${key}:1`, 3, "after");
    assertEquals(await takeTexts(consumer, 3), texts(3, "after"));
    await consumer.end();
  }
});

test(
  "a discovery without changes costs two commands: for the known shards, and for the numbers around them",
  async () => {
    const key = uniqueKey();
    for (const shard of [0, 1, 3]) await addMany(server, `${key}:${shard}`, 1);
    await using monitor = await Monitor.open(server);
    await using streamer = await connect(server.url);
    await streamer.createConsumer(key, often);
    await lookedFor(monitor, `${key}:19`);
    const made = monitor.commands.findIndex(([name]) => name === "XREAD"); // earlier commands belong to the creation
    const asked = monitor.commands.slice(made).filter(([name, first]) =>
      /^(EXISTS|TYPE)$/.test(name) && first.startsWith(`${key}:`)
    );
    const kinds = new Set(
      asked.map(([name, ...keys]) => [name, ...keys.map((one) => one.slice(key.length + 1))].join(" ")),
    );
    const around = [2, ...Array.from({ length: 16 }, (_, i) => 4 + i)];
    assertEquals([...kinds].sort(), ["EXISTS 0 1 3", `EXISTS ${around.join(" ")}`]);
    const counts = ["0", "2"].map((shard) => monitor.count("EXISTS", `${key}:${shard}`));
    assert(Math.abs(counts[0] - counts[1]) <= 1, `${counts}`);
  },
  { oneServer: COUNTED },
);
