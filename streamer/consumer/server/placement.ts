// Which node each key is read from: the owner of its slot, or the node that a redirect points to.

import { sleep } from "../../../resp/connection/clock.ts";
import type { NodeName, Redirect, RouteChange, Router } from "../../cluster/router.ts";
import type { RedisError } from "../../../resp/errors.ts";
import { OwnConnections } from "./watch_policy.ts";

/** Where keys are read. */
export interface Place {
  /** Names the place: keys with the same name are read together. */
  readonly name: string;
  readonly node: NodeName;
  /** Whether each command follows an ASKING, as the slot is migrating to the node. */
  readonly asking: boolean;
  /** Whether keys of several slots are read together without the server's help. @default {false} */
  readonly isPolled?: boolean;
}

/** Redirects in a row that are followed at once. After that, each one waits for a delay. */
const MAX_HOPS = 16;
/** First and longest delay before a further redirect is followed, in milliseconds. */
const HOP_DELAY = 50;
const MAX_HOP_DELAY = 1_000;

/** The places of a consumer's keys. */
export class Placement {
  readonly #router: Router;
  readonly #slots = new Map<string, number>(); // computed once for each key
  readonly #redirected = new Map<string, Redirect>(); // keys that are not read from the owner of their slot
  readonly #untracked = new Map<NodeName, OwnConnections>(); // nodes that do not tell which keys have changed
  readonly #hops = new Map<string, number>(); // redirects in a row
  readonly #resting = new Map<string, Place>(); // keys that stay where they are until a delay has passed

  constructor(router: Router) {
    this.#router = router;
  }

  /** Where a key is read now. */
  of(redisKey: string): Place {
    const resting = this.#resting.get(redisKey);
    if (resting !== undefined) return resting;
    const slot = this.slotOf(redisKey);
    const { node, asking } = this.#nodeOf(redisKey, slot);
    if (asking) return { name: `${node} asking ${slot}`, node, asking };
    const own = this.#untracked.get(node);
    if (own === undefined) return placeOf(node);
    if (own.admits(slot)) return { name: `${node} slot ${slot}`, node, asking };
    return { name: `${node} polled`, node, asking, isPolled: true };
  }

  /** A place for a consumer that reads no key yet. */
  anywhere(): Place {
    return placeOf(this.#router.primaries()[0]);
  }

  /**
   * A read of a key at this place was redirected. Returns false if the key is to be requested there again, after a delay. After many
   * redirects in a row, each one is followed only if the same answer comes after a delay, also if the router's map has changed.
   */
  redirect(redisKey: string, from: Place, refusal: RedisError): boolean {
    const slot = this.slotOf(redisKey);
    const redirect = this.#router.redirected(slot, refusal, from.node);
    if (redirect !== undefined) {
      const { node, asking } = redirect;
      if (!asking && this.#router.nodeOf(slot) === node) this.#redirected.delete(redisKey);
      else this.#redirected.set(redisKey, redirect);
    }
    const hasRested = this.#resting.delete(redisKey);
    if (this.of(redisKey).name === from.name) return false;
    if (hasRested) return true;
    const hops = (this.#hops.get(redisKey) ?? 0) + 1;
    this.#hops.set(redisKey, hops);
    if (hops <= MAX_HOPS) return true;
    this.#resting.set(redisKey, from);
    return false;
  }

  /** What is waited for before keys are requested again that were redirected many times in a row. */
  rest(shards: readonly { readonly redisKey: string }[], signal: AbortSignal): (() => Promise<void>) | undefined {
    const hops = Math.max(0, ...shards.map(({ redisKey }) => this.#hops.get(redisKey) ?? 0)) - MAX_HOPS;
    if (hops <= 0) return undefined;
    const delay = Math.min(MAX_HOP_DELAY, HOP_DELAY * 2 ** Math.min(hops - 1, 10));
    return () => sleep(this.#router.clock, delay, signal);
  }

  /** A read of these keys was answered. */
  answered(shards: readonly { readonly redisKey: string }[]): void {
    if (this.#hops.size === 0) return;
    for (const { redisKey } of shards) {
      this.#hops.delete(redisKey);
      this.#resting.delete(redisKey);
    }
  }

  /** These keys are requested from the owner of their slot again. */
  forget(shards: readonly { readonly redisKey: string }[]): void {
    for (const { redisKey } of shards) {
      this.#redirected.delete(redisKey);
      this.#resting.delete(redisKey);
    }
  }

  /** Slots have changed their node. */
  changed({ slots }: RouteChange): void {
    for (const redisKey of this.#redirected.keys()) {
      if (slots === "all" || slots.includes(this.slotOf(redisKey))) this.#redirected.delete(redisKey);
    }
  }

  /** A node does not tell which keys have changed. Its slots are read over connections of their own, as far as these go. */
  untrack(node: NodeName): void {
    if (!this.#untracked.has(node)) this.#untracked.set(node, new OwnConnections());
  }

  /** Only these keys are read. */
  keep(shards: readonly { readonly redisKey: string }[]): void {
    if (this.#untracked.size === 0) return;
    const slots = new Map<NodeName, Set<number>>();
    for (const { redisKey } of shards) {
      const slot = this.slotOf(redisKey);
      const { node, asking } = this.#nodeOf(redisKey, slot);
      if (asking) continue;
      const of = slots.get(node) ?? new Set();
      slots.set(node, of.add(slot));
    }
    for (const [node, own] of this.#untracked) own.keep(slots.get(node) ?? new Set());
  }

  /** The slot of a key, computed once. */
  slotOf(redisKey: string): number {
    let slot = this.#slots.get(redisKey);
    if (slot === undefined) this.#slots.set(redisKey, slot = this.#router.slotOf(redisKey));
    return slot;
  }

  #nodeOf(redisKey: string, slot: number): Redirect {
    return this.#redirected.get(redisKey) ?? { node: this.#router.nodeOf(slot), asking: false };
  }
}

function placeOf(node: NodeName): Place {
  return { name: node, node, asking: false };
}
