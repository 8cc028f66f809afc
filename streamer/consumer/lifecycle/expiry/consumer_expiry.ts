// Removes idle consumers without pending entries from a group.

import { ProtocolError } from "../../../../resp/errors.ts";
import { sleep } from "../../../../resp/connection/clock.ts";
import type { Command } from "../../../../resp/connection/command.ts";
import { removeHoldingNothing } from "../../../commands/consumer_scripts.ts";
import { areScriptsForbidden } from "../../../commands/scripts.ts";
import { xinfoConsumers } from "../../../commands/xgroup.ts";
import type { GroupMember } from "../../../commands/xreadgroup.ts";
import type { ServerAccess } from "../../server/server.ts";
import { pauseAfter, REMOVED_AT_ONCE } from "./expiry_policy.ts";
import { retryWhileUnavailable } from "../../../../resp/connection/retry/retry.ts";

/** What removing needs. */
export interface ExpiryPorts {
  readonly server: Pick<ServerAccess, "clock" | "reconnect" | "run">;
  readonly member: GroupMember;
  readonly signal: AbortSignal;
}

/** Milliseconds after which a list is too old to remove anybody by it. */
const LISTED_FOR = 60_000;

/** Removes those that have been idle for too long. */
export class ConsumerExpiry {
  readonly #ports: ExpiryPorts;
  readonly #expiry: number;
  #stopped = false; // nothing depends on the removal: where it is forbidden, it is left out

  constructor(ports: ExpiryPorts, expiry: number) {
    this.#ports = ports;
    this.#expiry = expiry;
  }

  /**
   * Lists the consumers once, and removes some at a time with pauses. Whether a consumer has anything pending is checked in the step
   * that removes it: with two steps, one that has just begun to read could lose its entries.
   */
  async removeFrom(redisKey: string): Promise<void> {
    if (this.#stopped) return;
    try {
      await this.#removeFrom(redisKey);
    } catch (error) {
      // Scripts are forbidden, or this user may not see or remove consumers; or there are more of them than a reply may hold.
      const isBarred = areScriptsForbidden(error) || (error instanceof ProtocolError && error.tooLarge);
      if (!isBarred) throw error;
      this.#stopped = true;
    }
  }

  async #removeFrom(redisKey: string): Promise<void> {
    const { server, member } = this.#ports;
    const { clock } = server;
    const lookedAt = clock.now();
    const consumers = await this.#run(xinfoConsumers(redisKey, member.group));
    const expired = consumers.filter(({ name, pending, idle }) => {
      return name !== member.consumer && pending === 0 && idle >= this.#expiry;
    }).map(({ name }) => name);
    await this.#pause({ listed: consumers.length, removed: 0, took: clock.now() - lookedAt });
    for (let at = 0; at < expired.length && clock.now() - lookedAt < LISTED_FOR; at += REMOVED_AT_ONCE) {
      const some = expired.slice(at, at + REMOVED_AT_ONCE);
      const since = clock.now();
      const removed = await this.#run(removeHoldingNothing({ redisKey, group: member.group }, some));
      await this.#pause({ listed: 0, removed: some.length, took: clock.now() - since });
      if (removed === 0) return; // another consumer of the group is doing it
    }
  }

  /** Leaves the server's time to others. */
  async #pause(step: Parameters<typeof pauseAfter>[0]): Promise<void> {
    const { server, signal } = this.#ports;
    await sleep(server.clock, pauseAfter(step), signal);
  }

  #run<T>(command: Command<T>): Promise<T> {
    const { server, signal } = this.#ports;
    return retryWhileUnavailable(server, signal, () => server.run(command, { signal }));
  }
}
