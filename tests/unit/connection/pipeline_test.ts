// Tests that replies reach their callers, in order, and that any doubt ends the pipeline for all.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { type Command, valueCommand, wrongShape } from "../../../resp/connection/command.ts";
import { SMALL_REPLY } from "../../../resp/reply_limits.ts";
import { Pipeline, type PipelineOptions } from "../../../resp/connection/pipeline/pipeline.ts";
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

/** The state of a promise, as a word or its error's code. */
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

test("commands that are called before the wire is open are sent with it", async () => {
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

test("a command with a credential shows nothing of the server's text", async () => {
  const { pipeline, wire } = open();
  const auth = pipeline.call({ ...valueCommand(["AUTH", "Canary-7f3a"]), secret: true });
  await settle();
  wire.say("-ERR unknown command 'AUTH', with args beginning with: 'Canary-7f3a'\r\n");
  const error = await assertRejects(() => auth, RedisError);
  assert(!error.message.includes("Canary"), error.message);
});

test("an aborted call's place stays: its reply is discarded, and no other caller gets it", async () => {
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

test("while the wire is full nothing more is written, and later everything continues in order", async () => {
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

test("pushes answer no command", async () => {
  const { pipeline, wire, endings } = open();
  wire.say(">2\r\n+invalidate\r\n*0\r\n");
  const call = pipeline.call(get("a"));
  await settle();
  wire.say(">1\r\n+x\r\n");
  assertEquals(await stateOf(call), "pending");
  wire.say(":1\r\n>1\r\n+x\r\n");
  assertEquals([await call, endings.length], [1, 0]);
});

test("pushes reach the pipeline's owner, in order with the replies", async () => {
  const { pipeline, wire, endings } = open();
  const seen: unknown[] = [];
  pipeline.own({
    writable: () => {},
    ended: (cause) => endings.push(cause),
    push: (decoder) => seen.push(decoder.value()),
  });
  wire.say(">2\r\n+invalidate\r\n*1\r\n+a\r\n");
  const call = pipeline.call(get("a")).then((value) => seen.push(value));
  await settle();
  wire.say(">2\r\n+invalidate\r\n_\r\n:1\r\n>1\r\n+last\r\n");
  await call;
  assertEquals(seen, [["invalidate", ["a"]], ["invalidate", null], ["last"], 1]);
  assertEquals(endings.length, 0);
});

test("a push that its owner cannot read ends the pipeline, and blames no reply", async () => {
  for (const thrown of [wrongShape("a push", "a list"), new TypeError("bug")]) {
    const { pipeline, wire, endings } = open();
    pipeline.own({
      writable: () => {},
      ended: (cause) => endings.push(cause),
      push: () => {
        throw thrown;
      },
    });
    const calls = ["a", "b"].map((key) => pipeline.call(get(key)));
    await settle();
    wire.say(":1\r\n>1\r\n+x\r\n:2\r\n");
    assertEquals(await Promise.all(calls.map(stateOf)), ["1", "DISCONNECTED"]);
    assertEquals(endings.map(({ code }) => code), ["PROTOCOL"]);
    assert(wire.closed);
  }
});

test("a push above the limits ends the pipeline, with any owner", async () => {
  const { pipeline, wire, endings } = open();
  let pushes = 0;
  pipeline.own({ writable: () => {}, ended: (cause) => endings.push(cause), push: () => pushes++ });
  wire.say(`>2\r\n+invalidate\r\n$${(SMALL_REPLY.bulk ?? 0) + 1}\r\n`);
  await settle();
  assertEquals([endings.map(({ code }) => code), pushes], [["PROTOCOL"], 0]);
});

const doubts: Readonly<Record<string, string>> = {
  "a reply without a waiting command": "",
  "garbage": "hello\r\n",
  "a length with a letter": "$1a\r\nx\r\n",
  "a bulk string that is longer than its length": "$1\r\nxyz\r\n",
};

for (const [what, bytes] of Object.entries(doubts)) {
  test(`${what} ends the pipeline: all calls reject, the wire is closed, nothing more is read`, async () => {
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

test("a reply of the wrong type ends the pipeline; its own call rejects with PROTOCOL", async () => {
  const { pipeline, wire, endings } = open();
  const picky: Command<number> = {
    args: ["XLEN", "k"],
    repeatable: true,
    limits: SMALL_REPLY,
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

test("a waiter that throws ends the pipeline only, never the socket", async () => {
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
  assertEquals(lost, ["a true", "b true"], "each rejects once");
  assertEquals(endings.length, 1);
  assertInstanceOf(endings[0].cause, TypeError);
});

test("at the end all calls reject with whether their command may have left, in order, before the owner", async () => {
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

test("silence past the timeout ends it, while a caller waits, and only then", async () => {
  const { pipeline, wire, clock, endings } = open();
  await clock.pass(60_000);
  assertEquals(clock.running, 0, "idle costs nothing");
  const call = pipeline.call(get("a"));
  call.catch(() => {});
  await settle();
  await clock.pass(900);
  wire.say(">1\r\n+anything\r\n"); // it is still open
  await clock.pass(900);
  assertEquals(endings.length, 0);
  await clock.pass(200);
  assertEquals(endings.map(({ code }) => code), ["TIMEOUT"]);
  assertEquals(await stateOf(call), "TIMEOUT");
  assertEquals([wire.closed, clock.running], [true, 0]);
});

for (const later of [false, true]) {
  test(`writes that the system takes ${later ? "later" : "at once"} are no sign of life: the silence continues`, async () => {
    const { pipeline, wire, clock, endings } = open();
    wire.later = later;
    let calls = 0;
    for (; endings.length === 0 && calls < 50; calls++) {
      pipeline.call(get("a")).catch(() => {});
      await clock.pass(100);
    }
    assertEquals([endings.map(({ code }) => code), calls, clock.running], [["TIMEOUT"], 11, 0]);
  });
}

test("a write that had to wait until the other side made room is a sign of life when it is taken", async () => {
  const { pipeline, wire, clock, endings } = open();
  for (let round = 0; round < 10; round++) {
    wire.full = true;
    pipeline.call(get("a")).catch(() => {});
    await clock.pass(900);
    await wire.drain();
  }
  assertEquals(endings.length, 0);
  wire.full = true;
  pipeline.call(get("a")).catch(() => {});
  await clock.pass(1_100);
  assertEquals(endings.map(({ code }) => code), ["TIMEOUT"], "without room there is silence");
});

test("a write that was taken at once, but is seen late by a busy process, is no sign of life", async () => {
  const { pipeline, wire, clock, endings } = open();
  wire.full = true;
  pipeline.call(get("a")).catch(() => {});
  await settle();
  clock.after(25, () => void wire.drain()); // after the first look, in the same turn
  await clock.pass(1_055); // the timeout from the first write on, and a second look
  assertEquals(endings.map(({ code }) => code), ["TIMEOUT"]);
});

test("bytes beyond what any system buffers are a sign of life, however fast they are taken", async () => {
  const { pipeline, wire, clock, endings } = open();
  wire.later = true;
  pipeline.call(get("a")).catch(() => {});
  await settle();
  for (let i = 0; i < 50; i++) {
    pipeline.send(new Uint8Array(1024 * 1024));
    await settle();
    await clock.pass(200);
  }
  assertEquals(endings.length, 0);
});

test("large writes leave in pieces, in their order", async () => {
  const { pipeline, wire } = open();
  wire.later = true;
  const value = Array.from({ length: 40_000 }, (_, i) => `${i}`).join(" ");
  pipeline.call(get(value)).catch(() => {});
  pipeline.call(get("b")).catch(() => {});
  await settle();
  assert(wire.writes >= 4, `${wire.writes} writes`);
  assertEquals(wire.written, encoded(value) + encoded("b"));
});

test("the time starts again for a caller that arrives when none had waited for long", async () => {
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

test("a reply that may block has its block time in addition, and the next one after it does not", async () => {
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

test("a process that was suspended reads waiting replies before it presumes the worst", async () => {
  const { pipeline, wire, clock, endings } = open();
  const call = pipeline.call(get("a"));
  await settle();
  clock.jump(60_000);
  await clock.pass(1); // the timer runs before the socket is read
  assertEquals(endings.length, 0);
  wire.say(":1\r\n");
  assertEquals(await call, 1);
  await clock.pass(5_000);
  assertEquals(endings.length, 0);
});

test("the server's last text before it closes is the cause, if no command was waiting", () => {
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
