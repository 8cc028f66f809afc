// Tests that a stalled connection is silenced before messages are sent again, and the guarantees that remain if that is
// impossible.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { connect, type Delivery, RedisError } from "../../../mod.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { NO_HELLO } from "../../support/network/fake_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";
import { Lines } from "../../support/producer/lines.ts";
import { checkNothingLate, checkStream, endingsOf, entriesOf } from "../../support/producer/stream_checks.ts";
import { bytesOnWire } from "../../support/producer/wire_bytes.ts";

const server = await sharedServer();
const names = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

interface Stall {
  readonly delivery: Delivery;
  /** Credentials to connect with. */
  readonly user?: { readonly username: string; readonly password: string };
  /**
   * Releases the held bytes: `"back"` when the client has reconnected, `"stored"` when all newer messages are stored.
   */
  readonly release: "back" | "stored";
}

/** 500 messages stall. The client's side is cut, it reconnects, and sends 200 newer ones. */
async function stall({ delivery, user, release }: Stall) {
  await using lines = await Lines.start(server);
  await using streamer = await connect(lines.url, { ...user, reconnect: { initialDelay: 5 } });
  const key = uniqueKey("stall");
  const producer = await streamer.createProducer(key, { delivery });
  await producer.send("old");
  const fences: unknown[] = [];
  streamer.addEventListener("fence-unavailable", ({ detail }) => fences.push(detail.cause));
  const stalled = lines.lines[lines.lines.length - 1];
  stalled.hold();
  const block = names("block", 500);
  const sends = block.map((payload) => [payload, producer.send(payload)] as const);
  const size = bytesOnWire(producer.stats());
  await until(() => stalled.waiting >= size);
  const connections = lines.lines.length;
  const lost = nextEvent(streamer, "disconnect");
  await stalled.cutClient();
  await lost;
  const newer = names("newer", 200).map((payload) => [payload, producer.send(payload)] as const);
  if (release === "back") {
    await until(() => lines.lines.length > connections);
    stalled.release();
  }
  const endings = await endingsOf([...sends, ...newer]);
  stalled.release();
  await until(() => stalled.serverClosed);
  const last = await producer.send("last");
  const entries = await entriesOf(server, key);
  assertEquals(entries.filter(({ id }) => id === last.id).length, 1);
  await server.command("DEL", key);
  return { entries, endings, fences, block, sent: ["old", ...block, ...names("newer", 200), "last"] };
}

/** A reply to CLIENT INFO that is the same on every connection. */
const INFO = "$26\r\nid=9 addr=127.0.0.1:9 db=0\r\n";

/** Without the messages that were sent alone, before and after. */
function judged(entries: Awaited<ReturnType<typeof entriesOf>>) {
  return entries.filter(({ payload }) => payload !== "old" && payload !== "last");
}

test("bytes that a stalled connection still holds after the reconnect are never stored: each message is stored once, in order", async () => {
  const { entries, endings, fences, sent } = await stall({ delivery: "at-least-once", release: "stored" });
  assert(endings.every((ending) => "receipt" in ending));
  assertEquals(entries.map(({ payload }) => payload), sent);
  assertEquals(fences, []);
});

test("bytes that are released during the reconnect may be stored twice, but never after newer messages", async () => {
  const { entries, endings, block, fences } = await stall({ delivery: "at-least-once", release: "back" });
  assert(endings.every((ending) => "receipt" in ending));
  checkStream(judged(entries), endings, { delivery: "at-least-once" });
  checkNothingLate(judged(entries), new Set(block));
  assertEquals(fences, []);
});

test("at-most-once: stalled messages are ambiguous, and are not stored after newer messages either", async () => {
  const { entries, endings, block } = await stall({ delivery: "at-most-once", release: "stored" });
  for (const ending of endings.slice(0, 500)) {
    assert("error" in ending);
    assertEquals([Reflect.get(Object(ending.error), "code"), ending.outcome], ["AMBIGUOUS", "unknown"]);
  }
  assert(endings.slice(500).every((ending) => "receipt" in ending));
  checkStream(judged(entries), endings, { delivery: "at-most-once" });
  checkNothingLate(judged(entries), new Set(block));
});

test("if CLIENT KILL is forbidden an event reports it, nothing is lost, and no message is stored more than twice", async () => {
  const username = uniqueKey("user");
  await server.command("ACL", "SETUSER", username, "on", ">pw", "~*", "+@all", "-@dangerous", "-client|kill");
  const user = { username, password: "pw" };
  const { entries, endings, fences } = await stall({ delivery: "at-least-once", user, release: "stored" });
  await server.command("ACL", "DELUSER", username);
  assertEquals(fences.length, 1);
  assertInstanceOf(fences[0], RedisError);
  assertEquals(fences[0].code, "NOPERM");
  assert(endings.every((ending) => "receipt" in ending));
  checkStream(judged(entries), endings, { delivery: "at-least-once" });
});

/** A cut in flight on a scripted server. Returns the commands of the new connections. */
async function fenceOf(answers: Parameters<typeof FakeRedis.start>[0] & object) {
  let cut = false;
  await using redis = await FakeRedis.start({
    ...answers,
    judge: (xadd, fake) => {
      if (cut) return fake.store(xadd);
      cut = true;
      return xadd.cut();
    },
  });
  await using streamer = await connect(redis.url, { reconnect: { initialDelay: 1 } });
  const fences: unknown[] = [];
  streamer.addEventListener("fence-unavailable", ({ detail }) => fences.push(detail));
  const producer = await streamer.createProducer("k");
  await producer.send("x");
  const last = redis.server.peers[redis.server.peers.length - 1];
  return { fences, kills: redis.kills, said: last.commands.map((words) => words.join(" ")), url: redis.url };
}

test("the old connection is killed by its number and its address together, once, before the resend", async () => {
  const { fences, kills, said } = await fenceOf({});
  assertEquals(kills, [["ID", "101", "ADDR", "127.0.0.1:50001"]]); // 100 is the streamer's own connection
  assertEquals(fences, []);
  assert(
    said.findIndex((words) => words.startsWith("CLIENT KILL")) < said.findIndex((words) => words.startsWith("XADD")),
  );
});

test("a server without such a connection has nothing to kill, and the resend follows", async () => {
  let killed = false;
  const { fences } = await fenceOf({
    answers: {
      CLIENT: (words) => {
        if (words[1] === "INFO") return INFO;
        if (words[1] === "KILL") killed = true;
        return words[1] === "KILL" ? ":0\r\n" : "+OK\r\n";
      },
    },
  });
  assertEquals([killed, fences], [true, []]);
});

test("a server that does not return the client's id cannot be fenced: the event reports it, and the message is sent", async () => {
  const { fences, kills, url } = await fenceOf({
    answers: { HELLO: NO_HELLO, CLIENT: "-ERR unknown command `CLIENT`\r\n" },
  });
  assertEquals([fences.length, kills.length], [1, 0]);
  assertEquals(Reflect.get(Object(fences[0]), "node"), new URL(url).host);
  assert(Reflect.get(Object(fences[0]), "cause") instanceof Error);
});

test("a connection that was lost with nothing in flight is not fenced", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url, { reconnect: { initialDelay: 1 } });
  const producer = await streamer.createProducer("k");
  await producer.send("a");
  const lost = nextEvent(streamer, "disconnect");
  await redis.added[0].peer.cut();
  await lost;
  await producer.send("b");
  assertEquals(redis.kills, []);
});

test("a connection lost while it fences does not make the next one forget: the first is still killed", async () => {
  let cuts = 0;
  const kills: string[][] = [];
  await using redis = await FakeRedis.start({
    judge: (xadd, fake) => cuts === 0 ? (cuts++, xadd.cut()) : fake.store(xadd),
    answers: {
      CLIENT: (words) => {
        if (words[1] === "INFO") return INFO;
        if (words[1] !== "KILL") return "+OK\r\n";
        kills.push(words.slice(2));
        return kills.length <= 2 ? undefined : ":1\r\n"; // the first two fences get no reply
      },
    },
  });
  await using streamer = await connect(redis.url, { reconnect: { initialDelay: 1 }, timeout: 60 });
  const producer = await streamer.createProducer("k");
  await producer.send("x");
  assertEquals(kills, Array(3).fill(["ID", "9", "ADDR", "127.0.0.1:9"]));
  assertEquals(redis.payloads("k"), ["x"]);
});
