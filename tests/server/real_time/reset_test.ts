// Tests streams that are deleted and recreated, or whose ids are reset, during a blocked read: the consumer notices,
// and never waits for the old ids.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, type RedisStreamer, StreamerError } from "../../../mod.ts";
import {
  addAt,
  addMany,
  blockedClient,
  connectHastily,
  Monitor,
  restUpToMark,
  takeIds,
  takeTexts,
  texts,
} from "../../support/consumer/reading.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());
const server = await sharedServer();
const options = { timeout: 100 }; // and a heartbeat is as long
const realTime = { mode: "real-time" } as const;

interface Reset {
  readonly streamKey: string;
  readonly shardId: number;
  readonly position: string;
}

function resetsOf(streamer: RedisStreamer): Reset[] {
  const resets: Reset[] = [];
  streamer.addEventListener("stream-reset", ({ detail }) => resets.push(detail));
  return resets;
}

/** Deletes and adds in one step, so that no heartbeat falls in between. */
async function makeAnew(key: string, ...ids: string[]): Promise<void> {
  const words = ["MULTI", ["DEL", key], ...ids.map((id) => ["XADD", key, id, "msg", id]), "EXEC"];
  const replies = await server.commands(words.map((word) => typeof word === "string" ? [word] : word));
  const failed = replies.find((reply) => reply instanceof Error);
  if (failed !== undefined) throw failed;
}

test("a stream recreated with lower ids is read from its beginning, and an event reports it", async () => {
  const key = uniqueKey();
  await addAt(server, key, "50-0");
  await using streamer = await connectHastily(server.url, options);
  const resets = resetsOf(streamer);
  const consumer = await streamer.createConsumer(key, realTime);
  await addAt(server, key, "60-0");
  assertEquals(await takeIds(consumer, 1), ["60-0"]);
  const asked = consumer.next();
  await makeAnew(key, "1-0", "2-0");
  assertEquals([(await asked).id, ...await takeIds(consumer, 1)], ["1-0", "2-0"]);
  assertEquals(resets, [{ streamKey: key, shardId: 0, position: "0-0" }]);
  await addAt(server, key, "3-0");
  assertEquals(await takeIds(consumer, 1), ["3-0"]);
  assertEquals(resets.length, 1);
});

test("with onStreamReset latest only later entries are read", async () => {
  const key = uniqueKey();
  await addAt(server, key, "50-0");
  await using streamer = await connectHastily(server.url, options);
  const consumer = await streamer.createConsumer(key, { ...realTime, onStreamReset: "latest" });
  const reset = nextEvent<Reset>(streamer, "stream-reset");
  await makeAnew(key, "1-0", "2-0");
  assertEquals((await reset).detail, { streamKey: key, shardId: 0, position: "2-0" });
  await addAt(server, key, "3-0");
  assertEquals(await takeIds(consumer, 1), ["3-0"]);
});

test("with onStreamReset fail it is fatal", async () => {
  const key = uniqueKey();
  await addAt(server, key, "50-0");
  await using streamer = await connectHastily(server.url, options);
  const resets = resetsOf(streamer);
  const consumer = await streamer.createConsumer(key, { ...realTime, onStreamReset: "fail" });
  const asked = consumer.next();
  asked.catch(() => {});
  await makeAnew(key, "1-0");
  const error = await assertRejects(() => asked, StreamerError);
  assertStrictEquals(await assertRejects(() => consumer.next()), error);
  assert(error.message.includes(key), error.message);
  assertEquals(resets, []);
});

test("a recreated stream with rising ids is simply read further", async () => {
  const key = uniqueKey();
  const name = uniqueKey("client");
  await addAt(server, key, "50-0");
  await using streamer = await connect(server.url, { clientName: name });
  const resets = resetsOf(streamer);
  const consumer = await streamer.createConsumer(key, { ...realTime, onStreamReset: "fail" });
  const asked = consumer.next();
  await blockedClient(server, name);
  await makeAnew(key, "70-0", "80-0");
  assertEquals([(await asked).id, ...await takeIds(consumer, 1)], ["70-0", "80-0"]);
  assertEquals(resets, []);
});

test("of several streams only the recreated one starts again", async () => {
  const [kept, anew] = [uniqueKey(), uniqueKey()];
  for (const key of [kept, anew]) await addAt(server, key, "50-0", `old of ${key}`);
  await using streamer = await connectHastily(server.url, options);
  const resets = resetsOf(streamer);
  const consumer = await streamer.createConsumer([kept, anew], realTime);
  const asked = consumer.next();
  await makeAnew(anew, "7-0");
  assertEquals([(await asked).streamKey], [anew]);
  assertEquals(resets.map(({ streamKey }) => streamKey), [anew]);
  await addAt(server, kept, "51-0");
  assertEquals((await consumer.next()).id, "51-0");
  await addAt(server, anew, "8-0");
  assertEquals((await consumer.next()).id, "8-0");
});

test("an emptied stream, a trimmed one and one with a deleted tail are not reset", async () => {
  const keys = [uniqueKey(), uniqueKey(), uniqueKey()];
  for (const key of keys) await addMany(server, key, 5, "old");
  await using monitor = await Monitor.open(server);
  await using streamer = await connectHastily(server.url, options);
  const resets = resetsOf(streamer);
  const consumer = await streamer.createConsumer(keys, { ...realTime, onStreamReset: "fail" });
  await server.command("XTRIM", keys[0], "MAXLEN", 0);
  await server.command("XTRIM", keys[1], "MAXLEN", 1);
  const last = await addMany(server, keys[2], 1, "seen");
  assertEquals(await takeTexts(consumer, 1), ["seen0"]);
  await server.command("XDEL", keys[2], ...last);
  await heartbeats(monitor, keys[0]);
  for (const key of keys) await addMany(server, key, 1, "new");
  assertEquals(await takeTexts(consumer, 3), ["new0", "new0", "new0"]);
  assertEquals(resets, []);
});

/** Several more reads and queries of this stream: time enough for a wrong verdict. */
async function heartbeats(monitor: Monitor, key: string): Promise<void> {
  const questions = () => monitor.commands.filter((words) => words.includes(key) && words[0].startsWith("X")).length;
  const before = questions();
  await until(() => questions() >= before + 6, { what: "several heartbeats" });
}

test("if XINFO is forbidden, a deleted tail is no reset", async () => {
  const key = uniqueKey();
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">secret", "~*", "&*", "+@all", "-xinfo");
  await addMany(server, key, 3, "old");
  await using monitor = await Monitor.open(server);
  await using streamer = await connectHastily(server.url, { ...options, username: user, password: "secret" });
  const resets = resetsOf(streamer);
  const consumer = await streamer.createConsumer(key, realTime);
  const ids = await addMany(server, key, 2, "new");
  assertEquals(await takeTexts(consumer, 2), texts(2, "new"));
  await server.command("XDEL", key, ...ids);
  await heartbeats(monitor, key);
  assertEquals(await restUpToMark(server, consumer, key), []);
  assertEquals(resets, []);
  await streamer.disconnect();
  await server.command("ACL", "DELUSER", user);
});

test("a stream that was deleted is awaited, and is new when it is created", async () => {
  await Promise.all((["earliest", "latest"] as const).map(async (onStreamReset) => {
    const key = uniqueKey();
    await addAt(server, key, "50-0");
    await using monitor = await Monitor.open(server);
    await using streamer = await connectHastily(server.url, options);
    const resets = resetsOf(streamer);
    const consumer = await streamer.createConsumer(key, { ...realTime, onStreamReset });
    const asked = consumer.next();
    await server.command("DEL", key);
    await heartbeats(monitor, key);
    assertEquals(resets, [], "it was not recreated yet");
    await addAt(server, key, "1-0");
    assertEquals((await asked).id, "1-0");
    assertEquals(resets.map(({ streamKey }) => streamKey), [key]);
  }));
});

test("with fail, a deleted stream does not end the consumer; recreated it does", async () => {
  const key = uniqueKey();
  await addAt(server, key, "50-0");
  await using monitor = await Monitor.open(server);
  await using streamer = await connectHastily(server.url, options);
  const consumer = await streamer.createConsumer(key, { ...realTime, onStreamReset: "fail" });
  let settled = false;
  const asked = consumer.next().finally(() => settled = true);
  asked.catch(() => {});
  await server.command("DEL", key);
  await heartbeats(monitor, key);
  assertEquals(settled, false);
  await addAt(server, key, "1-0");
  await assertRejects(() => asked, StreamerError);
});

test("a stream that never existed is no reset when it is created", async () => {
  const key = uniqueKey();
  await using monitor = await Monitor.open(server);
  await using streamer = await connectHastily(server.url, options);
  const resets = resetsOf(streamer);
  const consumer = await streamer.createConsumer(key, { ...realTime, onStreamReset: "fail" });
  await heartbeats(monitor, key);
  await addAt(server, key, "0-1");
  assertEquals(await takeIds(consumer, 1), ["0-1"]);
  assertEquals(resets, []);
});

for (const blocked of [true, false]) {
  const when = blocked ? "under a blocked read" : "before the first read";
  test(`a server that restarts without its data, ${when}, is read from the beginning`, async () => {
    await using own = await startServer();
    const key = uniqueKey();
    const name = uniqueKey("client");
    await addAt(own, key, "50-0");
    await using streamer = await connect(own.url, { clientName: name, reconnect: { initialDelay: 5, maxDelay: 50 } });
    const resets = resetsOf(streamer);
    const consumer = await streamer.createConsumer(key, realTime);
    const asked = consumer.next();
    if (blocked) await blockedClient(own, name);
    await own.kill("SIGKILL");
    await own.restart();
    await addAt(own, key, "1-0");
    assertEquals((await asked).id, "1-0");
    assertEquals(resets.length, 1);
    // With the default timeout a heartbeat is 10 s: the reconnect must suffice.
  }, { oneServer: OWN, ignore, timeout: 8_000 });
}

test("a seek after a reset is not undone by it, and a second reset is noticed like the first", async () => {
  const key = uniqueKey();
  await addAt(server, key, "50-0");
  await using streamer = await connectHastily(server.url, options);
  const resets = resetsOf(streamer);
  const consumer = await streamer.createConsumer(key, realTime);
  for (const round of [1, 2]) {
    const asked = consumer.next();
    await makeAnew(key, ...["4-0", "5-0", "6-0"].map((id) => id.replace("-0", `-${9 - round}`)));
    assertEquals((await asked).id, `4-${9 - round}`);
    await consumer.rewind(`5-${9 - round}`);
    assertEquals(await takeIds(consumer, 1), [`6-${9 - round}`]);
    assertEquals(resets.length, round);
  }
});
