// Tests unreadable replies on the command connection: commands that may be repeated are sent again over a new
// connection, once.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { valueCommand, wrongShape } from "../../../resp/connection/command.ts";
import { routerFor } from "../../../streamer/streamer.ts";
import { xack } from "../../../streamer/commands/xack.ts";
import { xlen } from "../../../streamer/commands/xlen.ts";
import { type Answer, handshake, startFakeServer } from "../../support/network/fake_server.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";

const reconnect = { initialDelay: 1, maxDelay: 20 };

/** Answers from the list in sequence, for any command, and repeats the last one. */
function inTurn(...answers: string[]): Answer {
  let next = 0;
  return () => answers[Math.min(next++, answers.length - 1)];
}

const UNREADABLE = {
  "garbled": "\xc51\r\n",
  "of another shape": "+OK\r\n",
  "no RESP at all": "HTTP/1.1 200 OK\r\n\r\n",
  "the header of a string that no real server sends": "$536870911\r\n",
  "the header of an array that no real server sends": "*16777215\r\n",
};

for (const [what, bytes] of Object.entries(UNREADABLE)) {
  test(`a repeatable command with a reply that is ${what} is sent again over a new connection`, async () => {
    const XLEN = inTurn(bytes, ":3\r\n");
    await using server = await startFakeServer(async (peer) => void await peer.serve({ ...handshake, XLEN }));
    await using streamer = await connect(server.url, { reconnect });
    const causes: unknown[] = [];
    streamer.addEventListener("disconnect", ({ detail }) => causes.push(detail.cause));
    assertEquals(await routerFor(streamer).run(xlen("k")), 3);
    assertEquals(server.peers.length, 2);
    const [cause] = causes;
    assert(cause instanceof StreamerError && cause.code === "PROTOCOL", String(cause));
  });
}

test("the second unreadable reply in a row rejects, and other commands continue", async () => {
  await using server = await startFakeServer(async (peer) => {
    await peer.serve({ ...handshake, XLEN: "+OK\r\n", XACK: ":1\r\n" });
  });
  await using streamer = await connect(server.url, { reconnect });
  const lane = routerFor(streamer);
  const ids = new TextEncoder().encode("$3\r\n1-1\r\n");
  const failing = assertRejects(() => lane.run(xlen("k")), StreamerError);
  const acks = Array.from({ length: 5 }, () => lane.run(xack("k", "g", ids, 1)));
  assertEquals((await failing).code, "PROTOCOL");
  assertEquals(await Promise.all(acks), [1, 1, 1, 1, 1]);
  const asked = server.peers.flatMap(({ commands }) => commands).filter(([name]) => name === "XLEN");
  assertEquals(asked.length, 2);
});

test("a command that must not be repeated rejects at once, with the fault of its reply", async () => {
  await using server = await startFakeServer(async (peer) =>
    void await peer.serve({ ...handshake, XGROUP: "+OK\r\n" })
  );
  await using streamer = await connect(server.url, { reconnect });
  const command = {
    ...valueCommand(["XGROUP", "DESTROY", "k", "g"]),
    read: () => {
      throw wrongShape("XGROUP DESTROY", "a number");
    },
  };
  const error = await assertRejects(() => routerFor(streamer).run(command), StreamerError);
  assertEquals(error.code, "PROTOCOL");
  await until(() => server.peers.length === 2);
  assertEquals(server.peers.flatMap(({ commands }) => commands).filter(([name]) => name === "XGROUP").length, 1);
});

test("a reply over the limits is not requested again by a caller that can ask for less", async () => {
  await using server = await startFakeServer(async (peer) => void await peer.serve({ ...handshake, GET: "$5000\r\n" }));
  await using streamer = await connect(server.url, { reconnect, limits: { bulk: 4_000 } });
  const get = valueCommand(["GET", "k"], { repeatable: true });
  const error = await assertRejects(() => routerFor(streamer).run(get, { mostCuts: 2 }), StreamerError);
  assert("tooLarge" in error && error.tooLarge, String(error));
  assertEquals(server.peers.flatMap(({ commands }) => commands).filter(([name]) => name === "GET").length, 1);
});
