// Gives back what was handed out to this consumer and is not wanted here any more, so that others can claim it at once. It must
// not know why it is not wanted.

import type { Command } from "../../resp/connection/command.ts";
import { areScriptsForbidden, SCRIPT_IDS, setIdle } from "../commands/scripts.ts";
import { xclaimJustId } from "../commands/xclaim.ts";
import { xpending } from "../commands/xpending.ts";
import type { GroupMember } from "../commands/xreadgroup.ts";
import type { MessageId } from "../model/id.ts";
import type { AnchorPorts } from "./anchor.ts";
import { type GroupShard, LONG_IDLE } from "./group_shard.ts";
import { persist } from "./persist.ts";

/** What a releaser needs. */
export interface ReleaserPorts {
  readonly anchor: AnchorPorts;
  readonly member: GroupMember;
  readonly signal: AbortSignal;
  /** Resolves when nothing is being kept alive that was asked for before: it would be kept after it was given back. */
  readonly kept: () => Promise<void>;
}

/** Gives entries back. They stay pending, under this consumer's name, until somebody claims them. */
export class Releaser {
  readonly #ports: ReleaserPorts;
  readonly #giving = new Set<Promise<void>>();
  #scripts = true; // until the server refuses them

  constructor(ports: ReleaserPorts) {
    this.#ports = ports;
  }

  /**
   * Gives entries back, by and by. Where that fails they are claimed all the same, when they have been idle for long enough:
   * nobody keeps them alive.
   */
  give(shard: GroupShard, ids: readonly MessageId[]): void {
    if (ids.length === 0 || this.#ports.signal.aborted) return;
    const giving = this.#give(shard, ids).catch(() => {}).finally(() => this.#giving.delete(giving));
    this.#giving.add(giving);
  }

  /** Resolves when all that was given is: only then may it be asked for again. */
  async settle(): Promise<void> {
    while (this.#giving.size > 0) await Promise.all(this.#giving);
  }

  async #give({ redisKey }: GroupShard, ids: readonly MessageId[]): Promise<void> {
    await this.#ports.kept();
    for (let at = 0; at < ids.length; at += SCRIPT_IDS) {
      await this.#giveSome({ redisKey, ids: ids.slice(at, at + SCRIPT_IDS), idle: LONG_IDLE });
    }
  }

  async #giveSome(some: { readonly redisKey: string; readonly ids: readonly MessageId[]; readonly idle: number }) {
    const { member } = this.#ports;
    if (this.#scripts) {
      try {
        return void await this.#run(setIdle(member, some));
      } catch (error) {
        if (!areScriptsForbidden(error)) throw error;
        this.#scripts = false;
      }
    }
    // Looked at first, and set then: what another claims in between is taken from it, and can be claimed once more.
    const { redisKey, ids, idle } = some;
    const rows = await Promise.all(
      ids.map((id) => this.#run(xpending({ redisKey, ...member, start: id, end: id, count: 1 }))),
    );
    const own = ids.filter((_, i) => rows[i].length > 0);
    if (own.length > 0) await this.#run(xclaimJustId(member, { redisKey, ids: own, idle }));
  }

  #run<T>(command: Command<T>): Promise<T> {
    const { anchor, signal } = this.#ports;
    return persist(anchor, signal, () => anchor.run(command, { signal }));
  }
}
