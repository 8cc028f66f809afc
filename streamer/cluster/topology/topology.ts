// The map of a cluster: which node owns which slot. It is patched by redirects and replaced by views that were chosen to be believed.

import { endpointName } from "../../../resp/connection/node.ts";
import type { NodeName } from "../router.ts";
import { SLOTS } from "./slot.ts";
import { type ClusterNode, type ClusterView, NO_OWNER } from "./view.ts";

/** A redirect that was followed: it wins over views that were asked for before it. */
interface Patch {
  readonly owner: NodeName;
  readonly serial: number;
}

/** Where a node is reached. */
type Address = Pick<ClusterNode, "host" | "port">;

/** Which node owns which slot, as far as is known. */
export class Topology {
  #view: ClusterView | undefined;
  readonly #names: (NodeName | undefined)[] = new Array(SLOTS).fill(undefined);
  #nodes = new Map<NodeName, ClusterNode>();
  readonly #patches = new Map<number, Patch>();
  #serial = 0;
  #owners: ReadonlyMap<NodeName, number> | undefined;

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
  get owners(): ReadonlyMap<NodeName, number> {
    return this.#owners ??= this.#count();
  }

  /** A node by its name. */
  node(name: NodeName): ClusterNode | undefined {
    return this.#nodes.get(name);
  }

  /** All known nodes, with those that own no slots. */
  get nodes(): ReadonlyMap<NodeName, ClusterNode> {
    return this.#nodes;
  }

  /** The nodes that copy this one, and may take its place. */
  replicasOf(name: NodeName): NodeName[] {
    const { nodes = [], replicas } = this.#view ?? {};
    const index = nodes.findIndex((node) => nameOfNode(node) === name);
    return (replicas?.get(index) ?? []).map((replica) => nameOfNode(nodes[replica]));
  }

  /**
   * The address that a redirect names. Without a host it is the host that has answered, unless the only node with this port has
   * another one: a node does not know the host name of a node that has none.
   */
  addressOf({ host, port }: { readonly host: string | undefined; readonly port: number }, answeredBy: string): Address {
    if (host !== undefined) return { host, port };
    if (this.#nodes.has(nameOfNode({ host: answeredBy, port }))) return { host: answeredBy, port };
    const [only, ...others] = [...this.#nodes.values()].filter((node) => node.port === port);
    return { host: only !== undefined && others.length === 0 ? only.host : answeredBy, port };
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

  /**
   * A redirect says that the node at this address owns the slot. Also a node that no view has named is then known. Gives the slots
   * that have another owner than before.
   */
  patch(slot: number, { host, port }: Address): readonly number[] {
    const owner = this.nameOf(host, port);
    if (!this.#nodes.has(owner)) this.#nodes.set(owner, { id: owner, host, port, aliases: [] });
    this.#patches.set(slot, { owner, serial: ++this.#serial });
    return this.#assign([[slot, owner]]);
  }

  /**
   * Takes over a view that was asked for when {@linkcode serial} was `since`. Newer patches stay. Other nodes are forgotten. Gives the
   * slots that have another owner than before, in ascending order.
   */
  apply(view: ClusterView, since: number): readonly number[] {
    for (const [slot, { serial }] of this.#patches) {
      if (serial <= since) this.#patches.delete(slot);
    }
    const known = this.#withKnownHosts(view.nodes);
    const names = known.map(nameOfNode);
    const nodes = new Map(known.map((node, i) => [names[i], node]));
    for (const { owner } of this.#patches.values()) {
      const node = this.#nodes.get(owner);
      if (node !== undefined && !nodes.has(owner)) nodes.set(owner, node);
    }
    this.#view = { ...view, nodes: known };
    this.#nodes = nodes;
    const owners: [number, NodeName | undefined][] = [];
    for (let slot = 0; slot < SLOTS; slot++) {
      const owner = view.owners[slot];
      owners.push([slot, this.#patches.get(slot)?.owner ?? (owner === NO_OWNER ? undefined : names[owner])]);
    }
    return this.#assign(owners);
  }

  /**
   * A node that is known by one of its hosts keeps that host, so that it keeps its connections: nodes of one cluster may announce it by
   * different ones.
   */
  #withKnownHosts(nodes: readonly ClusterNode[]): ClusterNode[] {
    const known = new Map(this.#view?.nodes.map((node) => [node.id, node]));
    const announced = new Set(nodes.map(nameOfNode));
    return nodes.map((node) => {
      const { host, port } = known.get(node.id) ?? node;
      const isSame = node.isHostGuessed || node.aliases.includes(host);
      if (host === node.host || port !== node.port || !isSame || announced.has(nameOfNode({ host, port }))) return node;
      return { ...node, host, aliases: [node.host, ...node.aliases.filter((alias) => alias !== host)] };
    });
  }

  /** Gives slots their owners. */
  #assign(owners: readonly (readonly [number, NodeName | undefined])[]): number[] {
    const changed: number[] = [];
    for (const [slot, owner] of owners) {
      if (this.#names[slot] === owner) continue;
      this.#names[slot] = owner;
      changed.push(slot);
    }
    if (changed.length > 0) this.#owners = undefined;
    return changed;
  }

  #count(): ReadonlyMap<NodeName, number> {
    const counts = new Map<NodeName, number>();
    for (const name of this.#names) {
      if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return counts;
  }
}

/** The name of a node: its address. */
function nameOfNode({ host, port }: Address): NodeName {
  return endpointName({ kind: "tcp", hostname: host, port });
}
