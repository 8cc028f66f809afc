// Tests the cost of hostile replies: 64 MiB of them let memory grow by at most 48 MiB, and no chunk blocks the loop for
// long. Time is CPU time of this process, so that a busy machine makes no difference.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { cpuUsage } from "node:process";
import { connect, type RedisStreamer, StreamerError } from "../../../mod.ts";
import { Pipeline } from "../../../resp/connection/pipeline/pipeline.ts";
import {
  entriesReply,
  LISTING_REPLY,
  rowsReply,
  SMALL_REPLY,
  STATE_REPLY,
  TEXT_REPLY,
} from "../../../resp/reply_limits.ts";
import type { ReplyLimits } from "../../../resp/limits.ts";
import { FakeClock, FakeWire, settle } from "../../unit/connection/fakes.ts";
import { type Answers, handshake, noShards, type Peer, startFakeServer } from "../../support/network/fake_server.ts";
import { MemoryWatch } from "../../support/memory.ts";
import { test } from "../../support/runner.ts";

const MIB = 1024 * 1024;
const FLOOD = 64 * MIB;
const GROWTH = 48 * MIB;
const PIECE = 64 * 1024;

/** The start of a reply, and the bytes that follow without an end. */
interface Hostile {
  readonly head: string;
  readonly piece: string;
}

const hostile: Readonly<Record<string, Hostile>> = {
  "an endless bulk string": { head: "$536870911\r\n", piece: "x" },
  "an endless streamed string": { head: "$?\r\n", piece: ";4\r\nabcd\r\n" },
  "tiny integers": { head: "*16777215\r\n", piece: ":1\r\n" },
  "tiny strings": { head: "*16777215\r\n", piece: "$0\r\n\r\n" },
  "empty arrays": { head: "*?\r\n", piece: "*0\r\n" },
  "a map of nulls": { head: "%8388607\r\n", piece: "_\r\n_\r\n" },
  "a push": { head: ">16777215\r\n", piece: ":1\r\n" },
  "attributes": { head: "", piece: "|1\r\n+a\r\n:1\r\n" },
  "an endless line": { head: "+", piece: "x" },
  "an endless error": { head: "!536870911\r\n", piece: "x" },
  "a verbatim string": { head: "=536870911\r\n", piece: "txt:" },
  "an endless number": { head: "(", piece: "1" },
};

function pieceOf({ piece }: Hostile): Uint8Array {
  return new TextEncoder().encode(piece.repeat(Math.ceil(PIECE / piece.length)));
}

/** Sends all of it, unless the client has left. */
async function flood(peer: Peer, reply: Hostile): Promise<undefined> {
  let gone = false;
  peer.closed.then(() => gone = true);
  await peer.send(reply.head);
  const piece = pieceOf(reply);
  for (let sent = 0; sent < FLOOD && !gone; sent += piece.length) await peer.send(piece);
  return undefined;
}

/** The most that this process grows by, checked in every turn of the loop, while `work` runs. */
async function growthOf(work: () => Promise<unknown>): Promise<number> {
  const memory = new MemoryWatch();
  const look = setInterval(() => memory.glance(GROWTH), 1);
  try {
    await work();
  } finally {
    clearInterval(look);
  }
  memory.glance(GROWTH);
  return memory.growth;
}

interface Asking {
  /** The command with that reply. */
  readonly command: string;
  readonly ask: (streamer: RedisStreamer) => Promise<unknown>;
}

const asking: Readonly<Record<string, Asking>> = {
  "a send": {
    command: "XADD",
    ask: async (streamer) => await (await streamer.createProducer("k", { sendTimeout: 20_000 })).send("x"),
  },
  "a length": { command: "XLEN", ask: async (streamer) => await (await streamer.createManager()).length("k") },
  "information": { command: "XINFO", ask: async (streamer) => await (await streamer.createManager()).info("k") },
  "a scan": { command: "SCAN", ask: async (streamer) => await (await streamer.createManager()).scan() },
  "a read": {
    command: "XREAD",
    ask: async (streamer) => {
      const options = { mode: "real-time", autoStreamReset: "earliest", shards: 1 } as const;
      return await (await streamer.createConsumer("k", options)).next();
    },
  },
};

const { CLIENT: greeting } = handshake;
const answers: Answers = {
  ...handshake,
  ...noShards,
  CLIENT: (words) => words[1] === "KILL" ? ":1\r\n" : typeof greeting === "function" ? greeting(words) : greeting,
  TIME: "*2\r\n$1\r\n1\r\n$1\r\n1\r\n",
  XREVRANGE: "*0\r\n",
};

for (const [who, { command, ask }] of Object.entries(asking)) {
  test(`64 MiB of any bytes in reply to ${who} cost at most 48 MiB, and it rejects`, async () => {
    for (const [what, reply] of Object.entries(hostile)) {
      await using fake = await startFakeServer(async (peer) => {
        await peer.serve({ ...answers, [command]: () => flood(peer, reply) });
      });
      const streamer = await connect(fake.url, { reconnect: { initialDelay: 1, maxDelay: 5 } });
      try {
        const growth = await growthOf(async () => {
          const error = await ask(streamer).then(() => undefined, (error: unknown) => error);
          assert(error instanceof StreamerError, `${what}: ${error}`);
          assertEquals(error.code, "PROTOCOL", what);
        });
        assertLessOrEqual(growth, GROWTH, `${what}: ${Math.round(growth / MIB)} MiB`);
      } finally {
        await streamer.disconnect({ timeout: 0 }).catch(() => {});
      }
      fake.errors.length = 0; // it may have written to a client that has left
    }
  }, { timeout: 120_000 });
}

const kinds: Readonly<Record<string, ReplyLimits>> = {
  small: SMALL_REPLY,
  "a listing": LISTING_REPLY,
  "a text": TEXT_REPLY,
  "a state": STATE_REPLY,
  "a thousand rows": rowsReply(1_000, 4),
};

interface Fed {
  /** Bytes read until it was refused. */
  readonly taken: number;
  /** Microseconds of CPU time of each piece. */
  readonly costs: readonly number[];
}

/** Feeds the bytes, piece by piece, to a pipeline that waits for one reply. */
async function feed(reply: Hostile, limits: ReplyLimits): Promise<Fed> {
  const pipeline = new Pipeline({ timeout: 1_000, clock: new FakeClock() });
  pipeline.open(new FakeWire(pipeline.sink));
  const command = { args: ["ANY"], repeatable: false, limits, read: () => {} };
  pipeline.enqueue(command, { limits, reply: () => {}, lost: () => {} });
  await settle();
  const costs: number[] = [];
  const take = (bytes: Uint8Array) => {
    const before = cpuUsage();
    for (let at = 0; at < bytes.length && pipeline.ending === undefined;) {
      const room = pipeline.sink.space();
      const count = Math.min(room.length, bytes.length - at);
      room.set(bytes.subarray(at, at + count));
      pipeline.sink.received(count);
      at += count;
    }
    const { user, system } = cpuUsage(before);
    costs.push(user + system);
  };
  take(new TextEncoder().encode(reply.head));
  const piece = pieceOf(reply);
  let taken = 0;
  for (; taken < FLOOD && pipeline.ending === undefined; taken += piece.length) take(piece);
  assertEquals(pipeline.ending?.code, "PROTOCOL");
  return { taken, costs };
}

/** Runs of each: the cheapest time of a piece is its own, the rest is other work of the engine. */
const RUNS = 4;

for (const [kind, limits] of Object.entries(kinds)) {
  test(
    `of a reply that must be ${kind}, few bytes are read before it is refused, and no piece takes long`,
    async () => {
      for (const [what, reply] of Object.entries(hostile)) {
        const runs: Fed[] = [];
        for (let i = 0; i < RUNS; i++) runs.push(await feed(reply, limits));
        const [{ taken, costs }] = runs;
        assertLessOrEqual(taken, 16 * MIB, what);
        const longest = Math.max(...costs.map((_, i) => Math.min(...runs.map((run) => run.costs[i]))));
        assertLessOrEqual(longest, 50_000, `${what}: ${longest} µs of CPU time`);
      }
    },
    { timeout: 60_000 },
  );
}

test("unrequested bytes are refused while they are few", async () => {
  for (const [what, reply] of Object.entries(hostile)) {
    const pipeline = new Pipeline({ timeout: 1_000, clock: new FakeClock() });
    const wire = new FakeWire(pipeline.sink);
    pipeline.open(wire);
    wire.say(reply.head);
    const piece = new TextDecoder().decode(pieceOf(reply));
    let taken = 0;
    for (; taken < FLOOD && pipeline.ending === undefined; taken += piece.length) wire.say(piece);
    await settle();
    assertEquals(pipeline.ending?.code, "PROTOCOL", what);
    assertLessOrEqual(taken, 2 * MIB, what);
  }
});

test("a string in place of entries, and numbers among them, are refused at once", async () => {
  for (const [what, { head, piece }] of Object.entries(hostile)) {
    if (what === "attributes" || what === "an endless line" || what === "an endless number") continue; // not at once
    const pipeline = new Pipeline({ timeout: 1_000, clock: new FakeClock() });
    const wire = new FakeWire(pipeline.sink);
    pipeline.open(wire);
    const limits = entriesReply(1);
    const command = { args: ["XREAD"], repeatable: true, limits, read: () => {} };
    pipeline.enqueue(command, { limits, reply: () => {}, lost: () => {} });
    await settle();
    wire.say(head + piece);
    assertEquals(pipeline.ending?.code, "PROTOCOL", what);
  }
});
