// Moves slots at random, in sequence, by a seed: back and forth, at once or by asking, and with or without a
// notification of the routers.

import type { Random } from "../resp/drive.ts";
import { otherNode } from "./slot_table.ts";
import { toySlotOf } from "./slots.ts";
import type { MoveOptions, Notice, TwoNodes } from "./two_nodes.ts";

const NOTICES: readonly Notice[] = ["early", "at-once", "after", "never", "never"];

type Way = NonNullable<MoveOptions["how"]>;

/** Moves the slots of some keys. */
export class Mover {
  /** Moves so far, for people. */
  readonly log: string[] = [];
  readonly #both: TwoNodes;
  readonly #slots: readonly number[];
  readonly #random: Random;
  readonly #ways: readonly Way[];
  #last = -1;

  /** `ways`: how slots move. */
  constructor(both: TwoNodes, keys: readonly string[], random: Random, ways: readonly Way[] = ["at-once", "asking"]) {
    this.#ways = ways;
    this.#both = both;
    this.#slots = [...new Set(keys.map(toySlotOf))];
    this.#random = random;
  }

  /**
   * Moves one slot, and not the previous one. `between` is awaited while a slot that is moved by asking is at both
   * nodes.
   */
  async move(between: () => Promise<unknown>): Promise<void> {
    const choice = this.#slots.filter((slot) => slot !== this.#last);
    const slot = this.#last = this.#random.of(choice);
    const how = this.#random.of(this.#ways);
    const notice = this.#random.of(NOTICES);
    const ending = this.#random.of(["ASK", "UNBLOCKED"] as const);
    const options: MoveOptions = { how, notice, ending, handOver: between };
    this.log.push(`${slot} to ${otherNode(this.#both.table.ownerOf(slot))} ${how} ${notice}`);
    await this.#both.move(slot, options);
  }
}
