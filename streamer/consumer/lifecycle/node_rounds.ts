// Works through shards: those of one node one after the other, and each node by itself, so that a node that does not answer holds up
// its own shards only.

import type { NodeName } from "../../cluster/router.ts";

/** What the rounds need. */
export interface NodeRoundsPorts<S> {
  /** The node that has a shard now. */
  readonly nodeOf: (shard: S) => NodeName;
  /** The work on a shard. A rejection ends the round of its node. */
  readonly work: (shard: S) => Promise<void>;
  /** The round of a node is over. `error` is why it ended early. `isLate`: the next one was to begin meanwhile, and was left out. */
  readonly ended: (how: { readonly error?: unknown; readonly isLate: boolean }) => void;
}

/** Rounds of work. */
export class NodeRounds<S> {
  readonly #ports: NodeRoundsPorts<S>;
  readonly #busy = new Map<NodeName, { isLate: boolean }>();
  readonly #underway = new Map<S, Promise<void>>();

  constructor(ports: NodeRoundsPorts<S>) {
    this.#ports = ports;
  }

  /** Begins a round of each node that owns any of these shards, unless its last one is not over. */
  begin(shards: Iterable<S>): void {
    const byNode = new Map<NodeName, S[]>();
    for (const shard of shards) {
      const node = this.#ports.nodeOf(shard);
      const others = byNode.get(node);
      if (others === undefined) byNode.set(node, [shard]);
      else others.push(shard);
    }
    for (const [node, some] of byNode) {
      const round = this.#busy.get(node);
      if (round === undefined) this.#round(node, some);
      else round.isLate = true;
    }
  }

  /** Resolves when no work on a shard is in progress. */
  async settled(shard: S): Promise<void> {
    await this.#underway.get(shard);
  }

  async #round(node: NodeName, shards: readonly S[]): Promise<void> {
    const { work, ended } = this.#ports;
    const round = { isLate: false };
    this.#busy.set(node, round);
    let failure = {};
    try {
      for (const shard of shards) {
        if (this.#underway.has(shard)) continue; // it has moved, and the round of its former node is not over
        const working = work(shard);
        this.#underway.set(shard, working.then(() => {}, () => {}));
        try {
          await working;
        } finally {
          this.#underway.delete(shard);
        }
      }
    } catch (error) {
      failure = { error };
    }
    this.#busy.delete(node);
    ended({ ...failure, ...round });
  }
}
