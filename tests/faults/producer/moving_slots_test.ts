// Tests that a producer's messages follow their slots: nothing is lost, and the order of the calls stays.

import { assert, assertEquals } from "@std/assert";
import type { Producer, ProducerOptions, SendReceipt } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { toySlotOf } from "../../support/routing/slots.ts";
import { type Routed, streamerOver } from "../../support/routing/two_node_streamer.ts";
import { type MoveOptions, TwoNodes } from "../../support/routing/two_nodes.ts";
import { test } from "../../support/runner.ts";

/** Two keys, of which the first is at the first node and the second at the other one. */
function twoKeys(both: TwoNodes): readonly [string, string] {
  const [one, other] = [uniqueKey("k"), uniqueKey("k")]; // their slots are adjacent
  return both.table.ownerOf(toySlotOf(one)) === 0 ? [one, other] : [other, one];
}

/** The payloads in a stream, in order. */
async function payloads(both: TwoNodes, key: string): Promise<string[]> {
  const entries = await both.at(key).command("XRANGE", key, "-", "+");
  if (!Array.isArray(entries)) throw new Error("XRANGE gave no array");
  return entries.map((entry) => String((entry as [string, string[]])[1][1])); // an id, and field and value
}

/** Sends numbered messages to each key in turn until it is stopped. */
class Storm {
  /** Codes of failures. */
  readonly codes = new Set<unknown>();
  /** The stored messages by key, in the order of the calls. */
  readonly stored = new Map<string, string[]>();
  /** Messages that may be stored. */
  readonly unknown = new Set<string>();
  readonly #receipts: (readonly [key: string, text: string, receipt: SendReceipt])[] = [];
  readonly #done: Promise<void>;
  #stopped = false;
  sent = 0;

  constructor(producer: Producer, keys: readonly string[]) {
    this.#done = this.#run(producer, keys);
  }

  async #run(producer: Producer, keys: readonly string[]): Promise<void> {
    while (!this.#stopped) {
      for (let i = 0; i < 20; i++, this.sent++) {
        for (const key of keys) this.#receipts.push([key, String(this.sent), this.#send(producer, key)]);
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  #send(producer: Producer, key: string): SendReceipt {
    const receipt = producer.sendTo(key, String(this.sent));
    receipt.catch((error) => this.codes.add(error.code));
    return receipt;
  }

  /** So many more are sent. */
  async more(count: number): Promise<void> {
    const goal = this.sent + count;
    await until(() => this.sent >= goal);
  }

  /** Stops, and waits until all are settled. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
    for (const [key, text, receipt] of this.#receipts) {
      await receipt.catch(() => {});
      if (receipt.outcome === "unknown") this.unknown.add(text);
      if (receipt.outcome !== "acked") continue;
      const stored = this.stored.get(key) ?? [];
      this.stored.set(key, stored);
      stored.push(text);
    }
  }
}

async function setUp(options: ProducerOptions = {}) {
  const both = await TwoNodes.start();
  const routed: Routed = streamerOver(both);
  const keys = twoKeys(both);
  const producer = await routed.streamer.createProducer(keys[0], options);
  return { both, keys, producer, ...routed, close: () => routed[Symbol.asyncDispose]() };
}

const MOVES: Readonly<Record<string, MoveOptions>> = {
  "a node replies MOVED": {},
  "the router is notified early": { notice: "early" },
  "the router is notified at once": { notice: "at-once" },
  "a node replies ASK": { how: "asking" },
  "a node replies ASK, and the router is notified": { how: "asking", notice: "at-once" },
};

for (const [what, options] of Object.entries(MOVES)) {
  test(`a slot moves back and forth under load, and its messages follow: ${what}`, async () => {
    const { both, keys, producer, close } = await setUp();
    const storm = new Storm(producer, keys);
    for (let i = 0; i < 6; i++) {
      await storm.more(200);
      const key = keys[i % 2];
      const handOver = options.how === "asking" ? () => storm.more(200) : undefined;
      await both.move(toySlotOf(key), { ...options, ...(handOver && { handOver }) });
    }
    await storm.more(200);
    await storm.stop();
    for (const key of keys) assertEquals(await payloads(both, key), storm.stored.get(key));
    const { failed, buffered, inFlight } = producer.stats();
    assertEquals([buffered, inFlight, storm.unknown.size, both.faults], [0, 0, 0, []]);
    // Only the new owner's TRYAGAIN can fail a message: a later one has been stored before it is sent again.
    if (options.how === "asking") assertEquals(failed, 0);
    else assertEquals([...storm.codes].filter((code) => code !== "TRYAGAIN"), []);
    await close();
    await both[Symbol.asyncDispose]();
  });
}

test("while a slot is imported each command has an ASKING of its own, and none once the node owns it", async () => {
  const { both, keys: [key], producer, close } = await setUp();
  await producer.send("before");
  const slot = toySlotOf(key);
  const importing = both.nodes[1 - both.table.ownerOf(slot)];
  await both.move(slot, {
    how: "asking",
    notice: "at-once",
    handOver: async () => {
      await Promise.all(Array.from({ length: 50 }, (_, i) => producer.send(`asking ${i}`)));
      assertEquals([importing.commands.get("ASKING"), importing.commands.get("XADD")], [50, 50]);
    },
  });
  await Promise.all(Array.from({ length: 50 }, (_, i) => producer.send(`after ${i}`)));
  assertEquals([importing.commands.get("ASKING"), importing.commands.get("XADD")], [50, 100]);
  await close();
  await both[Symbol.asyncDispose]();
});

test("while a node is away only its messages wait", async () => {
  const { both, keys: [away, there], producer, close } = await setUp();
  await Promise.all([producer.sendTo(away, "0"), producer.sendTo(there, "0")]);
  let waiting: SendReceipt | undefined;
  await both.away(0, async () => {
    waiting = producer.sendTo(away, "1");
    for (let i = 1; i <= 20; i++) await producer.sendTo(there, String(i));
    assertEquals(waiting.outcome, "pending");
  });
  await waiting;
  assertEquals(await payloads(both, away), ["0", "1"]);
  await close();
  await both[Symbol.asyncDispose]();
});

test("the messages of a lost node go to the node that has its slots now; the others stay", async () => {
  const { both, keys, producer, close } = await setUp();
  const storm = new Storm(producer, keys);
  await storm.more(200);
  await both.lose(0, { elected: () => storm.more(200) });
  await storm.more(200);
  await storm.stop();
  assertEquals(await payloads(both, keys[1]), storm.stored.get(keys[1]));
  const stored = await payloads(both, keys[0]);
  const first = [...new Set(stored)];
  assertEquals(first, first.toSorted((a, b) => Number(a) - Number(b))); // in the order of the calls
  assertEquals(first.filter((text) => !storm.unknown.has(text)), storm.stored.get(keys[0]));
  assert(stored.length - new Set(stored).size <= producer.stats().resent, `${stored.length} are stored`);
  await close();
  await both[Symbol.asyncDispose]();
});

test("two nodes that redirect to each other are called at a limited pace, until the send times out", async () => {
  const { both, keys: [key], producer, close } = await setUp({ sendTimeout: 1_500 });
  await producer.send("before");
  const slot = toySlotOf(key);
  const [first, second] = both.nodes;
  both.table.rule = (node, names) =>
    names.length === 0
      ? { kind: "serve" }
      : { kind: "answer", text: `MOVED ${slot} ${(node === 0 ? second : first).name}` };
  const receipt = producer.send("never");
  const error = await receipt.then(() => undefined, (reason) => reason);
  assertEquals([error?.code, receipt.outcome], ["TIMEOUT", "not-written"]);
  assert(both.refusals("MOVED") >= 17 && both.refusals("MOVED") < 200, String(both.refusals("MOVED")));
  await close();
  await both[Symbol.asyncDispose]();
});
