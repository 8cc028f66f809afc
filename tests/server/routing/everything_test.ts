// Tests that no part of a program depends on one node: a producer, consumers of all modes and a manager work at the
// same time over two nodes with a toy slot function, while slots move back and forth and a node is lost.

import { assert, assertEquals } from "@std/assert";
import { setImmediate as turn } from "node:timers/promises";
import { type AckConsumer, type Manager, StreamerError } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { Got, together } from "../../support/routing/got.ts";
import { Mover } from "../../support/routing/mover.ts";
import { Numbered, SHARD_COUNT, shardOfPayload } from "../../support/routing/numbered.ts";
import { toySlotOf } from "../../support/routing/slots.ts";
import { type Routed, streamerOver } from "../../support/routing/two_node_streamer.ts";
import { TwoNodes } from "../../support/routing/two_nodes.ts";
import { test } from "../../support/runner.ts";

const seed = freshSeed();
const ENOUGH = 24_000;
const GROUPS = ["balanced", "resumed"] as const;

/** The readers: a real-time consumer, two that share a group, and a resumable one. */
interface Readers {
  readonly realTime: Got;
  readonly balanced: readonly Got[];
  readonly resumed: Got;
}

async function startReaders({ streamer }: Routed, streamKey: string): Promise<Readers> {
  const shared = { autoStreamReset: "earliest", autoCommit: "rolling", autoCommitInterval: 20 } as const;
  const balancing = { mode: "load-balanced", group: "balanced", ...shared } as const;
  const resuming = { mode: "resumable", group: "resumed", consumerId: "one", ...shared } as const;
  const reads = (consumer: AckConsumer) => {
    const got = new Got();
    got.take(consumer, (message) => consumer.ack(message));
    return got;
  };
  const realTime = new Got();
  realTime.take(await streamer.createConsumer(streamKey, { mode: "real-time", autoStreamReset: "earliest" }));
  return {
    realTime,
    balanced: [
      reads(await streamer.createConsumer(streamKey, { ...balancing, consumerId: "a" })),
      reads(await streamer.createConsumer(streamKey, { ...balancing, consumerId: "b" })),
    ],
    resumed: reads(await streamer.createConsumer(streamKey, resuming)),
  };
}

/** Sends until the work is done, and until so many were sent, no faster than the slowest reader. */
async function sendDuring(
  { producer, numbered, slowest }: { producer: Sending; numbered: Numbered; slowest: () => number },
  work: Promise<unknown>,
): Promise<void> {
  let over = false;
  const done = work.finally(() => over = true);
  done.catch(() => {});
  while (!over || numbered.count < ENOUGH) {
    numbered.send(producer, 4);
    await turn();
    if (numbered.count - slowest() > 1_500) {
      await until(() => numbered.count - slowest() < 500, {
        what: `the readers keep up (${slowest()} of ${numbered.count})`,
        timeout: 15_000,
      });
    }
  }
  await done;
}

type Sending = Awaited<ReturnType<Routed["streamer"]["createGenericProducer"]>>;

/** The manager's calls meanwhile, in a loop: they must succeed, with correct results. */
async function manage(manager: Manager, streamKey: string, isOver: () => boolean): Promise<number> {
  let rounds = 0;
  for (; !isOver(); rounds++) {
    const shardId = rounds % SHARD_COUNT;
    const { groups } = await manager.info(streamKey, { shardId });
    assertEquals(groups.map(({ name }) => name).filter((name) => !name.startsWith("extra")).sort(), [...GROUPS]);
    const [first] = await manager.range(streamKey, "-", "+", { shardId, count: 1 });
    assertEquals(first.text(), `${shardId}:0`);
    assert(await manager.length(streamKey, { shardId }) > 0);
    try {
      await manager.createGroup(streamKey, `extra-${rounds}`, "end", { shardId });
      assertEquals(await manager.deleteGroup(streamKey, `extra-${rounds}`, { shardId }), true);
    } catch (error) {
      // Neither may be sent twice: if a node is lost meanwhile, the outcome is unknown.
      if (!(error instanceof StreamerError) || error.code !== "DISCONNECTED") throw error;
    }
  }
  return rounds;
}

/** The received messages, by shard, without repeats. */
function firsts(payloads: readonly string[][]): string[][] {
  return payloads.map((one) => [...new Set(one)]);
}

async function checkReaders(both: TwoNodes, numbered: Numbered, readers: Readers): Promise<Map<string, number>> {
  const { realTime, balanced, resumed } = readers;
  const all = () => new Set(balanced.flatMap((got) => [...got.all])).size;
  for (
    const [name, came] of [
      ["real-time", () => realTime.all.size],
      ["balanced", all],
      ["resumed", () => resumed.all.size],
    ] as const
  ) {
    await until(() => came() >= numbered.count, { what: `all has come (${name})`, timeout: 15_000 }).catch((cause) => {
      const failures = [realTime, ...balanced, resumed].map(({ failure }) => failure).filter((one) =>
        one !== undefined
      );
      throw new Error(`${came()} of ${numbered.count} have come (${name})`, { cause: failures[0] ?? cause });
    });
  }
  assertEquals(firsts(realTime.payloads), numbered.payloads, "in real time all comes in order");
  assertEquals(firsts(resumed.payloads), numbered.payloads, "with one consumer in a group, too");
  for (const got of balanced) got.checkOrder();
  for (const [group, key] of GROUPS.flatMap((group) => numbered.keys.map((key) => [group, key] as const))) {
    await until(async () => [await both.at(key).command("XPENDING", key, group)].flat()[0] === 0, {
      what: `nothing is pending of ${group} in ${key}`,
    });
  }
  return together(balanced);
}

for (const lost of [undefined, 0, 1] as const) {
  const what = lost === undefined ? "slots move to and fro" : `slots move, and node ${lost} is lost`;
  test(`producer, consumers and manager lose nothing while ${what} (seed ${seed})`, async () => {
    await using both = await TwoNodes.start();
    await using routed = streamerOver(both);
    const { streamer } = routed;
    const producer = await streamer.createGenericProducer({ sharder: shardOfPayload });
    const numbered = new Numbered(uniqueKey());
    numbered.send(producer);
    await producer.flush();
    const readers = await startReaders(routed, numbered.streamKey);
    const balanced = () => readers.balanced.reduce((sum, { count }) => sum + count, 0);
    const slowest = () => Math.min(readers.realTime.count, readers.resumed.count, balanced());
    const mover = new Mover(both, numbered.keys, new Random(seed));
    const progress = async (count: number) => {
      const from = slowest();
      await until(() => slowest() >= from + count, { what: `messages come after ${mover.log.at(-1)}` });
    };
    let ackedBefore = new Set<string>();
    const happenings = async () => {
      for (let move = 0; move < 10; move++) {
        await mover.move(() => progress(200));
        await progress(500);
      }
      if (lost === undefined) return;
      const losing = both.lose(lost, { elected: () => until(() => both.nodes[lost].refused > 2) });
      ackedBefore = new Set(numbered.acked); // its connections are cut by now
      await losing;
      await progress(2_000);
      both.nodes[lost].comeBack();
      for (const slot of new Set(numbered.keys.map(toySlotOf))) await both.move(slot);
      await progress(500);
    };
    let over = false;
    const managing = manage(await streamer.createManager(), numbered.streamKey, () => over);
    managing.catch(() => {});
    await sendDuring({ producer, numbered, slowest }, happenings()).finally(() => over = true);
    assert(await managing > 0);
    await producer.flush();
    const twice = await numbered.checkStored(both, "at-least-once", lost === undefined ? 0 : 1);
    assertEquals(twice.filter((payload) => ackedBefore.has(payload)), []);
    const times = await checkReaders(both, numbered, readers);
    if (lost === undefined) {
      assertEquals([twice, [...times].filter(([, count]) => count > 1)], [[], []], "redirects repeat nothing");
    }
    assertEquals(both.faults, []);
  }, { timeout: 60_000 });
}
