// Tests the reports of long refusals: one pair of events, whatever waits, and none without a refusal.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, RedisError, type RedisStreamer, StreamerError } from "../../../mod.ts";
import { bulk, entry, page3 } from "../../unit/commands/frames.ts";
import { connectEagerly, eventsOf } from "../../support/consumer/group_faults.ts";
import { addMany } from "../../support/consumer/reading.ts";
import { nextEvent, until } from "../../support/events.ts";
import { handshake, noShards, startFakeServer } from "../../support/network/fake_server.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());
const server = await sharedServer();

/** Records both events, each with the code of its cause. */
function noteWaiting(streamer: RedisStreamer): string[] {
  const notes: string[] = [];
  streamer.addEventListener("waiting", ({ detail: { streamKey, cause, since } }) => {
    assert(cause instanceof RedisError && since instanceof Date && since.getTime() <= Date.now());
    notes.push(`waiting ${streamKey ?? "node"} ${cause.code}`);
  });
  streamer.addEventListener("resumed", ({ detail: { streamKey } }) => notes.push(`resumed ${streamKey ?? "node"}`));
  return notes;
}

test("sends refused by a server that is loading are reported once for all streams, and again when they are stored", async () => {
  let loading = true;
  await using fake = await startFakeServer(async (peer) => {
    let id = 0;
    await peer.serve({ ...handshake, XADD: () => loading ? "-LOADING x\r\n" : bulk(`${++id}-0`) });
  });
  await using streamer = await connectEagerly(fake.url);
  const notes = noteWaiting(streamer);
  const producer = await streamer.createGenericProducer();
  const told = nextEvent(streamer, "waiting");
  const sends = Array.from({ length: 100 }, (_, i) => producer.sendTo(`stream${i}`, "a"));
  await told;
  loading = false;
  await Promise.all(sends);
  assertEquals(notes, ["waiting node LOADING", "resumed node"]);
});

test("sends that time out while they are refused end the report", async () => {
  await using fake = await startFakeServer(async (peer) =>
    void await peer.serve({ ...handshake, XADD: "-BUSY x\r\n" })
  );
  await using streamer = await connectEagerly(fake.url);
  const notes = noteWaiting(streamer);
  const producer = await streamer.createProducer("s", { sendTimeout: 4_000 });
  const errors = await Promise.all([1, 2, 3].map((n) => assertRejects(async () => await producer.send(`${n}`))));
  assertEquals(errors.map((error) => Reflect.get(Object(error), "code")), ["TIMEOUT", "TIMEOUT", "TIMEOUT"]);
  assertEquals(notes, ["waiting node BUSY", "resumed node"]);
  await producer.end().catch(() => {});
});

test("a dead letter refused for lack of memory is reported, and written later", async () => {
  await using own = await startServer();
  await using streamer = await connectEagerly(own.url);
  const notes = noteWaiting(streamer);
  const key = uniqueKey();
  await addMany(own, key, 3);
  const consumer = await streamer.createConsumer(key, {
    mode: "resumable",
    group: "g",
    autoCommit: "rolling",
    autoStreamReset: "earliest",
    deadLetter: "dead",
  });
  const messages = [await consumer.next(), await consumer.next(), await consumer.next()];
  const told = nextEvent(streamer, "waiting");
  await own.command("CONFIG", "SET", "maxmemory", "1");
  for (const message of messages) consumer.term(message);
  await told;
  await own.command("CONFIG", "SET", "maxmemory", "0");
  await until(() => notes.length === 2);
  assertEquals(notes, ["waiting node OOM", "resumed node"]);
  assertEquals(await own.command("XLEN", "dead"), 3);
}, { ignore });

test("a group whose creation is refused by a full server is awaited and reported", async () => {
  await using own = await startServer();
  await using streamer = await connectEagerly(own.url);
  const notes = noteWaiting(streamer);
  const key = uniqueKey();
  await addMany(own, key, 1);
  await own.command("CONFIG", "SET", "maxmemory", "1");
  const told = nextEvent(streamer, "waiting");
  const creating = streamer.createConsumer(key, { mode: "resumable", group: "g", autoStreamReset: "earliest" });
  await told;
  await own.command("CONFIG", "SET", "maxmemory", "0");
  assertEquals((await (await creating).next()).text(), "0");
  assertEquals(notes, ["waiting node OOM", "resumed node"]);
}, { ignore });

for (const mkstream of [false, true]) {
  test(`a stream that was deleted under its group is reported by its name${mkstream ? ", and not created by a consumer" : ""}`, async () => {
    await using streamer = await connectEagerly(server.url);
    const notes = noteWaiting(streamer);
    const [key, other] = [uniqueKey(), uniqueKey()];
    await addMany(server, key, 1);
    await addMany(server, other, 1);
    const options = { mode: "resumable", group: "g", autoStreamReset: "earliest", mkstream } as const;
    const consumer = await streamer.createConsumer([key, other], options);
    await consumer.next();
    await consumer.next();
    const waiting = consumer.next();
    const told = nextEvent(streamer, "waiting");
    await server.command("DEL", key);
    await told;
    assertEquals(await server.command("EXISTS", key), 0);
    await addMany(server, key, 1, "anew");
    assertEquals((await waiting).text(), "anew0");
    await until(() => notes.length === 2);
    assertEquals(notes, [`waiting ${key} NOGROUP`, `resumed ${key}`]);
  });
}

test("refused acknowledgements are reported, and `commit` waits for them", async () => {
  await using own = await startServer();
  await using streamer = await connectEagerly(own.url);
  const notes = noteWaiting(streamer);
  const key = uniqueKey();
  await addMany(own, key, 2);
  const options = { mode: "resumable", group: "g", autoCommit: "disabled", autoStreamReset: "earliest" } as const;
  const consumer = await streamer.createConsumer(key, { ...options, prefetch: 0 });
  const messages = [await consumer.next(), await consumer.next()];
  const told = nextEvent(streamer, "waiting");
  await own.command("CONFIG", "SET", "min-replicas-to-write", 1);
  for (const message of messages) consumer.ack(message);
  const committed = consumer.commit();
  await told;
  await own.command("CONFIG", "SET", "min-replicas-to-write", 0);
  await committed;
  assertEquals(notes, ["waiting node NOREPLICAS", "resumed node"]);
  assertEquals((await own.command("XPENDING", key, "g") as unknown[])[0], 0);
}, { ignore });

test("a stream that stays missing is reported as over when its consumer ends", async () => {
  await using streamer = await connectEagerly(server.url);
  const notes = noteWaiting(streamer);
  const key = uniqueKey();
  await addMany(server, key, 1);
  const consumer = await streamer.createConsumer(key, { mode: "resumable", group: "g", autoStreamReset: "earliest" });
  await consumer.next();
  const waiting = assertRejects(() => consumer.next(), StreamerError);
  const told = nextEvent(streamer, "waiting");
  await server.command("DEL", key);
  await told;
  await consumer.end();
  assertEquals((await waiting).code, "CONSUMER_ENDED");
  await until(() => notes.length === 2);
  assertEquals(notes[1], `resumed ${key}`);
});

for (const mode of ["real-time", "resumable"] as const) {
  test(`refused reads of a ${mode} consumer are reported once, and as over before any message arrives`, async () => {
    let refusing = true;
    const groups = `*1\r\n%3\r\n${bulk("name")}${bulk("g")}${bulk("last-delivered-id")}${bulk("5-0")}${
      bulk("pending")
    }:0\r\n`;
    const stream = `%1\r\n${bulk("last-generated-id")}${bulk("5-0")}`;
    let waits = 0; // reads that block, which a fake server never answers
    const read = (words: string[]) => {
      if (refusing) return "-LOADING x\r\n";
      if (!words.includes("BLOCK")) return "_\r\n";
      return waits++ === 0 ? undefined : page3(["k", entry("6-0", "msg", "a")]);
    };
    await using fake = await startFakeServer(async (peer) => {
      await peer.serve({
        ...handshake,
        ...noShards,
        XINFO: (words) => words[1] === "GROUPS" ? groups : stream,
        XPENDING: "*0\r\n",
        XREAD: read,
        XREADGROUP: (words) => words.at(-1) === ">" ? read(words) : page3(["k"]),
      });
    });
    await using streamer = await connectEagerly(fake.url);
    const notes = noteWaiting(streamer);
    const options = mode === "real-time" ? { mode } as const : { mode, group: "g" } as const;
    const consumer = await streamer.createConsumer("k", options);
    const asked = consumer.next().catch(() => {});
    await nextEvent(streamer, "waiting");
    refusing = false;
    await until(() => notes.length === 2 && waits > 0);
    assertEquals(notes, ["waiting node LOADING", "resumed node"]);
    await consumer.end({ timeout: 100 }).catch(() => {});
    await asked;
  });
}

test("a lost connection and waiting for messages are not reported as waiting", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connectEagerly(proxy.url);
  const notes = noteWaiting(streamer);
  const attempts = eventsOf(streamer, "reconnect");
  const key = uniqueKey();
  const producer = await streamer.createProducer(key);
  const consumers = [
    await streamer.createConsumer(key, { mode: "real-time" }),
    await streamer.createConsumer(key, { mode: "resumable", group: "g", mkstream: true }),
  ];
  const asked = consumers.map((consumer) => consumer.next());
  const begun = performance.now();
  proxy.refuse();
  await proxy.cut();
  const sent = producer.send("a");
  await until(() => attempts.length > 5 && performance.now() - begun > 2_500);
  proxy.refuse(false);
  await sent;
  for (const message of await Promise.all(asked)) assertEquals(message.text(), "a");
  assertEquals(notes, []);
});

test("disconnecting ends the report", async () => {
  await using fake = await startFakeServer(async (peer) =>
    void await peer.serve({ ...handshake, XADD: "-BUSY x\r\n" })
  );
  const streamer = await connect(fake.url);
  const notes = noteWaiting(streamer);
  const producer = await streamer.createProducer("s");
  const sent = producer.send("a").catch((error) => error.code);
  await nextEvent(streamer, "waiting");
  await streamer.disconnect({ timeout: 10 }).catch(() => {});
  assertEquals([await sent, notes], ["DISCONNECTED", ["waiting node BUSY", "resumed node"]]);
});
