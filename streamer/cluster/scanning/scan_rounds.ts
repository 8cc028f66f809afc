// Which nodes have to be scanned so that no key is missed, although slots move from node to node meanwhile.

import type { OwnSlots } from "../../commands/cluster_nodes.ts";
import type { NodeName, RouteChange, Router } from "../router.ts";
import { SLOTS } from "../topology/slot.ts";

/** Most rounds of one scan. Each further one needs slots that have moved in every round before. */
export const MOST_ROUNDS = 8;

/** Milliseconds for which a node that cannot be reached is asked for its slots. */
const ASKED_FOR = 1_000;

/** Options of {@linkcode ScanRounds}. */
export interface ScanRoundsOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * The rounds of one scan. The first one is of all nodes. A key that is seen on no node of it has moved while the round lasted, and its
 * slot is among those that a node has got, or is being given. Each later round is of the nodes that have such slots by then.
 *
 * What a node says of its own slots counts. Where that is not allowed, the map of the router does, which is refreshed first.
 */
export class ScanRounds {
  readonly #router: Router;
  readonly #signal: AbortSignal | undefined;
  #unwatch: (() => void) | undefined;
  readonly #changed = new Set<number>(); // slots whose node has changed in the map of the router, in this round
  #asking: Promise<ReadonlyMap<NodeName, OwnSlots>> | undefined; // before this round
  #unsure: ReadonlySet<number> | undefined; // slots that have moved in each round so far; undefined: before the first
  #rounds = 0;

  constructor(router: Router, { signal }: ScanRoundsOptions = {}) {
    this.#router = router;
    this.#signal = signal;
  }

  /** The nodes to scan next, after those of the last round were scanned. Empty if no key can have been missed. */
  async next(): Promise<readonly NodeName[]> {
    if (this.#rounds++ === 0) {
      this.#unwatch = this.#router.onChange((change) => this.#noteChange(change));
      const primaries = this.#router.primaries();
      this.#asking = this.#ask(primaries); // before they are scanned, since the scan goes over the same connections
      this.#asking.catch(() => {});
      return primaries;
    }
    if (this.#rounds > MOST_ROUNDS) return [];
    const arrived = await this.#arrivals();
    const unsure = [...arrived.keys()].filter((slot) => this.#unsure?.has(slot) ?? true);
    this.#unsure = new Set(unsure);
    const nodes = new Set(unsure.flatMap((slot) => [...arrived.get(slot) ?? []]));
    return this.#router.primaries().filter((node) => nodes.has(node));
  }

  /** Ends the scan. A second call does nothing. */
  close(): void {
    this.#unwatch?.();
    this.#unwatch = undefined;
  }

  /** The slots that nodes have got in this round, with these nodes. */
  async #arrivals(): Promise<ReadonlyMap<number, ReadonlySet<NodeName>>> {
    const router = this.#router;
    const before = await this.#asking ?? new Map<NodeName, OwnSlots>();
    const primaries = router.primaries();
    const after = await this.#ask(primaries);
    if (isDoubtful(primaries, before, after)) await router.refresh(this.#signal);
    const arrived = new Map<number, Set<NodeName>>();
    const note = (slot: number, node: NodeName) => {
      const nodes = arrived.get(slot);
      if (nodes === undefined) arrived.set(slot, new Set([node]));
      else nodes.add(node);
    };
    for (const [node, own] of after) {
      for (const slot of gotSlots(before.get(node), own)) note(slot, node);
      // The first round may have missed keys of a slot that has been on its way since before. Later rounds miss no more of it.
      const known = this.#unsure === undefined ? [] : before.get(node)?.importing ?? [];
      for (const slot of own.importing) if (!known.includes(slot)) note(slot, node);
    }
    for (const slot of this.#changed) note(slot, router.nodeOf(slot));
    this.#changed.clear();
    this.#asking = Promise.resolve(after);
    return arrived;
  }

  /** What nodes say of their slots, as far as they may be asked. */
  async #ask(nodes: readonly NodeName[]): Promise<ReadonlyMap<NodeName, OwnSlots>> {
    const options = { signal: this.#signal, within: ASKED_FOR };
    const answers = await Promise.all(nodes.map((node) => this.#router.slotsAt(node, options)));
    return new Map(nodes.flatMap((node, at) => {
      const own = answers[at];
      return own === undefined ? [] : [[node, own]];
    }));
  }

  #noteChange({ slots }: RouteChange): void {
    if (slots !== "all") { for (const slot of slots) this.#changed.add(slot); }
    else for (let slot = 0; slot < SLOTS; slot++) this.#changed.add(slot);
  }
}

/** Whether the nodes that were asked may not be all of them, or not all could be asked. */
function isDoubtful(
  nodes: readonly NodeName[],
  before: ReadonlyMap<NodeName, OwnSlots>,
  after: ReadonlyMap<NodeName, OwnSlots>,
): boolean {
  if (nodes.some((node) => !after.has(node))) return true;
  const now = setOf([...after.values()]);
  return [...setOf([...before.values()])].some((slot) => !now.has(slot)); // an unknown node may own it
}

/** The slots that a node has got since. */
function gotSlots(before: OwnSlots | undefined, after: OwnSlots): readonly number[] {
  const had = before === undefined || before.epoch !== after.epoch ? new Set<number>() : setOf([before]);
  return [...setOf([after])].filter((slot) => !had.has(slot));
}

function setOf(all: readonly OwnSlots[]): Set<number> {
  const slots = new Set<number>();
  for (const { owned } of all) {
    for (const [first, last] of owned) for (let slot = first; slot <= last && slot < SLOTS; slot++) slots.add(slot);
  }
  return slots;
}
