// Sends acknowledgements by itself, as the policy says: while a read blocks, and while no message comes. It must not know
// how messages are read.

import { StreamerError } from "../../resp/errors.ts";
import type { Timer } from "../../resp/connection/clock.ts";
import { xack } from "../commands/xack.ts";
import type { MessageId } from "../model/id.ts";
import { abortable } from "../model/abortable.ts";
import type { AnchorPorts } from "./anchor.ts";
import { type CommitPolicy, decideCommit, MAX_UNSENT } from "./commit_policy.ts";
import type { GroupShard } from "./group_shard.ts";
import type { AckBatch, Ledger } from "./ledger.ts";
import { persist } from "./persist.ts";
import { isAway } from "./policy.ts";

/** What a committer needs, and whom it tells. */
export interface CommitterPorts {
  /** How to run a command on a connection that never blocks. */
  readonly anchor: AnchorPorts;
  readonly group: string;
  readonly policy: CommitPolicy;
  readonly ledger: Ledger;
  /** Entries have been acknowledged, or have left the user's hands. */
  readonly onSent: () => void;
  /** Acknowledging cannot go on. */
  readonly onFatal: (error: StreamerError) => void;
}

/** Carries acknowledgements out. */
export class Committer {
  readonly #ports: CommitterPorts;
  readonly #closing = new AbortController();
  readonly #sending = new Set<Promise<void>>();
  #timer: Timer | undefined;
  #unsentSince: number | undefined;
  #lastSent = -Infinity;

  constructor(ports: CommitterPorts) {
    this.#ports = ports;
  }

  /** Something was returned or acknowledged. Cheap, since it is called for each message: only the first one sets a timer. */
  touch(): void {
    const { policy, ledger } = this.#ports;
    if (policy.autoCommit === "disabled") return;
    if (this.#timer === undefined) this.#look(false);
    else if (ledger.unsent >= MAX_UNSENT) this.#look(true);
  }

  /**
   * Sends everything that is to be acknowledged, and resolves when the server has said so of all that was before.
   *
   * @throws {StreamerError} what the server refuses for good; `DISCONNECTED` where it cannot be reached any more; the
   * signal's reason, with which only the waiting ends.
   */
  async flush(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#send();
    await abortable(Promise.all(this.#sending), signal);
  }

  /** Resolves when nothing is on its way to be acknowledged, whatever became of it. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#sending);
  }

  /** Acknowledges entries that nobody can have any more, at once and whatever the policy. */
  dismiss(shard: GroupShard, ids: readonly MessageId[]): void {
    this.#track(this.#ports.ledger.dismiss(shard, ids));
  }

  /** Sends nothing more by itself. */
  close(): void {
    this.#timer?.stop();
    this.#closing.abort(new StreamerError("CONSUMER_ENDED", "Cannot acknowledge as the consumer has ended"));
  }

  /** Does what the policy says. What is due is sent by a timer, so that many of one moment go together, unless `atOnce`. */
  #look(atOnce: boolean): void {
    const { anchor, policy, ledger } = this.#ports;
    if (this.#closing.signal.aborted) return;
    const now = anchor.clock.now();
    if (ledger.unsent === 0) this.#unsentSince = undefined;
    else this.#unsentSince ??= now;
    const decision = decideCommit(policy, {
      unsent: ledger.unsent,
      unsentSince: this.#unsentSince,
      oldestReturned: ledger.oldestReturned,
      lastSent: this.#lastSent,
    }, now);
    if (decision.kind === "idle") return;
    if (decision.kind === "wait") return this.#lookAfter(decision.at - now);
    if (!atOnce) return this.#lookAfter(0);
    ledger.ackReturned(decision.until);
    this.#send();
    if (this.#timer === undefined) this.#look(false); // for what is not due yet
  }

  #lookAfter(delay: number): void {
    this.#timer = this.#ports.anchor.clock.after(delay, () => {
      this.#timer = undefined;
      this.#look(true);
    });
  }

  #send(): void {
    const { ledger, anchor } = this.#ports;
    if (ledger.unsent === 0) return;
    this.#lastSent = anchor.clock.now();
    this.#unsentSince = undefined;
    for (const batch of ledger.collect()) this.#track(batch);
  }

  #track(batch: AckBatch): void {
    const sending = this.#deliver(batch);
    this.#sending.add(sending);
    sending.catch(() => {}).finally(() => this.#sending.delete(sending));
  }

  /** Asks until the server has answered: acknowledging twice does no harm. */
  async #deliver(batch: AckBatch): Promise<void> {
    const { anchor, group, ledger, onSent, onFatal } = this.#ports;
    const { signal } = this.#closing;
    const command = xack(batch.shard.redisKey, group, batch.ids, batch.count);
    try {
      ledger.confirm(batch, await persist(anchor, signal, () => anchor.run(command, { signal })));
      onSent();
    } catch (error) {
      ledger.restore(batch);
      if (signal.aborted) throw error;
      if (isAway(error)) this.touch(); // it may be had later
      else if (error instanceof StreamerError) onFatal(error);
      throw error;
    }
  }
}
