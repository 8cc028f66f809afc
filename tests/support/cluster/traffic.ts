// Messages through all nodes of a real cluster: what a test of another way to reach its nodes sends and reads.

import { assertEquals } from "@std/assert";
import type { RedisStreamer } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { until } from "../events.ts";
import { uniqueKey } from "../keys.ts";
import type { Cluster } from "../servers/cluster.ts";
import { moveSlot } from "../servers/slot_moves.ts";

/** A key in the part of the slots that a node has at the start of a cluster of `parts` primaries. */
export function keyInPart(part: number, parts = 3): string {
  for (;;) {
    const key = uniqueKey();
    const slot = slotOfKey(key);
    if (slot >= Math.round(16_384 / parts * part) && slot < Math.round(16_384 / parts * (part + 1))) return key;
  }
}

/**
 * Sends to a stream of each node, reads them with a real-time and with a group consumer, moves the slot of one stream while this runs,
 * and checks that nothing is missing, repeated or out of order.
 */
export async function exchange(streamer: RedisStreamer, cluster: Cluster): Promise<void> {
  const keys = [0, 1, 2].map((part) => keyInPart(part));
  const producer = await streamer.createGenericProducer();
  const readers = await Promise.all(keys.flatMap((key) => [
    streamer.createConsumer(key, { mode: "real-time" }),
    streamer.createConsumer(key, {
      mode: "load-balanced",
      group: "g",
      autoCommit: "delayed",
      autoStreamReset: "earliest",
    }),
  ]));
  const got = readers.map(() => [] as string[]);
  const reading = readers.map(async (reader, i) => {
    for await (const message of reader) got[i].push(message.text());
  });
  const send = (from: number) =>
    Promise.all(keys.flatMap((key) => [0, 1, 2, 3, 4].map((i) => producer.sendTo(key, `${from + i}`))));
  await send(0);
  const [from, to, ...others] = cluster.nodes;
  await moveSlot(slotOfKey(keys[0]), { from, to, others }, { askWindow: () => send(5) });
  await send(10);
  const wanted = Array.from({ length: 15 }, (_, i) => `${i}`);
  await until(() => got.every((texts) => texts.length >= 15), { timeout: 20_000 });
  assertEquals(got, got.map(() => wanted));
  const manager = await streamer.createManager();
  assertEquals(await Promise.all(keys.map((key) => manager.length(key))), [15, 15, 15]);
  await Promise.all(readers.map((reader) => reader.end()));
  await Promise.all(reading);
  await producer.end();
}

/** Sets options of all nodes, or of one by its number. */
export async function configure(
  cluster: Cluster,
  options: Readonly<Record<string, string>>,
  node?: number,
): Promise<void> {
  const nodes = node === undefined ? cluster.nodes : [cluster.nodes[node]];
  for (const [name, value] of Object.entries(options)) {
    await Promise.all(nodes.map((one) => one.command("CONFIG", "SET", name, value)));
  }
}

/** Waits until each node's CLUSTER SLOTS contains these texts. */
export async function untilAnnounced(cluster: Cluster, ...texts: readonly string[]): Promise<void> {
  await until(async () => {
    const views = await Promise.all(cluster.nodes.map((node) => node.command("CLUSTER", "SLOTS")));
    return views.every((view) => texts.every((text) => JSON.stringify(view).includes(text)));
  }, { timeout: 20_000, what: `all nodes announce ${texts}` });
}
