// Keeps what is held alive on the server, without ever taking it back from somebody who has claimed it, and notices what is no
// longer held. It must not know how messages come or are acknowledged.

import { StreamerError } from "../../resp/errors.ts";
import type { Timer } from "../../resp/connection/clock.ts";
import { areScriptsForbidden, isGroupMissing, keepAlive, type KeptState, SCRIPT_IDS } from "../commands/scripts.ts";
import { xclaimJustId } from "../commands/xclaim.ts";
import { xpending } from "../commands/xpending.ts";
import type { GroupMember } from "../commands/xreadgroup.ts";
import { FIRST_ID, type MessageId, nextId } from "../model/id.ts";
import { type AnchorPorts, persist } from "./anchor.ts";
import type { GroupSettings } from "./group_options.ts";
import type { GroupShard } from "./group_shard.ts";
import type { Ledger } from "./ledger.ts";
import { HELD, type Lot } from "./lot.ts";

/** What a keeper needs, and whom it tells. */
export interface KeeperPorts {
  readonly anchor: AnchorPorts;
  readonly settings: GroupSettings;
  readonly member: GroupMember;
  readonly ledger: Ledger;
  readonly shards: () => readonly GroupShard[];
  readonly signal: AbortSignal;
  /** These are in the user's hands and belong to another consumer now. */
  readonly onLost: (shard: GroupShard, ids: readonly MessageId[]) => void;
  /** The group of this shard was made anew by another: what is held of it is pending nowhere. */
  readonly onOrphaned: (shard: GroupShard) => void;
  /** These are in the user's hands for too long. */
  readonly onReleased: (shard: GroupShard, ids: readonly MessageId[]) => void;
  /** The server says that a group is gone: without this, what was read ahead of it would be looked at in vain for ever. */
  readonly onGroupMissing: (shard: GroupShard, cause: StreamerError) => Promise<void>;
  /** What is read ahead has been looked at. */
  readonly onVerified: () => void;
  readonly onFatal: (error: StreamerError) => void;
}

/** An entry that is held. */
interface Held {
  readonly lot: Lot;
  readonly index: number;
  readonly id: MessageId;
}

/** How many times within `autoClaimIdle` the idle times are reset. */
const ROUNDS = 3;

/** Keeps entries alive. */
export class Keeper {
  readonly #ports: KeeperPorts;
  #timer: Timer | undefined;
  #round: Promise<void> | undefined;
  #scripts = true; // until the server refuses them

  constructor(ports: KeeperPorts) {
    this.#ports = ports;
  }

  /** Begins. */
  start(): void {
    if (this.#ports.settings.keepAlive) this.#schedule();
  }

  /** Whether it is long since the server said that these are ours: another may have claimed them while this process slept. */
  isStale(lot: Lot): boolean {
    const { settings, anchor } = this.#ports;
    if (!settings.keepAlive || lot.orphaned || lot.open === 0) return false; // of what is all gone, nobody asks the server
    return anchor.clock.now() - lot.confirmedAt > settings.autoClaimIdle;
  }

  /** Looks at everything that is held, now. */
  async verify(): Promise<void> {
    if (this.#round === undefined) {
      this.#timer?.stop();
      this.#round = this.#keepAll().finally(() => this.#round = undefined); // later, also where there was nothing to ask
    }
    await this.#round;
  }

  /** Ends. */
  close(): void {
    this.#timer?.stop();
  }

  #schedule(delay = this.#ports.settings.autoClaimIdle / ROUNDS): void {
    const { anchor, signal } = this.#ports;
    if (!signal.aborted) this.#timer = anchor.clock.after(delay, () => void this.verify());
  }

  async #keepAll(): Promise<void> {
    const { anchor, settings, shards, signal, onVerified, onFatal } = this.#ports;
    try {
      for (const shard of shards()) if (shard.state === "ready") await this.#keepShard(shard);
      this.#schedule();
      onVerified();
    } catch (error) {
      const passes = !(error instanceof StreamerError) || error.code === "DISCONNECTED";
      if (!signal.aborted && !passes) onFatal(error);
      this.#schedule(Math.min(settings.autoClaimIdle / ROUNDS, anchor.reconnect.maxDelay));
    }
  }

  /** Keeps what is held of one shard; that its group is gone is no reason to forget the others. */
  async #keepShard(shard: GroupShard): Promise<void> {
    try {
      await this.#keep(shard);
    } catch (error) {
      if (!(error instanceof StreamerError) || !isGroupMissing(error)) throw error;
      await this.#ports.onGroupMissing(shard, error);
    }
  }

  async #keep(shard: GroupShard): Promise<void> {
    const { ledger, anchor, settings, onOrphaned } = this.#ports;
    const since = anchor.clock.now();
    const lots = [...ledger.lotsOf(shard)].filter(({ orphaned }) => !orphaned);
    const held = this.#held(shard, lots);
    const states: KeptState[] = [];
    for (let at = 0; at < held.length; at += SCRIPT_IDS) {
      const ids = held.slice(at, at + SCRIPT_IDS).map(({ id }) => id);
      states.push(...await this.#ask(shard, ids));
    }
    const fresh = lots.every(({ confirmedAt }) => since - confirmedAt <= settings.autoClaimIdle);
    const still = held.map(({ lot, index }, i) => lot.states[index] <= HELD.ending ? states[i] : undefined);
    if (fresh && isGroupAnother(still)) return onOrphaned(shard);
    this.#giveUp(shard, held.filter((_, i) => states[i] === "not-ours" || states[i] === "nowhere"));
    for (const lot of lots) lot.confirmedAt = since;
  }

  /** What is to be kept; what was in the user's hands for too long is released. */
  #held(shard: GroupShard, lots: readonly Lot[]): Held[] {
    const { anchor, settings, ledger, onReleased } = this.#ports;
    const now = anchor.clock.now();
    const held: Held[] = [];
    const released: MessageId[] = [];
    for (const lot of lots) {
      for (let index = 0; index < lot.size; index++) {
        const state = lot.states[index];
        if (state === HELD.returned && now - lot.returnedAt(index) > settings.maxHold) {
          ledger.move(lot, index, HELD.released);
          released.push(lot.idAt(index));
        } else if (state <= HELD.ending) {
          held.push({ lot, index, id: lot.idAt(index) });
        }
      }
    }
    if (released.length > 0) onReleased(shard, released);
    return held;
  }

  /** What is another's, or was acknowledged by another. What is gone from the stream is still good in our hands. */
  #giveUp(shard: GroupShard, held: readonly Held[]): void {
    const { ledger, onLost } = this.#ports;
    const lost: MessageId[] = [];
    for (const { lot, index, id } of held) {
      const state = lot.states[index];
      if (state === HELD.returned) {
        ledger.move(lot, index, HELD.released);
        lost.push(id);
      } else if (state < HELD.ending) {
        ledger.finish(lot, index);
      }
    }
    if (lost.length > 0) onLost(shard, lost);
  }

  async #ask({ redisKey }: GroupShard, ids: readonly MessageId[]): Promise<readonly KeptState[]> {
    const { anchor, member, signal } = this.#ports;
    if (this.#scripts) {
      try {
        return await persist(anchor, signal, () => anchor.run(keepAlive(member, redisKey, ids), { signal }));
      } catch (error) {
        if (!areScriptsForbidden(error)) throw error;
        this.#scripts = false;
      }
    }
    return await this.#askWithoutScripts(redisKey, ids);
  }

  /** Looks first and resets then: what is claimed by another in between is taken back from it, and worked on twice. */
  async #askWithoutScripts(redisKey: string, ids: readonly MessageId[]): Promise<readonly KeptState[]> {
    const { anchor, member, signal } = this.#ports;
    const { group, consumer } = member;
    const own = new Set<MessageId>();
    for (let start: MessageId | undefined = FIRST_ID; start !== undefined;) {
      const page = xpending({ redisKey, group, consumer, start, count: SCRIPT_IDS });
      const rows = await persist(anchor, signal, () => anchor.run(page, { signal }));
      for (const { id } of rows) own.add(id);
      start = rows.length < SCRIPT_IDS ? undefined : nextId(rows[rows.length - 1].id);
    }
    const kept = ids.filter((id) => own.has(id));
    if (kept.length > 0) await anchor.run(xclaimJustId(member, redisKey, kept), { signal });
    return await Promise.all(ids.map(async (id): Promise<KeptState> => {
      if (own.has(id)) return "kept";
      const one = xpending({ redisKey, group, start: id, end: id, count: 1 });
      const [row] = await persist(anchor, signal, () => anchor.run(one, { signal }));
      return row === undefined ? "nowhere" : row.consumer === consumer ? "kept" : "not-ours";
    }));
  }
}

/**
 * Whether a group is another one of the same name: then what was pending in the old one is pending nowhere. One entry that is
 * pending shows that it is not. Asked only while nobody else can have claimed and acknowledged all of them.
 */
function isGroupAnother(states: readonly (KeptState | undefined)[]): boolean {
  return states.includes("nowhere") && states.every((state) => state === undefined || state === "nowhere");
}
