// Keeps what is held alive on the server, without ever taking it back from somebody who has claimed it, and notices what is no
// longer held. It must not know how messages come or are acknowledged.

import { StreamerError } from "../../resp/errors.ts";
import type { Timer } from "../../resp/connection/clock.ts";
import type { Command } from "../../resp/connection/command.ts";
import { areScriptsForbidden, isGroupMissing, type KeptState, SCRIPT_IDS, setIdle } from "../commands/scripts.ts";
import { xclaimJustId } from "../commands/xclaim.ts";
import { type PendingEntry, xpending, type XpendingOptions } from "../commands/xpending.ts";
import type { GroupMember } from "../commands/xreadgroup.ts";
import { FIRST_ID, type MessageId, nextId } from "../model/id.ts";
import type { AnchorPorts } from "./anchor.ts";
import type { GroupSettings } from "./group_options.ts";
import type { GroupShard } from "./group_shard.ts";
import type { Ledger } from "./ledger.ts";
import { HELD, type Lot } from "./lot.ts";
import { persist } from "./persist.ts";
import { isAway } from "./policy.ts";

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
  #own: Set<MessageId> | undefined; // what the server lists as ours, where that has to be asked

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

  /** Resolves when no look is under way. */
  async settle(): Promise<void> {
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
    const { anchor, shards, signal, settings, onVerified, onFatal } = this.#ports;
    const round = settings.autoClaimIdle / ROUNDS;
    try {
      const since = anchor.clock.now();
      for (const shard of shards()) if (shard.state === "ready") await this.#keepShard(shard);
      // Where the server was away meanwhile, what has been confirmed is old already.
      this.#schedule(anchor.clock.now() - since > round ? 0 : round);
      onVerified();
    } catch (error) {
      const known = error instanceof StreamerError
        ? error
        : new StreamerError("PROTOCOL", "Cannot keep what is held", { cause: error });
      if (!signal.aborted && !isAway(error)) onFatal(known);
      this.#schedule(Math.min(round, anchor.reconnect.maxDelay));
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
    const { anchor, ledger, settings } = this.#ports;
    const since = anchor.clock.now();
    this.#own = undefined;
    // What was read within the last half of a round comes with the next one: much of it will be done with by then.
    const young = settings.autoClaimIdle / ROUNDS / 2;
    const lots = [...ledger.lotsOf(shard)].filter((lot) => !lot.orphaned && since - lot.confirmedAt >= young);
    const nowhere = new Map<Lot, Held[]>();
    const listed = new Set<Lot>(); // of which the server lists something
    for (const held of this.#held(shard, lots)) {
      const states = await this.#ask(shard, held.map(({ id }) => id));
      held.forEach((one, i) => {
        if (states[i] === "nowhere") nowhere.set(one.lot, [...nowhere.get(one.lot) ?? [], one]);
        else listed.add(one.lot);
      });
      this.#giveUp(shard, held.filter((_, i) => states[i] === "not-ours"));
    }
    const now = anchor.clock.now();
    for (const [lot, held] of nowhere) {
      // Nobody else can have claimed and acknowledged all of a page this soon: then its group is another one of that name.
      if (!listed.has(lot) && now - lot.confirmedAt <= settings.autoClaimIdle) lot.orphaned = true;
      else this.#giveUp(shard, held);
    }
    for (const lot of lots) lot.confirmedAt = since;
  }

  /** What is to be kept, some at a time; what was held for too long is released. */
  *#held(shard: GroupShard, lots: readonly Lot[]): Generator<Held[]> {
    const { anchor, settings, ledger, onReleased } = this.#ports;
    let held: Held[] = [];
    for (const lot of lots) {
      const released: MessageId[] = [];
      for (let index = 0; index < lot.size; index++) {
        const state = lot.states[index];
        if (state > HELD.ending) continue;
        const id = lot.idAt(index);
        const tooLong = anchor.clock.now() - lot.heldSince(index) > settings.maxHold;
        if (tooLong && state === HELD.returned) {
          ledger.release(lot, index);
          released.push(id);
        } else if (tooLong && state === HELD.queued) {
          ledger.finish(lot, index); // nobody asks for it here
        } else if (held.push({ lot, index, id }) === SCRIPT_IDS) {
          yield held;
          held = [];
        }
      }
      if (released.length > 0) onReleased(shard, released);
    }
    if (held.length > 0) yield held;
  }

  /** What is another's, or was acknowledged by another. What is gone from the stream is still good in our hands. */
  #giveUp(shard: GroupShard, held: readonly Held[]): void {
    const { ledger, onLost } = this.#ports;
    const lost: MessageId[] = [];
    for (const { lot, index, id } of held) {
      const state = lot.states[index];
      if (state === HELD.returned) {
        ledger.release(lot, index);
        lost.push(id);
      } else if (state < HELD.ending) {
        ledger.finish(lot, index);
      }
    }
    if (lost.length > 0) onLost(shard, lost);
  }

  async #ask({ redisKey }: GroupShard, ids: readonly MessageId[]): Promise<readonly KeptState[]> {
    const { member } = this.#ports;
    if (this.#scripts) {
      try {
        return await this.#run(setIdle(member, { redisKey, ids, idle: 0 }));
      } catch (error) {
        if (!areScriptsForbidden(error)) throw error;
        this.#scripts = false;
      }
    }
    return await this.#askWithoutScripts(redisKey, ids);
  }

  /** Looks first and resets then: what is claimed by another in between is taken back from it, and worked on twice. */
  async #askWithoutScripts(redisKey: string, ids: readonly MessageId[]): Promise<readonly KeptState[]> {
    const { member } = this.#ports;
    const own = this.#own ??= await this.#listOwn(redisKey);
    const kept = ids.filter((id) => own.has(id));
    if (kept.length > 0) await this.#run(xclaimJustId(member, { redisKey, ids: kept, idle: 0 }));
    return await Promise.all(ids.map(async (id): Promise<KeptState> => {
      if (own.has(id)) return "kept";
      const [row] = await this.#run(xpending({ redisKey, group: member.group, start: id, end: id, count: 1 }));
      return row === undefined ? "nowhere" : row.consumer === member.consumer ? "kept" : "not-ours";
    }));
  }

  /** What the server lists as this consumer's. */
  async #listOwn(redisKey: string): Promise<Set<MessageId>> {
    const own = new Set<MessageId>();
    for (let start: MessageId | undefined = FIRST_ID; start !== undefined;) {
      const page: XpendingOptions = { redisKey, ...this.#ports.member, start, count: LISTED };
      const rows: PendingEntry[] = await this.#run(xpending(page));
      for (const { id } of rows) own.add(id);
      start = rows.length < LISTED ? undefined : nextId(rows[rows.length - 1].id);
    }
    return own;
  }

  #run<T>(command: Command<T>): Promise<T> {
    const { anchor, signal } = this.#ports;
    return persist(anchor, signal, () => anchor.run(command, { signal }));
  }
}

/** Entries listed at once. */
const LISTED = 1_000;
