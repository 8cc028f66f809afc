// Tracks a producer's messages from the call until they are settled: their order, timeout, budget and outcome.

import { type RedisError, StreamerError } from "../../../resp/errors.ts";
import type { Clock, Timer } from "../../../resp/connection/clock.ts";
import type { ServerErrorClass } from "../../../resp/connection/server_errors.ts";
import type { Router } from "../../cluster/router.ts";
import type { MessageId, TimestampFormat } from "../../model/id.ts";
import { Safeguard } from "../ids/safeguard.ts";
import type { VerifierOwner, Waiting } from "../ids/verifier.ts";
import { decide, type SendEvent } from "../messages/delivery_policy.ts";
import { interrupted } from "../messages/outcome.ts";
import { type SendRecord, STATE } from "../messages/receipt.ts";
import { meaningOf, SharedErrors, undeliverable, unreadable } from "../messages/send_errors.ts";
import type { SendFailures } from "../messages/send_failures.ts";
import type { Carrier, Target } from "../messages/target.ts";
import { Targets } from "../messages/targets.ts";
import type { ProducerSettings } from "../options.ts";
import type { ProducerStats } from "../stats.ts";
import { Accepted, type Failing } from "./accepted.ts";
import { Budget } from "./budget.ts";
import { EntryEncoder } from "./entry_encoder.ts";
import type { LinkOwner } from "./link/ports.ts";
import { Refusals } from "./refusals.ts";
import { Routes } from "./routes.ts";
import type { Tick } from "./tick.ts";

/** Settings and collaborators of an engine. */
export interface EngineOptions {
  readonly router: Router;
  readonly settings: ProducerSettings;
  /** The name of the payload field. */
  readonly messageField: string;
  readonly timestampFormat: TimestampFormat;
  readonly onFenceUnavailable: (detail: { readonly node: string; readonly cause: unknown }) => void;
}

/** One pipeline of messages, shared by a producer and its clones. */
export class Engine implements LinkOwner, VerifierOwner {
  readonly settings: ProducerSettings;
  readonly encoder: EntryEncoder;
  readonly targets: Targets<SendRecord>;
  readonly budget: Budget;
  readonly #clock: Clock;
  readonly #routes: Routes;
  readonly #safeguard: Safeguard;
  /** The current turn of the event loop. */
  readonly tick: Tick;
  readonly #refusals: Refusals;
  readonly #accepted: Accepted;
  readonly #ambiguous = SharedErrors.ambiguous();
  #serial = 0;
  #acked = 0;
  #failed = 0;
  #resent = 0;

  constructor({ router, settings, messageField, timestampFormat, onFenceUnavailable }: EngineOptions) {
    const { clock, reconnect } = router;
    const safeguard = new Safeguard(router, { settings, timestampFormat, owner: this });
    const encoder = new EntryEncoder({ field: messageField, settings, timestampFormat, ids: safeguard.ids });
    const targets = new Targets<SendRecord>((streamKey, shard) => encoder.newTarget(router, streamKey, shard));
    this.settings = settings;
    this.encoder = encoder;
    this.targets = targets;
    this.budget = new Budget(settings);
    this.#clock = clock;
    this.#refusals = new Refusals(router);
    this.#accepted = new Accepted({ clock, settings, fail: (record, why) => this.#fail(record, why) });
    const links = { owner: this, clock, reconnect, safeguard, onFenceUnavailable };
    this.#safeguard = safeguard;
    this.#routes = new Routes({ router, targets, links });
    this.tick = this.#routes.tick;
  }

  get timestampFormat(): TimestampFormat {
    return this.encoder.timestampFormat;
  }

  get stats(): ProducerStats {
    return {
      buffered: this.budget.buffered,
      inFlight: this.#routes.inFlight,
      sent: this.#serial,
      acked: this.#acked,
      failed: this.#failed,
      resent: this.#resent,
      conflicts: this.#safeguard.conflicts,
    };
  }

  get nextSerial(): number {
    return this.#serial++;
  }

  /** The current link of a target. Messages are encoded in the chunks of their link. */
  linkOf(target: Target<SendRecord>): Carrier<SendRecord> {
    return target.link ?? this.#routes.place(target);
  }

  /** Accepts a message that is encoded in a chunk of this link. It is written after all earlier ones, possibly now. */
  accept(record: SendRecord, link: Carrier<SendRecord>): void {
    this.budget.add(record.to - record.from);
    record.target.unsettled++;
    record.scope.unsettled++;
    if (record.chunk !== undefined) record.chunk.unsettled++;
    this.#accepted.add(record);
    link.add(record);
  }

  /** Rejects the receipt of a message. A message that is not written yet is not sent. */
  withdraw(record: SendRecord, reason: unknown): void {
    if (record.settled) return;
    const { action } = decide(this.settings.delivery, record, "withdrawn");
    if (action === "reject") this.#reject(record, interrupted(reason, "not-written"));
    else record.abandon(interrupted(reason, "unknown"));
  }

  /** Calls `run` after so many milliseconds, unless the timer is stopped. */
  after(delay: number, run: () => void): Timer {
    return this.#clock.after(delay, run);
  }

  /** Rejects all unsettled messages of one handle with `DISCONNECTED`. */
  giveUp(failures: SendFailures): void {
    this.#accepted.failAll(ended(), (record) => record.scope.handle === failures);
  }

  /** Closes all connections and rejects all unsettled messages with `DISCONNECTED`. A second call has no effect. */
  close(): void {
    this.#routes.close();
    this.#safeguard.close();
    this.#accepted.failAll(ended(), () => true);
    this.#accepted.stop();
    this.#refusals.close();
  }

  // Calls of the links.

  stored(record: SendRecord): void {
    if (record.target.refusingSince !== undefined) this.#recovered(record.target);
    if (!record.settled) { // a message that timed out before is settled: its reply is discarded
      this.#acked++;
      this.#settle(record);
      record.resolve();
    }
    this.#accepted.trim();
  }

  refused(record: SendRecord, error: RedisError, kind: ServerErrorClass): void {
    const { target } = record;
    if (kind === "id-too-small" && target.ids !== undefined) this.#safeguard.refused(record, error);
    else if (decide(this.settings.delivery, record, kind).action === "reject") {
      target.isProbing = false;
      this.#reject(record, meaningOf(error, kind, record));
    } else {
      const followed = kind === "redirect" && this.#routes.redirect(target, error);
      if (!followed) this.#refusals.refused(target, error);
      target.refusingSince ??= this.#clock.now();
      target.isProbing = true;
      this.#routes.wait(record, error);
      this.#requeue(record);
    }
    this.#accepted.trim();
  }

  lost(record: SendRecord, event: SendEvent, cause: StreamerError): boolean {
    const { action, doubtful } = decide(this.settings.delivery, record, event);
    record.doubtful = doubtful;
    if (action === "reject") this.#reject(record, this.#lossOf(record, event, cause));
    else this.#requeue(record);
    return action !== "reject";
  }

  failed(link: Carrier<SendRecord>, error: StreamerError): void {
    this.#accepted.failAll(error, (record) => record.target.link === link);
  }

  // Calls of the verifier.

  confirmed(record: SendRecord, id: MessageId): void {
    record.idText = id;
    record.target.link?.dropped(record);
    this.#acked++;
    this.#settle(record);
    record.resolve();
  }

  rejected(record: SendRecord, error: unknown): void {
    this.#reject(record, error);
  }

  hold(target: Target<SendRecord>, waiting?: Waiting): void {
    this.#routes.hold(target, waiting);
    if (waiting?.record.state === STATE.written) this.#requeue(waiting.record);
  }

  resume(target: Target<SendRecord>): void {
    this.#routes.resume(target);
  }

  #lossOf(record: SendRecord, event: SendEvent, cause: StreamerError): StreamerError {
    if (event === "undeliverable") return undeliverable(record.to - record.from, cause);
    if (event === "unreadable" && this.settings.delivery !== "at-most-once") return unreadable(cause);
    return this.#ambiguous.of(record, cause);
  }

  /** A message was stored after refusals: those refused before it can no longer be stored in order. */
  #recovered(target: Target<SendRecord>): void {
    this.#refusals.recovered(target);
    for (const { record, cause } of this.#routes.recovered(target)) {
      if (target.ids !== undefined && record.doubtful && !record.settled) this.hold(target, { record, cause });
      else this.#reject(record, cause);
    }
  }

  #requeue(record: SendRecord): void {
    record.state = STATE.queued;
    this.#resent++;
    this.#safeguard.requeued(record);
  }

  // Outcomes of messages.

  #reject(record: SendRecord, error: unknown): void {
    if (record.settled) return;
    if (record.state === STATE.queued) record.target.link?.dropped(record);
    else if (record.chunk !== undefined) record.chunk.reusable = false; // its reply is outstanding
    this.#failed++;
    this.#settle(record);
    this.#refusals.failed(record.target);
    record.reject(error);
  }

  #settle(record: SendRecord): void {
    record.target.unsettled--;
    const { chunk } = record;
    if (chunk !== undefined) chunk.pool.settled(chunk);
    record.chunk = undefined;
    record.scope.handle.settled(record.scope);
    this.budget.remove(record.to - record.from);
  }

  #fail(record: SendRecord, { event, errors, cause }: Failing): void {
    record.doubtful = decide(this.settings.delivery, record, event).doubtful;
    this.#reject(record, errors.of(record, cause));
  }
}

function ended(): StreamerError {
  return new StreamerError("DISCONNECTED", "The producer ended before the message was stored");
}
