// Which of two nodes serves a slot, and the reply of the other one, also while a slot moves.

import { SLOTS, toySlotOf } from "./slots.ts";

/** One of the two nodes. */
export type NodeIndex = 0 | 1;

/** Where a slot is. */
export type SlotState =
  /** At its owner. */
  | { readonly kind: "owned"; readonly owner: NodeIndex }
  /** Moved, but without its keys: the new owner replies TRYAGAIN. */
  | { readonly kind: "arriving"; readonly owner: NodeIndex }
  /** Being copied: commands to its owner wait. */
  | { readonly kind: "copying"; readonly owner: NodeIndex; readonly done: Promise<void> }
  /** Its keys are at the other node, which serves commands after ASKING. The owner redirects to it. */
  | { readonly kind: "importing"; readonly owner: NodeIndex };

/** The reaction of a node to a command. */
export type Ruling =
  | { readonly kind: "serve" }
  | { readonly kind: "answer"; readonly text: string }
  | { readonly kind: "wait"; readonly until: Promise<void> };

/** The other one. */
export function otherNode(node: NodeIndex): NodeIndex {
  return node === 0 ? 1 : 0;
}

/** Who serves what. */
export class SlotTable {
  readonly #states: SlotState[] = [];
  readonly #address: (node: NodeIndex) => string;

  /** At first even slots are at the first node, and odd ones at the second. */
  constructor(address: (node: NodeIndex) => string) {
    this.#address = address;
    for (let slot = 0; slot < SLOTS; slot++) this.#states.push({ kind: "owned", owner: slot % 2 === 0 ? 0 : 1 });
  }

  /** Where a slot is. */
  state(slot: number): SlotState {
    return this.#states[slot];
  }

  /** The owner of a slot, as a topology shows it. */
  ownerOf(slot: number): NodeIndex {
    return this.#states[slot].owner;
  }

  /** The node that has the keys of a slot. */
  holderOf(slot: number): NodeIndex {
    const { kind, owner } = this.#states[slot];
    return kind === "importing" ? otherNode(owner) : owner;
  }

  /** The slots that a node owns. */
  slotsOf(node: NodeIndex): number[] {
    return this.#states.flatMap(({ owner }, slot) => owner === node ? [slot] : []);
  }

  set(slot: number, state: SlotState): void {
    this.#states[slot] = state;
  }

  /** The reaction of a node to a command with these keys. As in a cluster, a key that it does not serve decides. */
  rule(node: NodeIndex, keys: readonly string[], asking: boolean): Ruling {
    for (const slot of new Set(keys.map(toySlotOf))) {
      const ruling = this.#ruleSlot(node, slot, asking);
      if (ruling.kind !== "serve") return ruling;
    }
    return { kind: "serve" };
  }

  #ruleSlot(node: NodeIndex, slot: number, asking: boolean): Ruling {
    const state = this.#states[slot];
    if (state.owner === node) {
      if (state.kind === "owned") return { kind: "serve" };
      if (state.kind === "copying") return { kind: "wait", until: state.done };
      if (state.kind === "importing") return answer(`ASK ${slot} ${this.#address(otherNode(node))}`);
      return answer("TRYAGAIN Multiple keys request during rehashing of slot");
    }
    if (state.kind === "importing" && asking) return { kind: "serve" };
    return answer(`MOVED ${slot} ${this.#address(state.owner)}`);
  }
}

function answer(text: string): Ruling {
  return { kind: "answer", text };
}
