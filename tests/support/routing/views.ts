// Owns how a test writes down what the nodes of a cluster say about it.

import type { AnnouncedNode, SlotRange } from "../../../streamer/commands/cluster_slots.ts";
import { type ClusterView, viewOf } from "../../../streamer/cluster/topology/view.ts";

/** A node as a cluster announces it: `"a"` listens at the host `a`, port 7000, and has the id `id-a`. */
export function announced(name: string, more: Partial<AnnouncedNode> = {}): AnnouncedNode {
  return { endpoint: name, port: 7000, id: `id-${name}`, metadata: new Map(), ...more };
}

/** Ranges of slots: `["a", 0, 99]` gives them to the node `a`; `["a b", 0, 99]` says that `b` is a replica of it. */
export function ranges(...list: readonly (readonly [string, number, number])[]): SlotRange[] {
  return list.map(([names, first, last]) => ({ first, last, nodes: names.split(" ").map((name) => announced(name)) }));
}

/** The view that such ranges give. */
export function view(...list: readonly (readonly [string, number, number])[]): ClusterView {
  const made = viewOf(ranges(...list), "seed");
  if (made === undefined) throw new Error("A view that contradicts itself");
  return made;
}
