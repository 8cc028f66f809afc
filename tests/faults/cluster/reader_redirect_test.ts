// Consumers whose reads are redirected to the node that has answered, in a circle, or nowhere. The streams are real.

import { assert, assertEquals } from "@std/assert";
import { connect, type Consumer, type RedisStreamer } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { delay } from "../../support/async.ts";
import { type Front, Fronts } from "../../support/cluster/fronts.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !await canStartServers(), timeout: 60_000 };
const MODES = ["real-time", "group"] as const;

/** A consumer of streams, and what it has got, by stream. */
async function consume(streamer: RedisStreamer, keys: readonly string[], mode: (typeof MODES)[number]) {
  const got = new Map<string, string[]>(keys.map((key) => [key, []]));
  const consumer: Consumer = mode === "real-time"
    ? await streamer.createConsumer(keys, { mode })
    : await streamer.createConsumer(keys, { mode: "load-balanced", group: "g", autoCommit: "delayed" });
  const failed = { error: undefined as unknown };
  const reading = (async () => {
    try {
      for (;;) {
        const message = await consumer.next();
        got.get(message.streamKey)?.push(message.text());
      }
    } catch (error) {
      failed.error = error;
    }
  })();
  const end = async () => {
    await consumer.end();
    await reading;
  };
  return { consumer, got, failed, end };
}

/** Reads that came to a node. */
function reads(node: Front): number {
  return node.count("XREAD") + node.count("XREADGROUP");
}

async function add(fronts: Fronts, key: string, from: number, count: number): Promise<void> {
  for (let i = from; i < from + count; i++) await fronts.command("XADD", key, "*", "msg", `${i}`);
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => `${i}`);

for (const mode of MODES) {
  for (const code of ["MOVED", "ASK"]) {
    test(
      `${mode}: a proxy with a new backend is dialled anew after ${code}, and nothing is missing or repeated`,
      async () => {
        await using fronts = await Fronts.start();
        const [a, b] = fronts.nodes;
        const keys = [fronts.keyOf(a), fronts.keyOf(b)];
        await using streamer = await connect(fronts.url);
        const { got, failed, end } = await consume(streamer, keys, mode);
        for (const key of keys) await add(fronts, key, 0, 10);
        await until(() => keys.every((key) => got.get(key)?.length === 10));
        const dials = a.dials;
        a.script = ({ keys: [key], connection }) =>
          key !== undefined && connection < dials ? `${code} ${slotOfKey(key)} ${a.address}` : undefined;
        for (const key of keys) await add(fronts, key, 10, 10);
        await until(() => keys.every((key) => got.get(key)?.length === 20), { timeout: 20_000 });
        await delay(300);
        assertEquals(keys.map((key) => got.get(key)), [numbers(20), numbers(20)]);
        assert(a.dials - dials <= 4, `${a.dials - dials} connections`);
        assertEquals(failed.error, undefined);
        await end();
      },
      options,
    );
  }

  for (
    const [what, text] of [
      ["to itself", (slot: number, { address }: Front) => `MOVED ${slot} ${address}`],
      ["to itself by ASK", (slot: number, { address }: Front) => `ASK ${slot} ${address}`],
      ["nowhere", () => "MOVED 99999 evil:0"],
      ["in a circle", (slot: number, _: Front, other: Front) => `MOVED ${slot} ${other.address}`],
      ["in a circle by ASK", (slot: number, _: Front, other: Front) => `ASK ${slot} ${other.address}`],
    ] as const
  ) {
    test(
      `${mode}: reads that are redirected ${what} for long are few, hold up no other stream, and go on in the end`,
      async () => {
        await using fronts = await Fronts.start(3);
        const [a, b, c] = fronts.nodes;
        const keys = [fronts.keyOf(a), fronts.keyOf(c)];
        await using streamer = await connect(fronts.url);
        const { got, failed, end } = await consume(streamer, keys, mode);
        for (const key of keys) await add(fronts, key, 0, 5);
        await until(() => keys.every((key) => got.get(key)?.length === 5));
        const [first] = keys;
        let isOn = true;
        for (const [node, other] of [[a, b], [b, a]]) {
          node.script = ({ words, keys: [key] }) =>
            isOn && /^XREAD/.test(words[0]) && key === first ? text(slotOfKey(key), node, other) : undefined;
        }
        // Ends the reads that block, so that the next ones are redirected.
        await add(fronts, keys[0], 5, 1);
        const before = reads(a) + reads(b);
        const dials = a.dials + b.dials;
        let longest = 0;
        for (let i = 5; i < 35; i++) {
          const start = performance.now();
          await add(fronts, keys[1], i, 1);
          await until(() => got.get(keys[1])?.length === i + 1);
          longest = Math.max(longest, performance.now() - start);
          await delay(100);
        }
        const asked = reads(a) + reads(b) - before;
        assert(asked > 3 && asked < 90, `${asked} reads in three seconds`);
        assert(a.dials + b.dials - dials < 40, `${a.dials + b.dials - dials} connections`);
        assert(longest < 500, `${longest} ms`);
        isOn = false;
        await add(fronts, keys[0], 6, 4);
        await until(() => got.get(keys[0])?.length === 10, { timeout: 20_000 });
        assertEquals(got.get(keys[0]), numbers(10));
        assertEquals(failed.error, undefined);
        await end();
      },
      options,
    );
  }
}
