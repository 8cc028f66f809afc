// Tests servers with restrictions: users without CLIENT or XINFO, few connections, another database, attempts that run
// out.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import {
  addMany,
  blockedClient,
  clientsNamed,
  connectHastily,
  Monitor,
  restUpToMark,
  takeTexts,
  texts,
} from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { DATABASES, OWN, PROXIED } from "../../support/one_server.ts";
import { onCluster, test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());
const server = await sharedServer();
const reconnect = { initialDelay: 5, maxDelay: 50 };
const realTime = { mode: "real-time" } as const;

const USERS = {
  "without dangerous commands": ["+@all", "-@dangerous"],
  "without CLIENT": ["+@all", "-client"],
  "without XINFO and CLIENT UNBLOCK": ["+@all", "-xinfo", "-client|unblock"],
  "with read commands only": ["+hello", "+auth", "+ping", "+xread", "+xinfo"],
};

for (const [who, rules] of Object.entries(USERS)) {
  test(`a user ${who} reads, moves, assigns and ends`, async () => {
    const key = uniqueKey();
    const user = uniqueKey("user");
    const allowed = onCluster ? [...rules, "+cluster|slots"] : rules;
    await server.command("ACL", "SETUSER", user, "on", ">secret", "~*", "&*", "-@all", ...allowed);
    await using streamer = await connect(server.url, { username: user, password: "secret", reconnect });
    await addMany(server, `${key}:0`, 5, "old");
    const consumer = await streamer.createConsumer(key, { ...realTime, shards: [0] });
    await addMany(server, `${key}:0`, 5, "new");
    assertEquals(await takeTexts(consumer, 5), texts(5, "new"));
    const asked = consumer.next(); // blocked now, so that the moves have to end the read
    await consumer.rewind("beginning");
    assertEquals([(await asked).text(), ...await takeTexts(consumer, 9)], [...texts(5, "old"), ...texts(5, "new")]);
    await consumer.rewind("end");
    await consumer.assign(key, 1);
    await addMany(server, `${key}:1`, 2, "one");
    assertEquals(await takeTexts(consumer, 2), texts(2, "one"));
    await consumer.seek(new Date(0));
    assertEquals((await takeTexts(consumer, 12)).length, 12);
    await consumer.unassign(key, 0);
    assertEquals(await restUpToMark(server, consumer, `${key}:1`), []);
    await consumer.end();
    await streamer.disconnect();
    await server.command("ACL", "DELUSER", user);
  });
}

test("another database is read, also after a reconnect", async () => {
  const key = uniqueKey();
  const name = uniqueKey("client");
  const inDb = (...words: string[]) => server.commands([["SELECT", 3], words]);
  await using streamer = await connect(server.url, { db: 3, clientName: name, reconnect });
  const consumer = await streamer.createConsumer(key, realTime);
  const asked = consumer.next();
  await addMany(server, key, 1, "in another database");
  await server.command("CLIENT", "KILL", "ID", await blockedClient(server, name));
  await blockedClient(server, name);
  await inDb("XADD", key, "*", "msg", "here");
  assertEquals((await asked).text(), "here");
  await inDb("DEL", key);
}, { oneServer: DATABASES, ignore });

test("a server without free connections is awaited", async () => {
  await using own = await startServer({ args: ["--maxclients", "4"] });
  const key = uniqueKey();
  await using streamer = await connect(own.url, { reconnect });
  const fillers = [await Monitor.open(own), await Monitor.open(own), await Monitor.open(own)];
  const refused: unknown[] = [];
  streamer.addEventListener("reconnect", ({ detail }) => refused.push(detail.cause));
  const consumer = await streamer.createConsumer(key, realTime);
  const asked = consumer.next();
  await until(() => refused.length >= 2);
  for (const filler of fillers) await filler[Symbol.asyncDispose]();
  await until(() => own.command("XADD", key, "*", "msg", "x").then(() => true, () => false));
  assertEquals((await asked).text(), "x");
}, { oneServer: OWN, ignore });

test("when the attempts run out, waiting calls reject with DISCONNECTED, and so do later ones", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 1, maxDelay: 2, maxAttempts: 3 } });
  const consumer = await streamer.createConsumer(uniqueKey(), realTime);
  const asked = [consumer.next(), consumer.next()];
  for (const one of asked) one.catch(() => {});
  await until(() => proxy.connections === 2);
  proxy.refuse();
  await proxy.cut();
  const error = await assertRejects(() => asked[0], StreamerError);
  assertEquals(error.code, "DISCONNECTED");
  for (const one of [asked[1], consumer.next()]) assertStrictEquals(await assertRejects(() => one), error);
}, { oneServer: PROXIED });

test("a program that reacts to a reset by going to the end gets no earlier message", async () => {
  const key = uniqueKey();
  const name = uniqueKey("client");
  await server.command("XADD", key, "50-0", "msg", "old");
  await using monitor = await Monitor.open(server);
  await using streamer = await connectHastily(server.url, { timeout: 100, clientName: name });
  const consumer = await streamer.createConsumer(key, realTime);
  const moved = Promise.withResolvers<void>();
  streamer.addEventListener("stream-reset", () => consumer.rewind("end").then(moved.resolve, moved.reject));
  const asked = consumer.next();
  await server.command("DEL", key);
  await until(() => monitor.of("XREAD", key).some((words) => words.at(-1) === "0-0"), { what: "it is found deleted" });
  await blockedClient(server, name);
  await server.commands([["MULTI"], ["XADD", key, "1-0", "msg", "a"], ["XADD", key, "2-0", "msg", "b"], ["EXEC"]]);
  await moved.promise;
  await server.command("XADD", key, "3-0", "msg", "after");
  assertEquals((await asked).text(), "after");
});

test("a program that reacts to a reset by assigning a shard loses nothing of the other streams", async () => {
  const [other, anew] = [uniqueKey(), uniqueKey()];
  const name = uniqueKey("client");
  await server.command("XADD", anew, "50-0", "msg", "old");
  await using monitor = await Monitor.open(server);
  await using streamer = await connectHastily(server.url, { timeout: 100, clientName: name });
  const consumer = await streamer.createConsumer([other, anew], { ...realTime, prefetch: 0 });
  const moved = Promise.withResolvers<void>();
  streamer.addEventListener("stream-reset", () => consumer.assign(other, 7).then(moved.resolve, moved.reject));
  const first = consumer.next();
  await server.command("DEL", anew);
  await until(() => monitor.of("XREAD", anew).some((words) => words.at(-1) === "0-0"), { what: "it is found deleted" });
  await addMany(server, other, 1, "first");
  assertEquals((await first).text(), "first0");
  // No call waits now, so that the next page has entries of both.
  await addMany(server, other, 2, "other");
  await addMany(server, anew, 2, "anew");
  const got = await takeTexts(consumer, 4);
  await moved.promise;
  assertEquals(got.toSorted(), ["anew0", "anew1", "other0", "other1"]);
  assertEquals(await restUpToMark(server, consumer, other), []);
});

test("listeners of events may end the consumer and disconnect the streamer", async () => {
  const name = uniqueKey("client");
  const streamer = await connect(server.url, { clientName: name, reconnect });
  const consumer = await streamer.createConsumer(uniqueKey(), realTime);
  const loop = (async () => {
    for await (const _ of consumer) assert(false);
  })();
  const id = await blockedClient(server, name);
  const left = Promise.withResolvers<void>();
  streamer.addEventListener("disconnect", () => {
    consumer.end();
    streamer.disconnect().then(left.resolve, left.reject);
  });
  await server.command("CLIENT", "KILL", "ID", id);
  await left.promise;
  await loop;
  await until(async () => (await clientsNamed(server, name)).length === 0);
});

/** A signal that counts its listeners. */
function countingSignal(): { readonly signal: AbortSignal; readonly listening: () => number } {
  const { signal } = new AbortController();
  let count = 0;
  const { addEventListener, removeEventListener } = signal;
  Object.assign(signal, {
    addEventListener(...args: Parameters<typeof addEventListener>) {
      count++;
      addEventListener.apply(signal, args);
    },
    removeEventListener(...args: Parameters<typeof removeEventListener>) {
      count--;
      removeEventListener.apply(signal, args);
    },
  });
  return { signal, listening: () => count };
}

test("a signal that outlives the calls has no listeners left", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const { signal, listening } = countingSignal();
  const consumer = await streamer.createConsumer(key, { ...realTime, signal });
  assertEquals(listening(), 0, "creation");
  for (let i = 0; i < 10; i++) {
    const waiting = consumer.next({ signal });
    await addMany(server, key, 2);
    await waiting;
    await consumer.next({ signal });
  }
  assertEquals(listening(), 0, "next");
  const last = consumer.next({ signal });
  await consumer.end();
  await assertRejects(() => last);
  assertEquals(listening(), 0, "the end");
});
