// Owns the proof that replies reach those who wait for them, in order, and that any doubt ends the pipeline for all.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { type Command, valueCommand, wrongShape } from "../../../resp/connection/command.ts";
import { Pipeline, type PipelineOptions } from "../../../resp/connection/pipeline.ts";
import { RedisError, StreamerError } from "../../../resp/errors.ts";
import { test } from "../../support/runner.ts";
import { FakeClock, FakeWire, settle } from "./fakes.ts";

function open(options: Partial<PipelineOptions> = {}) {
  const clock = new FakeClock();
  const pipeline = new Pipeline({ timeout: 1_000, clock, ...options });
  const wire = new FakeWire(pipeline.sink);
  const told: string[] = [];
  const endings: StreamerError[] = [];
  pipeline.own({ writable: () => told.push("writable"), ended: (cause) => endings.push(cause) });
  pipeline.open(wire);
  return { clock, pipeline, wire, told, endings };
}

const get = (key: string) => valueCommand(["GET", key]);
const encoded = (key: string) => `*2\r\n$3\r\nGET\r\n$${key.length}\r\n${key}\r\n`;

/** How a promise stands, as a word or its error's code. */
async function stateOf(promise: Promise<unknown>): Promise<string> {
  let state = "pending";
  promise.then(
    (value) => state = `${value}`,
    (error) => state = error instanceof StreamerError ? error.code : `${error}`,
  );
  await settle();
  return state;
}

test("all commands of a tick leave in one write, and each gets its own reply", async () => {
  const { pipeline, wire } = open();
  const calls = ["a", "b", "c"].map((key) => pipeline.call(get(key)));
  assertEquals(wire.written, "");
  await settle();
  assertEquals([wire.writes, wire.written], [1, encoded("a") + encoded("b") + encoded("c")]);
  wire.say(":1\r\n:2\r\n");
  assertEquals(await Promise.all(calls.map(stateOf)), ["1", "2", "pending"]);
  wire.say(":3\r\n");
  assertEquals(await calls[2], 3);
  assertEquals(pipeline.inFlight, 0);
});

test("what is called before the wire is there goes out with it", async () => {
  const clock = new FakeClock();
  const pipeline = new Pipeline({ timeout: 1_000, clock });
  const call = pipeline.call(get("a"));
  await settle();
  const wire = new FakeWire(pipeline.sink);
  pipeline.open(wire);
  assertEquals(wire.written, encoded("a"));
  wire.say("+ok\r\n");
  assertEquals(await call, "ok");
});

test("an error reply rejects its own call only, with the command's name and no argument", async () => {
  const { pipeline, wire, endings } = open();
  const calls = [pipeline.call(get("a")), pipeline.call(get("secret")), pipeline.call(get("c"))];
  await settle();
  wire.say(":1\r\n-WRONGTYPE no\r\n:3\r\n");
  assertEquals([await calls[0], await calls[2]], [1, 3]);
  const error = await assertRejects(() => calls[1], RedisError);
  assertEquals([error.code, error.command, error.message], ["WRONGTYPE", "GET", "WRONGTYPE no"]);
  assertEquals(endings, []);
});

test("a command with a credential shows nothing of what the server says of it", async () => {
  const { pipeline, wire } = open();
  const auth = pipeline.call({ ...valueCommand(["AUTH", "Canary-7f3a"]), secret: true });
  await settle();
  wire.say("-ERR unknown command 'AUTH', with args beginning with: 'Canary-7f3a'\r\n");
  const error = await assertRejects(() => auth, RedisError);
  assert(!error.message.includes("Canary"), error.message);
});

test("an aborted call's place stays: its reply is discarded, and nobody else gets it", async () => {
  const { pipeline, wire } = open();
  const controller = new AbortController();
  const gone = pipeline.call(get("a"), { signal: controller.signal });
  gone.catch(() => {});
  const next = pipeline.call(get("b"));
  await settle();
  const reason = new Error("enough");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => gone), reason);
  wire.say(":1\r\n");
  assertEquals(await stateOf(next), "pending");
  wire.say(":2\r\n");
  assertEquals(await next, 2);
  assertStrictEquals(await assertRejects(() => pipeline.call(get("c"), { signal: AbortSignal.abort(reason) })), reason);
  await settle();
  assert(!wire.written.includes("c\r\n"), "an aborted signal sends nothing");
});

test("while the wire is full nothing more is written, and it all goes on in order behind", async () => {
  const { pipeline, wire, told } = open();
  wire.full = true;
  pipeline.call(get("a")).catch(() => {});
  await settle();
  assertEquals(pipeline.ready, false);
  pipeline.call(get("b")).catch(() => {});
  pipeline.call(get("c")).catch(() => {});
  await settle();
  assertEquals([wire.writes, wire.written], [1, encoded("a")]);
  await wire.drain();
  assertEquals([wire.writes, wire.written], [2, encoded("a") + encoded("b") + encoded("c")]);
  assertEquals([pipeline.ready, told], [true, ["writable"]]);
});

test("pushes wake nobody", async () => {
  const { pipeline, wire, endings } = open();
  wire.say(">2\r\n+invalidate\r\n*0\r\n");
  const call = pipeline.call(get("a"));
  await settle();
  wire.say(">1\r\n+x\r\n");
  assertEquals(await stateOf(call), "pending");
  wire.say(":1\r\n>1\r\n+x\r\n");
  assertEquals([await call, endings.length], [1, 0]);
});

const doubts: Readonly<Record<string, string>> = {
  "a reply that nobody waits for": "",
  "garbage": "hello\r\n",
  "a length with a letter": "$1a\r\nx\r\n",
  "a bulk string that is longer than it said": "$1\r\nxyz\r\n",
};

for (const [what, bytes] of Object.entries(doubts)) {
  test(`${what} ends the pipeline: everybody is told, the wire is closed, nothing more is read`, async () => {
    const { pipeline, wire, endings, clock } = open();
    const calls = [pipeline.call(get("a")), pipeline.call(get("b"))];
    await settle();
    wire.say(bytes === "" ? ":1\r\n:2\r\n:3\r\n" : `:1\r\n${bytes}`);
    assertEquals(await calls[0], 1);
    if (bytes !== "") assert(["PROTOCOL", "DISCONNECTED"].includes(await stateOf(calls[1])));
    assertEquals(endings.map(({ code }) => code), ["PROTOCOL"]);
    assertEquals([wire.closed, clock.running, pipeline.inFlight, pipeline.ready], [true, 0, 0, false]);
    const late = await assertRejects(() => pipeline.call(get("c")), StreamerError);
    assert(["PROTOCOL", "DISCONNECTED"].includes(late.code));
    wire.say(":9\r\n");
    assertEquals(endings.length, 1);
  });
}

test("a reply of the wrong shape ends the pipeline; its own call hears of it as PROTOCOL", async () => {
  const { pipeline, wire, endings } = open();
  const picky: Command<number> = {
    args: ["XLEN", "k"],
    repeatable: true,
    read: () => {
      throw wrongShape("XLEN", "a number");
    },
  };
  const calls = [pipeline.call(picky), pipeline.call(get("b"))];
  calls.forEach((call) => call.catch(() => {}));
  await settle();
  wire.say("+no\r\n:2\r\n");
  assertEquals((await assertRejects(() => calls[0], StreamerError)).code, "PROTOCOL");
  await assertRejects(() => calls[1], StreamerError);
  assertEquals(endings.map(({ code }) => code), ["PROTOCOL"]);
});

test("a waiter that throws something of its own harms the pipeline only, never the socket", async () => {
  const { pipeline, wire, endings } = open();
  const lost: string[] = [];
  const waiter = (name: string) => ({
    reply: () => {
      throw new TypeError("a slip");
    },
    lost: (_: StreamerError, written: boolean) => void lost.push(`${name} ${written}`),
  });
  pipeline.enqueue(get("a"), waiter("a"));
  pipeline.enqueue(get("b"), waiter("b"));
  await settle();
  wire.say(":1\r\n:2\r\n");
  assertEquals(lost, ["a true", "b true"], "each is told once");
  assertEquals(endings.length, 1);
  assertInstanceOf(endings[0].cause, TypeError);
});

test("at the end everybody is told whether its command may have left, in order, before the owner", async () => {
  const { pipeline, wire, endings } = open();
  const lost: string[] = [];
  const waiter = (name: string) => ({
    reply: () => void lost.push(`${name} replied`),
    lost: (_: StreamerError, written: boolean) => void lost.push(`${name} ${written} ${endings.length}`),
  });
  wire.full = true;
  pipeline.enqueue(get("a"), waiter("a"));
  await settle();
  pipeline.enqueue(get("b"), waiter("b"));
  await settle();
  const cause = new Error("reset");
  wire.end(cause);
  assertEquals(lost, ["a true 0", "b false 0"]);
  pipeline.enqueue(get("c"), waiter("c"));
  assertEquals(lost[2], "c false 1");
  assertEquals(endings.map(({ code, cause }) => [code, cause]), [["DISCONNECTED", cause]]);
  pipeline.end(new StreamerError("DISCONNECTED", "again"));
  assertEquals(endings.length, 1);
});

test("silence past the timeout ends it, while somebody waits, and only then", async () => {
  const { pipeline, wire, clock, endings } = open();
  await clock.pass(60_000);
  assertEquals(clock.running, 0, "idle costs nothing");
  const call = pipeline.call(get("a"));
  call.catch(() => {});
  await settle();
  await clock.pass(900);
  wire.say(">1\r\n+anything\r\n"); // it lives
  await clock.pass(900);
  assertEquals(endings.length, 0);
  await clock.pass(200);
  assertEquals(endings.map(({ code }) => code), ["TIMEOUT"]);
  assertEquals(await stateOf(call), "TIMEOUT");
  assertEquals([wire.closed, clock.running], [true, 0]);
});

test("the time counts anew for who comes when nobody had waited for long", async () => {
  const { pipeline, wire, clock, endings } = open();
  const first = pipeline.call(get("a"));
  await settle();
  wire.say(":1\r\n");
  await first;
  await clock.pass(10_000);
  pipeline.call(get("b")).catch(() => {});
  await settle();
  await clock.pass(990);
  assertEquals(endings.length, 0);
  await clock.pass(100);
  assertEquals(endings.length, 1);
});

test("a reply that may block has its block time on top, and the next one behind it has not", async () => {
  const { pipeline, wire, clock, endings } = open();
  const blocking = pipeline.call({ ...get("a"), blocks: 5_000 });
  pipeline.call(get("b")).catch(() => {});
  await settle();
  await clock.pass(5_900);
  assertEquals(endings.length, 0);
  wire.say("_\r\n");
  assertEquals(await blocking, null);
  await clock.pass(900);
  assertEquals(endings.length, 0);
  await clock.pass(5_500);
  assertEquals(endings.map(({ code }) => code), ["TIMEOUT"]);
});

test("a process that slept gives the answers that wait a chance before it presumes the worst", async () => {
  const { pipeline, wire, clock, endings } = open();
  const call = pipeline.call(get("a"));
  await settle();
  clock.jump(60_000);
  await clock.pass(1); // the timer runs before the socket is looked at
  assertEquals(endings.length, 0);
  wire.say(":1\r\n");
  assertEquals(await call, 1);
  await clock.pass(5_000);
  assertEquals(endings.length, 0);
});

test("a server's last words before it closes are the cause, when nobody had asked anything", () => {
  const { wire, endings } = open();
  wire.say("-ERR max number of clients reached\r\n");
  assertInstanceOf(endings[0], RedisError);
  assertEquals(endings[0].message, "ERR max number of clients reached");
});

test("opening a wire on a pipeline that has ended closes the wire", () => {
  const clock = new FakeClock();
  const pipeline = new Pipeline({ timeout: 1_000, clock });
  pipeline.end(new StreamerError("DISCONNECTED", "given up"));
  const wire = new FakeWire(pipeline.sink);
  pipeline.open(wire);
  assert(wire.closed);
  assertThrows(() => {
    throw pipeline.ending;
  }, StreamerError);
});
