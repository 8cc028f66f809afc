// What one node of a cluster says about the cluster, checked: hosts filled in, nodes counted once, slots assigned.

import { type AnnouncedNode, MAX_NODES, type SlotRange } from "../../commands/cluster_slots.ts";
import { isHost, isPort } from "./redirect.ts";
import { SLOTS } from "./slot.ts";

/** A node of a cluster. */
export interface ClusterNode {
  /** Its id, or its address if the server gives no ids. Two views speak of the same node if this is the same. */
  readonly id: string;
  /** What the cluster wants clients to dial. */
  readonly host: string;
  readonly port: number;
  /** Other hosts by which a redirect may name it: its IP address, its host name. */
  readonly aliases: readonly string[];
  /** Whether the cluster gives no host, so that it is the host of the node that has answered. @default {false} */
  readonly isHostGuessed?: boolean;
}

/** What one node says about its cluster. */
export interface ClusterView {
  /** Each node once: those that own slots and their replicas. */
  readonly nodes: readonly ClusterNode[];
  /** For each slot, the index of its owner in `nodes`, or {@linkcode NO_OWNER}. */
  readonly owners: Uint16Array;
  /** How many slots have an owner. */
  readonly covered: number;
  /** For the index of each owner, the indexes of its replicas. */
  readonly replicas: ReadonlyMap<number, readonly number[]>;
}

/** A slot without an owner. */
export const NO_OWNER = 0xffff;

/**
 * Checks what a node has answered. `answeredBy` is the host it was reached by, for nodes that announce none. `undefined` if the answer
 * contradicts itself: slots out of range or with two owners, or too many nodes.
 */
export function viewOf(ranges: readonly SlotRange[], answeredBy: string): ClusterView | undefined {
  const nodes = new NodeTable(answeredBy);
  const owners = new Uint16Array(SLOTS).fill(NO_OWNER);
  const replicasOf = new Map<number, readonly number[]>();
  let covered = 0;
  for (const { first, last, nodes: [primary, ...replicas] } of ranges) {
    if (!isSlot(first) || !isSlot(last) || first > last) return undefined;
    const owner = nodes.add(primary);
    const copies = replicas.map((replica) => nodes.add(replica)).filter((index) => index !== undefined);
    if (nodes.size > MAX_NODES) return undefined;
    if (owner === undefined) continue; // nobody can dial it
    for (let slot = first; slot <= last; slot++) {
      if (owners[slot] !== NO_OWNER) return undefined;
      owners[slot] = owner;
    }
    replicasOf.set(owner, copies);
    covered += last - first + 1;
  }
  return { nodes: nodes.list, owners, covered, replicas: replicasOf };
}

/** Nodes by id, in the order in which they were met. */
class NodeTable {
  readonly list: ClusterNode[] = [];
  readonly #answeredBy: string;
  readonly #indexes = new Map<string, number>();

  constructor(answeredBy: string) {
    this.#answeredBy = answeredBy;
  }

  get size(): number {
    return this.list.length;
  }

  /** The index of a node; `undefined` if it announces nothing that can be dialled. */
  add(announced: AnnouncedNode): number | undefined {
    const announcedHost = hostOf(announced);
    const host = announcedHost || this.#answeredBy;
    const { port } = announced;
    if (!isHost(host) || !isPort(port)) return undefined;
    const id = announced.id ?? `${host}:${port}`;
    const known = this.#indexes.get(id);
    if (known !== undefined) return known;
    this.#indexes.set(id, this.list.length);
    this.list.push({ id, host, port, aliases: aliasesOf(announced, host), isHostGuessed: !announcedHost });
    return this.list.length - 1;
  }
}

function aliasesOf({ metadata }: AnnouncedNode, host: string): string[] {
  const names = ["ip", "hostname"].map((name) => metadata.get(name) ?? "");
  return names.filter((name) => name !== host && isHost(name) && name !== "?");
}

/** An endpoint that is null or empty is the host that has answered. `?` is a host name that the node does not know. */
function hostOf({ endpoint, metadata }: AnnouncedNode): string | undefined {
  return endpoint === "?" ? metadata.get("ip") : endpoint;
}

function isSlot(slot: number): boolean {
  return Number.isInteger(slot) && slot >= 0 && slot < SLOTS;
}
