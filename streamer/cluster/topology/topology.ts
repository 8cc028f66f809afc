// The map of a cluster: which node owns which slot. It is patched by redirects and replaced by views that were chosen to be believed.

import { endpointName } from "../../../resp/connection/node.ts";
import type { NodeName } from "../router.ts";
import { SLOTS } from "./slot.ts";
import { type ClusterNode, type ClusterView, NO_OWNER } from "./view.ts";

/** Slots that went from one node to another. */
export interface SlotMove {
  /** Ranges of slots, first and last, in ascending order. */
  readonly slots: readonly (readonly [first: number, last: number])[];
  readonly from: NodeName;
  readonly to: NodeName;
}

/** What a patch or a view has changed. */
export interface TopologyChange {
  /** All slots with another owner than before, in ascending order. */
  readonly slots: readonly number[];
  /** Those of them that had an owner before and have one now: one move for each pair of nodes. */
  readonly moves: readonly SlotMove[];
}

/** A redirect that was followed: it wins over views that were asked for before it. */
interface Patch {
  readonly owner: NodeName;
  readonly serial: number;
}

/** Which node owns which slot, as far as is known. */
export class Topology {
  #view: ClusterView | undefined;
  #names: (NodeName | undefined)[] = new Array(SLOTS).fill(undefined);
  #nodes = new Map<NodeName, ClusterNode>();
  readonly #patches = new Map<number, Patch>();
  #serial = 0;

  /** The view that was applied last. */
  get view(): ClusterView | undefined {
    return this.#view;
  }

  /** Grows with each patch. Taken before a view is asked for, it tells {@linkcode apply} which patches are newer. */
  get serial(): number {
    return this.#serial;
  }

  /** The node that owns a slot; `undefined` if nobody is known to. */
  ownerOf(slot: number): NodeName | undefined {
    return this.#names[slot];
  }

  /** The nodes that own slots, with how many, in the order of their first slots. */
  owners(): ReadonlyMap<NodeName, number> {
    const counts = new Map<NodeName, number>();
    for (const name of this.#names) {
      if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return counts;
  }

  /** A node by its name. */
  node(name: NodeName): ClusterNode | undefined {
    return this.#nodes.get(name);
  }

  /** The name of the node at this address, which may be one of its other hosts. */
  nameOf(host: string, port: number): NodeName {
    const name = endpointName({ kind: "tcp", hostname: host, port });
    if (this.#nodes.has(name)) return name;
    for (const [known, node] of this.#nodes) {
      if (node.port === port && node.aliases.includes(host)) return known;
    }
    return name;
  }

  /** A redirect says that the node at this address owns the slot. Also a node that no view has named is then known. */
  patch(slot: number, { host, port }: { readonly host: string; readonly port: number }): TopologyChange {
    const owner = this.nameOf(host, port);
    if (!this.#nodes.has(owner)) this.#nodes.set(owner, { id: owner, host, port, aliases: [] });
    this.#patches.set(slot, { owner, serial: ++this.#serial });
    return this.#assign([[slot, owner]]);
  }

  /** Takes over a view that was asked for when {@linkcode serial} was `since`. Newer patches stay. Other nodes are forgotten. */
  apply(view: ClusterView, since: number): TopologyChange {
    for (const [slot, { serial }] of this.#patches) {
      if (serial <= since) this.#patches.delete(slot);
    }
    const names = view.nodes.map(({ host, port }) => endpointName({ kind: "tcp", hostname: host, port }));
    const nodes = new Map(view.nodes.map((node, i) => [names[i], node]));
    for (const { owner } of this.#patches.values()) {
      const node = this.#nodes.get(owner);
      if (node !== undefined && !nodes.has(owner)) nodes.set(owner, node);
    }
    this.#view = view;
    this.#nodes = nodes;
    const owners: [number, NodeName | undefined][] = [];
    for (let slot = 0; slot < SLOTS; slot++) {
      const owner = view.owners[slot];
      owners.push([slot, this.#patches.get(slot)?.owner ?? (owner === NO_OWNER ? undefined : names[owner])]);
    }
    return this.#assign(owners);
  }

  /** Gives slots, in ascending order, their owners. */
  #assign(owners: readonly (readonly [number, NodeName | undefined])[]): TopologyChange {
    const slots: number[] = [];
    const moves = new Map<string, { slots: [number, number][]; from: NodeName; to: NodeName }>();
    for (const [slot, to] of owners) {
      const from = this.#names[slot];
      if (from === to) continue;
      this.#names[slot] = to;
      slots.push(slot);
      if (from === undefined || to === undefined) continue;
      const pair = `${from} ${to}`;
      const move = moves.get(pair) ?? { slots: [], from, to };
      moves.set(pair, move);
      extend(move.slots, slot);
    }
    return { slots, moves: [...moves.values()] };
  }
}

/** Adds a slot above all others to ascending ranges. */
function extend(ranges: [number, number][], slot: number): void {
  const last = ranges.at(-1);
  if (last !== undefined && last[1] === slot - 1) last[1] = slot;
  else ranges.push([slot, slot]);
}
