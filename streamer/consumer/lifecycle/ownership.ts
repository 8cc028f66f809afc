// Commands that act on an entry only while the server lists it as this consumer's: in one step by a script, or in two steps if
// scripts are forbidden.

import { sleep } from "../../../resp/connection/clock.ts";
import type { Command } from "../../../resp/connection/command.ts";
import {
  areScriptsForbidden,
  giveBack,
  type GivenBack,
  isGroupMissing,
  type KeptState,
  redeliver,
  type Redelivery,
  regain,
  type Regained,
  setIdle,
} from "../../commands/scripts.ts";
import { type EntryPage, xclaim, xclaimJustId } from "../../commands/xclaim.ts";
import { type PendingEntry, xpending } from "../../commands/xpending.ts";
import type { GroupMember } from "../../commands/xreadgroup.ts";
import type { MessageId } from "../../model/id.ts";
import { isAway, type ServerAccess } from "../server/server.ts";
import { retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";

/** What acting on entries needs. */
export interface OwnershipPorts {
  readonly server: Pick<ServerAccess, "clock" | "reconnect" | "run">;
  readonly member: GroupMember;
  /** Aborted at the end: no command is sent any more. */
  readonly signal: AbortSignal;
}

/** Acts on this consumer's entries. */
export class Ownership {
  readonly #ports: OwnershipPorts;
  #scripts = true; // until the server refuses them

  constructor(ports: OwnershipPorts) {
    this.#ports = ports;
  }

  /** Delivers an entry once more; `undefined` if it is another consumer's, an empty page if it is gone. */
  async redeliver(redelivery: Redelivery): Promise<EntryPage | undefined> {
    const { member } = this.#ports;
    return await this.#either(redeliver(member, redelivery), async () => {
      // An entry that another consumer claims between the two steps is taken back from it, and processed twice.
      const { redisKey, id, deliveries } = redelivery;
      if (await this.#own(redisKey, id) === undefined) return undefined;
      // Asks once more right before the claim, on the same connection: an entry that is not found may have been acknowledged by
      // another consumer since, and trimmed.
      const claim = xclaim(member, { redisKey, ids: [id], minIdle: 0, deliveries });
      const [own, page] = await Promise.all([this.#own(redisKey, id), this.run(claim)]);
      return own === undefined && page.entries.length === 0 ? undefined : page;
    });
  }

  /**
   * Renews the lease of a released entry, if it still is this consumer's and was not delivered more often than so. Waits while
   * the server is unavailable.
   */
  async regain(redelivery: Redelivery): Promise<Regained> {
    const { server, signal } = this.#ports;
    for (;;) {
      try {
        return await this.#regain(redelivery);
      } catch (error) {
        if (isGroupMissing(error)) return "lost";
        if (!isAway(error)) throw error;
        await sleep(server.clock, server.reconnect.maxDelay, signal);
      }
    }
  }

  async #regain(redelivery: Redelivery): Promise<Regained> {
    const { member } = this.#ports;
    return await this.#either(regain(member, redelivery), async () => {
      const { redisKey, id, deliveries } = redelivery;
      const own = await this.#own(redisKey, id);
      if (own === undefined) return "lost";
      if (own.deliveries > deliveries) return "older";
      await this.run(xclaimJustId(member, { redisKey, ids: [id], idle: 0 }));
      return "ours";
    });
  }

  /** Sets the idle time of this consumer's entries, at most as many as one script takes; that counts as no delivery. */
  async setIdle(some: Omit<GivenBack, "deliveries">): Promise<void> {
    await this.#either<void | KeptState[]>(setIdle(this.#ports.member, some), () => this.#claimOwn(some));
  }

  /** The same, and sets the count of deliveries. */
  async release(some: GivenBack): Promise<void> {
    await this.#either<void | number>(giveBack(this.#ports.member, some), () => this.#claimOwn(some));
  }

  /** Runs a command; retries while the server is unavailable. */
  run<T>(command: Command<T>): Promise<T> {
    const { server, signal } = this.#ports;
    return retryWhileUnavailable(server, signal, () => server.run(command, { signal }));
  }

  async #either<T>(script: Command<T>, otherwise: () => Promise<T>): Promise<T> {
    if (this.#scripts) {
      try {
        return await this.run(script);
      } catch (error) {
        if (!areScriptsForbidden(error)) throw error;
        this.#scripts = false;
      }
    }
    return await otherwise();
  }

  async #claimOwn(some: Omit<GivenBack, "deliveries"> & Partial<GivenBack>): Promise<void> {
    const { redisKey, ids } = some;
    const rows = await Promise.all(ids.map((id) => this.#own(redisKey, id)));
    const own = ids.filter((_, i) => rows[i] !== undefined);
    if (own.length > 0) await this.run(xclaimJustId(this.#ports.member, { ...some, ids: own }));
  }

  async #own(redisKey: string, id: MessageId): Promise<PendingEntry | undefined> {
    const [row] = await this.run(xpending({ redisKey, ...this.#ports.member, start: id, end: id, count: 1 }));
    return row;
  }
}
