// Tests races: an ack and a redelivery, an ack and a move of the group, a claim and a long silence, an ack and an
// outage. Speed must not matter: one side is held until it has met the other.

import { assertEquals, assertRejects } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { groupOf, pendingIds, pendingRows, untilPending } from "../../support/consumer/grouping.ts";
import { restUpToMark, take } from "../../support/consumer/reading.ts";
import { nextEvent, until } from "../../support/events.ts";
import { type Answers, handshake, type Peer, startFakeServer } from "../../support/network/fake_server.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const rolling = {
  mode: "load-balanced",
  group,
  consumerId: "me",
  autoCommit: "rolling",
  autoCommitInterval: 1,
  autoClaimInterval: null,
} as const;

test("a message that is acked during its redelivery is not delivered again", async () => {
  const { key } = await groupOf(server, group, 1);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url);
  const consumer = await streamer.createConsumer(key, rolling);
  const message = await consumer.next();
  proxy.toClient.hold();
  consumer.nack(message);
  await until(async () => (await pendingRows(server, key, group))[0].deliveries === 2, {
    what: "the server has delivered it once more",
  });
  consumer.ack(message);
  proxy.toClient.release();
  assertEquals(await restUpToMark(server, consumer, key), []);
  await untilPending(server, key, group, 1); // the mark
  assertEquals(consumer.stats().inHand, 1);
});

test("a message that is acked during a claim of it has both deliveries settled", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url);
  const consumer = await streamer.createConsumer(key, { ...rolling, autoClaimInterval: 20, autoClaimIdle: 300 });
  const message = await consumer.next();
  const asked = consumer.next();
  const lost = nextEvent(streamer, "lost");
  await server.command("XCLAIM", key, group, "other", 0, ids[0]);
  await lost;
  proxy.toClient.limit(200); // replies take their time
  await until(async () => (await pendingRows(server, key, group, "me")).length === 1, { what: "it is claimed" });
  consumer.ack(message);
  proxy.toClient.limit(Infinity);
  await untilPending(server, key, group, 0);
  await server.command("XADD", key, "*", "msg", "new");
  assertEquals((await asked).text(), "new");
});

test("a page that another consumer claimed and acked during a long silence is dropped, and not returned", async () => {
  const { key, ids } = await groupOf(server, group, 6);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url);
  const consumer = await streamer.createConsumer(key, { ...rolling, autoClaimIdle: 150 });
  const [first] = await take(consumer, 1);
  consumer.ack(first);
  await untilPending(server, key, group, 5);
  proxy.toServer.hold(); // as if this process were suspended: no lease is renewed
  await until(async () => (await pendingRows(server, key, group)).every(({ idle }) => idle > 300));
  await server.command("XCLAIM", key, group, "other", 300, ...ids.slice(1));
  await server.command("XACK", key, group, ...ids.slice(1));
  proxy.toServer.release();
  assertEquals(await restUpToMark(server, consumer, key), []);
  assertEquals(consumer.stats().inHand, 1);
});

test("acks that could not be sent, because the server was given up, are sent after the reconnect", async () => {
  const { key, ids } = await groupOf(server, group, 2);
  await using proxy = await startProxy(server);
  const reconnect = { initialDelay: 1, maxDelay: 5, maxAttempts: 2 };
  await using streamer = await connect(proxy.url, { reconnect });
  const consumer = await streamer.createConsumer(key, rolling);
  const [message] = await take(consumer, 2);
  proxy.refuse();
  await proxy.cut();
  assertEquals((await assertRejects(() => consumer.next(), StreamerError)).code, "DISCONNECTED");
  consumer.ack(message);
  const { refused } = proxy;
  await until(() => proxy.refused > refused + 4, { what: "it was tried and given up" });
  assertEquals(consumer.stats().unsentAcks, 1);
  proxy.refuse(false);
  await until(async () => (await pendingIds(server, key, group)).length === 1, { what: "the ack is sent" });
  assertEquals(await pendingIds(server, key, group), [ids[1]]);
  await until(() => consumer.stats().acked === 1);
});

/** Answers each command by itself, in sequence, so that a later command is seen while an earlier one waits. */
async function answerInTurn(peer: Peer, answers: Answers): Promise<void> {
  let last: Promise<void> = Promise.resolve();
  for (let words = await peer.command(); words !== undefined; words = await peer.command()) {
    const answer = answers[words[0].toUpperCase()];
    const bytes = Promise.resolve(typeof answer === "function" ? answer(words) : answer);
    last = last.then(async () => peer.send((await bytes) ?? "-ERR unknown command\r\n"));
  }
}

/** The replies to CLIENT of a server with one connection. `unblock` is called for each UNBLOCK. */
function clientAnswers(unblock: () => void) {
  const client = "id=7 addr=127.0.0.1:50000 name=\n";
  return (words: readonly string[]): string => {
    switch (words[1]?.toUpperCase()) {
      case "INFO":
      case "LIST":
        return `$${client.length}\r\n${client}\r\n`;
      case "UNBLOCK":
        unblock();
        return ":1\r\n";
      case "KILL":
        return ":0\r\n";
    }
    return "+OK\r\n";
  };
}

test("a move of the group waits for acks in flight, so that none counts for a redelivered message", async () => {
  const listing = Promise.withResolvers<string>();
  const acking = Promise.withResolvers<string>();
  const blocked = Promise.withResolvers<string>();
  const asked: string[] = [];
  let reads = 0;
  const note = (name: string, answer: string | Promise<string>) => () => {
    asked.push(name);
    return Promise.resolve(answer);
  };
  const info = "*1\r\n%3\r\n+name\r\n+g\r\n+pending\r\n:0\r\n+last-delivered-id\r\n+0-0\r\n";
  const page = "%1\r\n$3\r\ns:0\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$3\r\nmsg\r\n$1\r\nm\r\n";
  const answers: Answers = {
    ...handshake,
    CLIENT: clientAnswers(() => blocked.resolve("_\r\n")),
    XINFO: (words) => words[1]?.toUpperCase() === "GROUPS" ? info : "-NOPERM no\r\n",
    XREADGROUP: (words) => {
      if (words.at(-1) !== ">") return "%1\r\n$3\r\ns:0\r\n*0\r\n";
      reads++;
      return reads === 1 ? page : reads === 2 ? blocked.promise : new Promise(() => {});
    },
    XPENDING: () => asked.includes("moving") ? note("XPENDING", listing.promise)() : "*0\r\n",
    XACK: note("XACK", acking.promise),
    XGROUP: note("XGROUP", "+OK\r\n"),
    EVAL: ":0\r\n",
  };
  await using fake = await startFakeServer((peer) => answerInTurn(peer, answers));
  const streamer = await connect(fake.url);
  const consumer = await streamer.createConsumer("s", {
    mode: "resumable",
    group,
    consumerId: "me",
    autoCommit: "disabled",
    shards: 1,
    keepAlive: false,
  });
  consumer.ack(await consumer.next());
  asked.push("moving");
  const moved = consumer.rewind("beginning", { group: true });
  await until(() => asked.includes("XPENDING"));
  const committed = consumer.commit();
  await until(() => asked.includes("XACK"));
  listing.resolve("*0\r\n");
  // The list has been read by now, since the commands of these calls are sent and answered after it.
  for (let i = 0; i < 3; i++) await (await connect(fake.url)).disconnect();
  asked.push("answered");
  acking.resolve(":1\r\n");
  await Promise.all([committed, moved]);
  assertEquals(asked, ["moving", "XPENDING", "XACK", "answered", "XGROUP"]);
  await streamer.disconnect({ timeout: 100 }).catch(() => {});
});
