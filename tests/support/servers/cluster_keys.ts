// Fills a cluster with streams, and keeps its slots moving. Must not use the library under test, apart from the slot of a key.

import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import type { Cluster, ClusterNode } from "./cluster.ts";
import { includesSlot } from "./node_view.ts";
import type { Word } from "./raw_client.ts";

/** The nodes that own slots, by their own words, with the slots in question. */
async function owners(cluster: Cluster): Promise<(slot: number) => ClusterNode> {
  const views = await Promise.all(cluster.nodes.map(async (node) => ({ node, view: await node.view() })));
  return (slot) => {
    const owner = views.find(({ view }) => view?.myself.role === "primary" && includesSlot(view.myself.slots, slot));
    if (owner === undefined) throw new Error(`No node owns slot ${slot}`);
    return owner.node;
  };
}

/** Creates streams with one entry each, or with these entries; no slot may move meanwhile. */
export async function addStreams(
  cluster: Cluster,
  names: readonly string[],
  entries: readonly (readonly Word[])[] = [["*", "msg", "x"]],
): Promise<void> {
  const ownerOf = await owners(cluster);
  const byNode = Map.groupBy(names, (name) => ownerOf(slotOfKey(name)));
  await Promise.all(Array.from(byNode, async ([node, own]) => {
    const replies = await node.server.commands(own.flatMap((name) => entries.map((entry) => ["XADD", name, ...entry])));
    const refused = replies.find((reply) => reply instanceof Error);
    if (refused !== undefined) throw refused;
  }));
}

/** Moves slots from node to node until it is stopped. */
export class SlotMill {
  readonly #cluster: Cluster;
  readonly #turning: Promise<void>;
  #stopped = false;
  /** Moves so far. */
  moves = 0;

  /** Each slot goes to the next primary in turn. */
  constructor(cluster: Cluster, slots: readonly number[]) {
    this.#cluster = cluster;
    this.#turning = this.#turn(slots);
    this.#turning.catch(() => {}); // `stop` rejects
  }

  /** Resolves when no slot is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#turning;
  }

  async #turn(slots: readonly number[]): Promise<void> {
    const { primaries } = this.#cluster;
    for (let round = 1; !this.#stopped; round++) {
      for (const slot of slots) {
        if (this.#stopped) return;
        const owner = primaries.indexOf(await this.#cluster.ownerOf(slot));
        await this.#cluster.moveSlot(slot, primaries[(owner + 1) % primaries.length]);
        this.moves++;
      }
    }
  }
}
