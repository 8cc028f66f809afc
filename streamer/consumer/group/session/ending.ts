// The end of a consumer in a group: waits for messages in flight, commits acknowledgements, releases messages that were never
// returned, and removes a generated consumer name from the group.

import { StreamerError } from "../../../../resp/errors.ts";
import { sleep, type Timer } from "../../../../resp/connection/clock.ts";
import { removeHoldingNothing } from "../../../commands/consumer_scripts.ts";
import { consumerEnded } from "../../delivery/base_consumer.ts";
import type { GroupContext } from "../context.ts";
import type { GroupSession } from "./group_session.ts";
import type { ShardAssignment } from "../../shards/assignment.ts";
import { UNBLOCK_LIMIT } from "../../server/unblock.ts";

/** What ending needs. */
export interface EndingPorts {
  readonly context: GroupContext;
  readonly session: GroupSession;
  readonly assignment: ShardAssignment;
  /** Sends acknowledgements; resolves when the server has confirmed them. */
  readonly flushAcks: (signal: AbortSignal) => Promise<void>;
}

/** How long an end may take, in milliseconds. */
export interface EndLimits {
  /** How long messages in flight are waited for. */
  readonly drain: number;
  /** How long committing and releasing may take after that. */
  readonly timeout: number;
}

/** Longest time without an answer of the server, in milliseconds, after which releasing is given up. */
const PATIENCE = 2_000;

/** The end of one consumer, which happens once. */
export class Ending {
  readonly #ports: EndingPorts;
  readonly #late = new AbortController();
  readonly #unread = new AbortController(); // aborted when blocked reads are not waited for any longer
  readonly #timers: Timer[] = [];

  constructor(ports: EndingPorts) {
    this.#ports = ports;
  }

  /**
   * Ends the consumer. Rejects if committing takes longer than `timeout` milliseconds, or with what the server refuses. A failed
   * release is no error: other consumers claim the entries once they have been idle for long enough.
   */
  async run({ drain, timeout }: EndLimits): Promise<void> {
    const { context, session, flushAcks } = this.#ports;
    const { parts: { reader } } = session;
    session.windDown(consumerEnded());
    try {
      const released = this.#release();
      await session.drain.wait(drain);
      session.stop(consumerEnded());
      if (context.settings.commit.autoCommit === "delayed") session.pendingEntries.ackDelivered(Infinity);
      this.#after(Math.min(timeout, UNBLOCK_LIMIT), this.#unread);
      this.#after(timeout, this.#late, unconfirmed("TIMEOUT", timeout));
      const given = this.#patiently(() => released.then(() => session.releaseAll())); // also entries that were nacked since
      await flushAcks(this.#late.signal);
      await given;
      if (context.member.generated) await this.#patiently(() => this.#removeName());
    } finally {
      this.#unread.abort();
      this.#late.abort();
      reader.close(consumerEnded());
      for (const timer of this.#timers) timer.stop();
      session.close();
    }
  }

  /** Has the end take no longer than so many milliseconds from now. A drain is given half of them. */
  hurry(limit: number): void {
    if (this.#late.signal.aborted) return; // it is over
    this.#ports.session.drain.shorten(limit / 2);
    this.#after(limit, this.#late, unconfirmed("DISCONNECTED", limit));
  }

  #after(limit: number, controller: AbortController, reason?: StreamerError): void {
    this.#timers.push(this.#ports.context.server.clock.after(limit, () => controller.abort(reason)));
  }

  /** Ends blocked reads, and releases entries that the program has not got, also those that have just arrived. */
  async #release(): Promise<void> {
    const { session } = this.#ports;
    const { reader } = session.parts;
    this.#after(UNBLOCK_LIMIT, this.#unread);
    await reader.finish(this.#unread.signal);
    reader.close(consumerEnded());
    await session.releaseAll().catch(() => {}); // others claim them once they have been idle for long enough
  }

  /** Waits for work that may fail, as long as the server answers and there is time. */
  async #patiently(begin: () => Promise<void>): Promise<void> {
    const { context, session } = this.#ports;
    const { clock } = context.server;
    const done = new AbortController();
    const either = AbortSignal.any([this.#late.signal, done.signal]);
    begin().catch(() => {}).finally(() => done.abort());
    try {
      for (let answered = -1; answered !== session.parts.releaser.answered;) {
        answered = session.parts.releaser.answered;
        await sleep(clock, PATIENCE, either);
      }
    } catch {
      // It is done, or too late.
    }
  }

  /** Removes a generated consumer name from the groups, unless entries are pending for it. */
  async #removeName(): Promise<void> {
    const { context: { member, server }, session, assignment } = this.#ports;
    const options = { signal: session.acking };
    const shards = new Map(assignment.known.map((shard) => [shard.redisKey, shard]));
    await Promise.all(
      [...shards.values()].filter(({ hasGroup }) => hasGroup).map(async (shard) => {
        if (session.pendingEntries.hasAny(shard)) return;
        const remove = removeHoldingNothing({ redisKey: shard.redisKey, group: member.group }, [member.consumer]);
        await server.run(remove, options).catch(() => {}); // the name is only clutter
      }),
    );
  }
}

function unconfirmed(code: "TIMEOUT" | "DISCONNECTED", limit: number): StreamerError {
  return new StreamerError(
    code,
    `Acknowledgements were not confirmed within ${limit} ms. Their messages stay pending.`,
  );
}
