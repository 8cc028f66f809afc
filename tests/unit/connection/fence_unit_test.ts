// Tests the connections that a fence remembers while others open and close, with a clock of the test.

import { assert, assertEquals } from "@std/assert";
import { Pipeline } from "../../../resp/connection/pipeline/pipeline.ts";
import { StreamerError } from "../../../resp/errors.ts";
import { Fence, FENCE_WAIT } from "../../../resp/connection/fence.ts";
import { FakeClock, FakeWire, settle } from "./fakes.ts";
import { test } from "../../support/runner.ts";

function world() {
  const clock = new FakeClock();
  const fence = new Fence();
  const told: unknown[] = [];
  const { signal } = new AbortController();
  const connect = (node?: string) => {
    const pipeline = new Pipeline({ timeout: 60_000, clock });
    const wire = new FakeWire(pipeline.sink);
    pipeline.open(wire);
    let state = "raising";
    fence.raise(pipeline, { clock, signal, node, onUnavailable: (cause) => told.push(cause) })
      .then(() => state = "raised", () => state = "failed");
    return {
      pipeline,
      wire,
      get state() {
        return state;
      },
      killed: () => [...wire.written.matchAll(/ID\r\n\$\d+\r\n(\d+)/g)].map((match) => match[1]),
    };
  };
  return { clock, fence, told, connect };
}

const identity = (id: number) => ({ id: `${id}`, address: `127.0.0.1:${id}` });
const gone = () => new StreamerError("DISCONNECTED", "gone");

test("a lost connection is killed once; then there is nothing to do", async () => {
  const { fence, connect, told } = world();
  assertEquals(fence.needed, false);
  fence.add(identity(1));
  assertEquals(fence.needed, true);
  const line = connect();
  await settle();
  assertEquals(line.killed(), ["1"]);
  line.wire.say(":0\r\n");
  await settle();
  assertEquals([line.state, fence.needed, told.length], ["raised", false, 0]);
});

test("every connection lost since is killed over the next one that works", async () => {
  const { fence, connect } = world();
  fence.add(identity(1));
  const first = connect();
  await settle();
  first.pipeline.end(gone());
  await settle();
  assertEquals([first.state, fence.needed], ["failed", true]);
  fence.add(identity(2));
  const second = connect();
  await settle();
  assertEquals(second.killed(), ["1", "2"]);
  second.wire.say(":1\r\n:1\r\n");
  await settle();
  assertEquals([second.state, fence.needed], ["raised", false]);
});

test("if killing is refused it waits, and reports once for each connection that tries", async () => {
  const { fence, connect, clock, told } = world();
  fence.add(identity(1));
  const line = connect();
  await settle();
  line.wire.say("-NOPERM no\r\n");
  await clock.pass(FENCE_WAIT - 1);
  assertEquals([line.state, told.length], ["raising", 1]);
  await clock.pass(1);
  assertEquals([line.state, fence.needed], ["raised", false]);
});

test("a wait whose connection is lost ends with it, and forgets no connection that was lost later", async () => {
  const { fence, connect, clock } = world();
  fence.add(identity(1));
  const first = connect();
  await settle();
  first.wire.say("-BUSY for now\r\n");
  await clock.pass(100);
  first.pipeline.end(gone()); // lost during the wait
  await settle();
  const second = connect();
  await settle();
  second.wire.say(":1\r\n");
  await settle();
  assertEquals([second.state, fence.needed], ["raised", false]);
  second.pipeline.end(gone()); // lost with messages in flight
  fence.add(identity(2));
  await clock.pass(FENCE_WAIT); // the first one's wait would be over now
  assertEquals(fence.needed, true, "the second connection has not been killed yet");
  const third = connect();
  await settle();
  assertEquals(third.killed(), ["2"]);
});

test("a connection that opens during the wait waits too", async () => {
  const { fence, connect, clock } = world();
  fence.add(undefined); // the server had not sent its name
  const first = connect();
  await clock.pass(FENCE_WAIT / 2);
  first.pipeline.end(gone());
  const second = connect();
  await clock.pass(FENCE_WAIT / 2 - 1);
  assertEquals(second.state, "raising");
  await clock.pass(FENCE_WAIT / 2 + 1);
  assertEquals([second.state, fence.needed], ["raised", false]);
});

test("an invalid reply to CLIENT KILL ends the connection, and the fence is still needed", async () => {
  const { fence, connect } = world();
  fence.add(identity(1));
  const line = connect();
  await settle();
  line.wire.say("+OK\r\n");
  await settle();
  assertEquals([line.state, fence.needed], ["failed", true]);
  assert(line.wire.closed);
});

test("a server that flaps for hours gets no thousands of CLIENT KILL commands", async () => {
  const { fence, connect } = world();
  for (let i = 1; i <= 5_000; i++) fence.add(identity(i));
  const line = connect();
  await settle();
  const killed = line.killed();
  assert(killed.length <= 100, `${killed.length}`);
  assertEquals(killed.at(-1), "5000");
});

test("a lost connection to another node is killed, too, but nothing waits for that", async () => {
  const { fence, connect, told } = world();
  fence.add(identity(1), "old:1");
  fence.add(undefined, "old:1");
  const line = connect("new:1");
  await settle();
  assertEquals(line.killed(), ["1"]);
  line.wire.say("-NOPERM no\r\n");
  await settle();
  assertEquals([line.state, fence.needed, told.length], ["raised", false, 0]);
  fence.add(identity(2), "new:1");
  const next = connect("new:1");
  await settle();
  next.wire.say("-NOPERM no\r\n");
  await settle();
  assertEquals([next.state, told.length], ["raising", 1]);
});

test("a lost connection is killed by its id and its address together", async () => {
  const { fence, connect } = world();
  fence.add(identity(7));
  const line = connect();
  await settle();
  const words = line.wire.written.split("\r\n").filter((word) => word !== "" && !/^[*$]/.test(word));
  assertEquals(words, ["CLIENT", "KILL", "ID", "7", "ADDR", "127.0.0.1:7"]);
});
