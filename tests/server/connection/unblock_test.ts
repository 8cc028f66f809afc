// Tests that a blocked read is ended by CLIENT UNBLOCK only if the server of the command connection has that client:
// the id alone may belong to another client.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { routerFor } from "../../../streamer/streamer.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";
import { addAt, blockedClient, takeTexts } from "../../support/consumer/reading.ts";
import { nextEvent, until } from "../../support/events.ts";
import { type Judge, startFilterServer } from "../../support/network/filter_server.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, type Server, sharedServer, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());
const server = await sharedServer();
const reconnect = { initialDelay: 5, maxDelay: 50 };
const never = new AbortController().signal;

/** A client that blocks under a chosen id, which the server must not have used yet. */
async function strangerWith(id: number, { command }: Server, key: string) {
  while (Number(await command("CLIENT", "ID")) < id - 1);
  let answered = false;
  const answer = command("XREAD", "BLOCK", 0, "STREAMS", key, "$").finally(() => answered = true);
  answer.catch(() => {}); // its caller checks the result
  await until(async () => String(await command("CLIENT", "LIST")).includes(`id=${id} `));
  return { answer, isAnswered: () => answered };
}

test(
  "a command connection to another server ends no read there, and ends the consumer's read all the same",
  async () => {
    await using old = await startServer();
    await using other = await startServer();
    const key = uniqueKey();
    for (const one of [old, other]) for (const id of ["1-1", "2-1"]) await addAt(one, key, id);
    for (let i = 0; i < 40; i++) await old.command("PING"); // its ids are ahead
    const said: string[] = [];
    await using proxy = await startFilterServer(
      (index) => (index === 2 ? other : old).address, // 0: commands, 1: the consumer's reads, 2: commands once more
      (words, _, index) => {
        if (index === 2) said.push(words.slice(0, 2).join(" "));
        return "pass";
      },
    );
    const clientName = uniqueKey("client");
    await using streamer = await connect(proxy.url, { clientName, reconnect });
    const consumer = await streamer.createConsumer(key, { mode: "real-time" });
    const asked = consumer.next();
    const id = await blockedClient(old, clientName);
    const stranger = await strangerWith(Number(id), other, key);
    const back = nextEvent(streamer, "connect");
    await proxy.peers[0].cut();
    await back;
    await consumer.rewind("beginning");
    assertEquals([(await asked).text(), (await consumer.next()).text()], ["1-1", "2-1"]);
    assert(said.includes("CLIENT LIST"), "it was queried");
    assert(!said.includes("CLIENT UNBLOCK"));
    assertEquals(stranger.isAnswered(), false);
    await addAt(other, key, "3-1");
    assert(Array.isArray(await stranger.answer), "it got its message");
  },
  { ignore },
);

/** Moves a consumer whose read is blocked, over a proxy. Returns the commands, and whether its connection was kept. */
async function moved(judge: Judge) {
  const key = uniqueKey();
  const said: string[] = [];
  await using proxy = await startFilterServer(() => server.address, (words, peer, index) => {
    said.push(words.slice(0, 3).join(" "));
    return judge(words, peer, index);
  });
  const clientName = uniqueKey("client");
  await using streamer = await connect(proxy.url, { clientName, reconnect });
  for (const id of ["1-1", "2-1"]) await addAt(server, key, id);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const asked = consumer.next();
  const before = await blockedClient(server, clientName);
  await consumer.rewind("beginning");
  assertEquals([(await asked).text(), ...await takeTexts(consumer, 1)], ["1-1", "2-1"]);
  const kept = await blockedClient(server, clientName) === before;
  await consumer.end();
  await server.command("DEL", key);
  return { said: said.filter((words) => /^CLIENT (LIST|UNBLOCK)/.test(words)), kept, before };
}

test("the server is queried for the id and then unblocks it; the connection is kept", async () => {
  const { said, kept, before } = await moved(() => "pass");
  assertEquals([said[0], said[1], kept], ["CLIENT LIST ID", `CLIENT UNBLOCK ${before}`, true]);
  assertEquals(said.filter((words) => words.startsWith("CLIENT LIST")).length, 1, "queried once");
});

test("a server that cannot list one client is queried for all", async () => {
  const { said, kept } = await moved((words) =>
    words[1] === "LIST" && words.length > 2 ? { words: ["CLIENT", "LIST", "ID"] } : "pass"
  );
  assertEquals([said[0], said[1], kept], ["CLIENT LIST ID", "CLIENT LIST", true]);
});

test("if the id is another client's, or no client's, nothing is unblocked and the connection is given up", async () => {
  for (const listed of [["ID", "999999999"], ["TYPE", "pubsub"]]) {
    const { said, kept } = await moved((words) =>
      words[1] === "LIST" ? { words: ["CLIENT", "LIST", ...listed] } : "pass"
    );
    assertEquals([said, kept], [["CLIENT LIST ID"], false]);
  }
});

test("a command connection that is cut between both commands does not unblock over the next one", async () => {
  let cuts = 0;
  const { said, kept } = await moved((words) => words[1] === "UNBLOCK" && cuts++ === 0 ? "cut" : "pass");
  assertEquals([said.length, cuts, kept], [2, 1, false]);
});

test("a command connection is returned as it is, or after a reconnect; never if none will exist", async () => {
  await using redis = await FakeRedis.start();
  await using streamer = await connect(redis.url, { reconnect });
  const router = routerFor(streamer);
  const lane = {
    connection: (options: { readonly signal: AbortSignal }) => router.connection(router.primaries()[0], options),
  };
  const first = await lane.connection({ signal: never });
  assertStrictEquals(await lane.connection({ signal: never }), first);
  const lost = nextEvent(streamer, "disconnect");
  await redis.server.peers[0].cut();
  await lost;
  const reason = new Error("changed my mind");
  const controller = new AbortController();
  const aborted = lane.connection({ signal: controller.signal });
  const [second, third] = [lane.connection({ signal: never }), lane.connection({ signal: never })];
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => aborted), reason);
  assertStrictEquals(await assertRejects(() => lane.connection({ signal: controller.signal })), reason);
  assert(await second !== first);
  assertStrictEquals(await third, await second);
  await streamer.disconnect();
  const error = await assertRejects(() => lane.connection({ signal: never }), StreamerError);
  assertEquals(error.code, "DISCONNECTED");
});

test("a caller that waits for a command connection is rejected when it closes, and when it cannot reconnect", async () => {
  for (const end of ["close", "refusal"] as const) {
    let refusing = false;
    await using redis = await FakeRedis.start({
      greet: async (peer) => {
        if (!refusing) return;
        await peer.command();
        if (end === "refusal") await peer.send("-WRONGPASS invalid username-password pair or user is disabled.\r\n");
      },
    });
    const streamer = await connect(redis.url, { reconnect });
    const lost = nextEvent(streamer, "disconnect");
    refusing = true;
    await redis.server.peers[0].cut();
    await lost;
    const router = routerFor(streamer);
    const waiting = router.connection(router.primaries()[0], { signal: never });
    waiting.catch(() => {}); // judged below
    if (end === "close") await streamer.disconnect();
    const error = await assertRejects(() => waiting, StreamerError);
    assertEquals(error.code, end === "close" ? "DISCONNECTED" : "AUTH");
    await streamer.disconnect();
  }
});
