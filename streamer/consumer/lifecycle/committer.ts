// Sends acknowledgements as the commit policy says, by a timer or on request.

import { StreamerError } from "../../../resp/errors.ts";
import type { Timer } from "../../../resp/connection/clock.ts";
import type { Command } from "../../../resp/connection/command.ts";
import type { MessageId } from "../../model/id.ts";
import { abortable } from "../../model/abortable.ts";
import { isAway, runUntilAnswered, type ServerAccess } from "../server/server.ts";
import type { CommitPolicy } from "../group_options.ts";
import { decideCommit, MAX_UNSENT } from "./commit_policy.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import type { AckBatch, PendingEntries } from "../pending/pending_entries.ts";
import { retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";

/** Makes the command that acknowledges entries of one shard; its reply is how many of them were pending. */
export type AckCommand = (acks: Pick<AckBatch, "shard" | "ids" | "count">) => Command<number>;

/** What a committer needs, and its listeners. */
export interface CommitterPorts {
  readonly server: ServerAccess;
  readonly ackCommand: AckCommand;
  readonly policy: CommitPolicy;
  readonly pendingEntries: PendingEntries;
  /** Fewer entries are unacknowledged, or fewer acknowledgements wait. */
  readonly onCapacity: () => void;
  /** Acknowledging has failed for good. */
  readonly onFatal: (error: StreamerError) => void;
}

/** Sends acknowledgements. */
export class Committer {
  readonly #ports: CommitterPorts;
  readonly #closing = new AbortController();
  readonly #sending = new Set<Promise<void>>();
  #timer: Timer | undefined;
  #unsentSince: number | undefined;
  #lastSent = -Infinity;
  #dismissed = 0;

  constructor(ports: CommitterPorts) {
    this.#ports = ports;
  }

  /** How many entries were {@linkcode dismiss}ed. */
  get dismissed(): number {
    return this.#dismissed;
  }

  /** A message was delivered or acknowledged. Called for each message, and cheap: only the first call sets a timer. */
  touch(): void {
    const { policy, pendingEntries } = this.#ports;
    if (policy.autoCommit === "disabled") return;
    if (this.#timer === undefined) this.#look(false);
    else if (pendingEntries.unsent >= MAX_UNSENT) this.#look(true);
  }

  /**
   * Sends all acknowledgements, and resolves when the server has confirmed them and those sent before.
   *
   * @throws {StreamerError} what the server refuses for good; `DISCONNECTED` if it cannot be reached any more; the signal's
   * reason, which ends only the waiting.
   */
  async flush(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#send();
    await abortable(Promise.all(this.#sending), signal);
  }

  /** Resolves when no acknowledgement is being sent, whether it succeeded or not. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#sending);
  }

  /** Acknowledges entries that no consumer can get any more, at once and whatever the policy. */
  dismiss(shard: GroupShard, ids: readonly MessageId[]): void {
    this.#dismissed += ids.length;
    this.#track(this.#ports.pendingEntries.dismiss(shard, ids));
  }

  /** Runs another command that acknowledges, until the server has answered. {@linkcode flush} waits for it, too. */
  run<T>(command: Command<T>): Promise<T> {
    const running = runUntilAnswered(command, this.#ports.server, this.#closing.signal);
    const settled = running.then(() => {}, () => {}); // its caller gets the error
    this.#sending.add(settled);
    settled.then(() => this.#sending.delete(settled));
    return running;
  }

  /** Sends nothing any more. */
  close(): void {
    this.#timer?.stop();
    this.#closing.abort(new StreamerError("CONSUMER_ENDED", "The consumer has ended and sends no acknowledgements"));
  }

  /** Follows the policy. Unless `atOnce`, due acknowledgements are sent by a timer, so that those of one moment go together. */
  #look(atOnce: boolean): void {
    const { server, policy, pendingEntries } = this.#ports;
    if (this.#closing.signal.aborted) return;
    const now = server.clock.now();
    if (pendingEntries.unsent === 0) this.#unsentSince = undefined;
    else this.#unsentSince ??= now;
    const decision = decideCommit(policy, {
      unsent: pendingEntries.unsent,
      unsentSince: this.#unsentSince,
      oldestDelivery: pendingEntries.oldestDelivery,
      lastSent: this.#lastSent,
    }, now);
    if (decision.kind === "idle") return;
    if (decision.kind === "wait") return this.#lookAfter(decision.at - now);
    if (!atOnce) return this.#lookAfter(0);
    pendingEntries.ackDelivered(decision.until);
    this.#send();
    if (this.#timer === undefined) this.#look(false); // for entries that are not due yet
  }

  #lookAfter(delay: number): void {
    this.#timer = this.#ports.server.clock.after(delay, () => {
      this.#timer = undefined;
      this.#look(true);
    });
  }

  #send(): void {
    const { pendingEntries, server } = this.#ports;
    if (pendingEntries.unsent === 0) return;
    this.#lastSent = server.clock.now();
    this.#unsentSince = undefined;
    for (const acks of pendingEntries.collect()) this.#track(acks);
  }

  #track(acks: AckBatch): void {
    const sending = this.#sendBatch(acks);
    this.#sending.add(sending);
    sending.catch(() => {}).finally(() => this.#sending.delete(sending));
  }

  /** Retries until the server has answered: acknowledging twice is harmless. */
  async #sendBatch(acks: AckBatch): Promise<void> {
    const { server, ackCommand, pendingEntries, onCapacity, onFatal } = this.#ports;
    const { signal } = this.#closing;
    const command = ackCommand(acks);
    try {
      pendingEntries.confirm(acks, await retryWhileUnavailable(server, signal, () => server.run(command, { signal })));
      onCapacity();
    } catch (error) {
      pendingEntries.restore(acks);
      if (signal.aborted) throw error;
      if (isAway(error)) this.touch(); // the server may be reached later
      else if (error instanceof StreamerError) onFatal(error);
      throw error;
    }
  }
}
