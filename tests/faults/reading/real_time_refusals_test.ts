// Tests temporary refusals, and replies that a server should not send, on a scripted server: reading resumes after the
// last message, at a limited pace, without an error for callers.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { systemClock } from "../../../resp/connection/clock.ts";
import { nativeDial } from "../../../resp/transport/dial.ts";
import { connectWith } from "../../../streamer/connect.ts";
import { array, bulk, entry, page2, page3 } from "../../unit/commands/frames.ts";
import { type Answer, handshake, NO_HELLO, noShards, startFakeServer } from "../../support/network/fake_server.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";

const endsAt = (id: string) => `%1\r\n${bulk("last-generated-id")}${bulk(id)}`;
const XINFO = endsAt("5-0");
const blocked = undefined; // an XREAD that waits for entries
const reconnect = { initialDelay: 5, maxDelay: 20 };

/** Answers from the list in sequence, and repeats the last one. */
function inTurn(...answers: (string | undefined)[]): Answer {
  let next = 0;
  return () => answers[Math.min(next++, answers.length - 1)];
}

const page = (...entries: string[]) => page3(["k", ...entries]);
const PASSING = [
  "LOADING Redis is loading the dataset in memory",
  "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
  "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
  "CLUSTERDOWN The cluster is down",
  "TRYAGAIN Multiple keys request during rehashing of slot",
  "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
];

test("every temporary refusal is retried, and reading resumes after the last message", async () => {
  const refusals = PASSING.map((text) => `-${text}\r\n`);
  // Some of them are replies of a replica, and make the reader reconnect: the next reply goes to any connection.
  const XREAD = inTurn(page(entry("6-0", "msg", "a")), ...refusals, "_\r\n", page(entry("7-0", "msg", "b")), blocked);
  const ends = inTurn(XINFO, endsAt("6-0"));
  await using server = await startFakeServer(async (peer) => {
    await peer.serve({ ...handshake, ...noShards, XINFO: ends, XREAD });
  });
  await using streamer = await connect(server.url, { reconnect });
  const consumer = await streamer.createConsumer("k", { mode: "real-time" });
  assertEquals([(await consumer.next()).text(), (await consumer.next()).text()], ["a", "b"]);
  const reads = await until(() => {
    const words = server.peers.flatMap((peer) => peer.commands).filter(([name]) => name === "XREAD");
    return words.length >= 10 && words;
  });
  const positions = reads.map((words) => words.at(-1));
  assertEquals(positions, ["5-0", ...positions.slice(1, -1).map(() => "6-0"), "7-0"]);
  assertEquals(reads.length, 10);
});

for (const text of PASSING.slice(0, 3)) {
  test(`${text.split(" ")[0]} during the creation of a consumer is retried`, async () => {
    const ends = inTurn(`-${text}\r\n`, `-${text}\r\n`, XINFO);
    await using server = await startFakeServer(async (peer) => {
      await peer.serve({ ...handshake, ...noShards, XINFO: ends, XREAD: () => blocked });
    });
    await using streamer = await connect(server.url, { reconnect });
    const consumer = await streamer.createConsumer("k", { mode: "real-time" });
    const asked = consumer.next().catch((error) => error);
    await until(() => server.peers.some((peer) => peer.commands.some(([name]) => name === "XREAD")), {
      what: "it reads",
    });
    const read = server.peers.flatMap((peer) => peer.commands).find(([name]) => name === "XREAD");
    assertEquals(read?.at(-1), "5-0");
    await consumer.end();
    assertEquals((await asked).code, "CONSUMER_ENDED");
  });
}

test("a temporary refusal during a rewind to the end is retried", async () => {
  const loading = `-${PASSING[0]}\r\n`;
  await using server = await startFakeServer(async (peer) => {
    await peer.serve({
      ...handshake,
      ...noShards,
      XINFO: inTurn(XINFO, loading, loading, XINFO),
      XREAD: () => blocked,
    });
  });
  await using streamer = await connect(server.url, { reconnect });
  const consumer = await streamer.createConsumer("k", { mode: "real-time" });
  await consumer.rewind("end");
});

test("permanent refusals are retried at a limited pace, not in a busy loop", async () => {
  let reads = 0;
  await using server = await startFakeServer(async (peer) => {
    await peer.serve({
      ...handshake,
      ...noShards,
      XINFO,
      XREAD: () => {
        reads++;
        return `-${PASSING[0]}\r\n`;
      },
    });
  });
  const delays: number[] = [];
  const after = (delay: number, run: () => void) => {
    delays.push(delay);
    return systemClock.after(delay, run);
  };
  await using streamer = await connectWith({ dial: nativeDial(), clock: { ...systemClock, after } }, server.url);
  await streamer.createConsumer("k", { mode: "real-time" });
  await until(() => reads >= 5);
  // The default initial delay of 50 ms, ± a fifth, before each read but the first.
  const pauses = delays.filter((delay) => delay >= 40 && delay <= 60);
  assert(pauses.length >= reads - 1, `${pauses.length} pauses before ${reads} reads`);
  assertEquals(server.peers.length, 2, "and not with a connection each");
});

test("a server without HELLO is read in RESP2", async () => {
  await using server = await startFakeServer(async (peer) => {
    await peer.serve({
      ...handshake,
      ...noShards,
      HELLO: NO_HELLO,
      XINFO: array(bulk("length"), ":3\r\n", bulk("last-generated-id"), bulk("5-0")),
      XREAD: inTurn("*-1\r\n", page2(["k", entry("6-0", "msg", "a"), entry("6-1", "h", "v")]), undefined),
    });
  });
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer("k", { mode: "real-time" });
  const [one, two] = [await consumer.next(), await consumer.next()];
  assertEquals([one.id, one.text(), two.id, two.headers.get("h")], ["6-0", "a", "6-1", "v"]);
});

test("the reply of Redis 7.0 after MULTI XADD XDEL, a stream without entries, is ignored", async () => {
  await using server = await startFakeServer(async (peer) => {
    await peer.serve({
      ...handshake,
      ...noShards,
      XINFO,
      XREAD: inTurn(`%1\r\n${bulk("k")}*0\r\n`, page(entry("6-0", "msg", "a")), blocked),
    });
  });
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer("k", { mode: "real-time" });
  assertEquals((await consumer.next()).text(), "a");
});

const HOSTILE: readonly [string, string][] = [
  ["no page", "+OK\r\n"],
  ["an unrequested stream", page3(["other", entry("6-0", "msg", "x")])],
  ["an entry without fields", page("*2\r\n$3\r\n6-0\r\n_\r\n")],
  ["an odd number of words", page(entry("6-0", "msg"))],
  ["an id that is none", page(entry("6-x", "msg", "x"))],
  ["an error inside of a page", page("*2\r\n$3\r\n6-0\r\n*2\r\n$3\r\nmsg\r\n-ERR x\r\n")],
  ["no RESP at all", "HTTP/1.1 200 OK\r\n\r\n"],
  ["a page that does not start after the position", page(entry("5-0", "msg", "x"))],
];

for (const [what, bytes] of HOSTILE) {
  test(`${what}: the connection is given up, none of its bytes reach the program, and a new one resumes`, async () => {
    await using server = await startFakeServer(async (peer, index) => {
      // The first connection is for commands, the second reads.
      const XREAD = index === 1 ? () => bytes : inTurn(page(entry("7-0", "msg", "good")), blocked);
      await peer.serve({ ...handshake, ...noShards, XINFO, XREAD });
    });
    await using streamer = await connect(server.url, { reconnect });
    const causes: unknown[] = [];
    streamer.addEventListener("disconnect", ({ detail }) => causes.push(detail.cause));
    const consumer = await streamer.createConsumer("k", { mode: "real-time" });
    assertEquals((await consumer.next()).text(), "good");
    const [cause] = causes;
    assert(cause instanceof StreamerError && cause.code === "PROTOCOL", String(cause));
    assertEquals(server.peers[2].commands.find(([name]) => name === "XREAD")?.at(-1), "5-0");
  });
}

test("a creation that is aborted rejects with the signal's reason and leaves nothing open", async () => {
  await using server = await startFakeServer(async (peer) => {
    await peer.serve({ ...handshake, ...noShards, XINFO: () => blocked, XREAD: () => blocked });
  });
  await using streamer = await connect(server.url);
  const controller = new AbortController();
  const making = streamer.createConsumer("k", { mode: "real-time", signal: controller.signal });
  await until(() => server.peers[0].commands.some(([name]) => name === "XINFO"));
  const reason = new Error("no longer");
  controller.abort(reason);
  assertEquals(await assertRejects(() => making), reason);
  assertEquals([streamer.stats().consumers, server.peers.length], [0, 1]);
  assertEquals(
    await assertRejects(() => streamer.createConsumer("k", { mode: "real-time", signal: controller.signal })),
    reason,
  );
});
