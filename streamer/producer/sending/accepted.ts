// The messages of a producer that are not settled, oldest first, and their timeout.

import type { Clock, Timer } from "../../../resp/connection/clock.ts";
import type { StreamerError } from "../../../resp/errors.ts";
import type { SendEvent } from "../messages/delivery_policy.ts";
import type { SendRecord } from "../messages/receipt.ts";
import { RecordQueue } from "../messages/record_queue.ts";
import { SharedErrors } from "../messages/send_errors.ts";
import type { ProducerSettings } from "../options.ts";

/** Why messages fail. */
export interface Failing {
  readonly event: SendEvent;
  readonly errors: SharedErrors;
  readonly cause: unknown;
}

/** Options of {@linkcode Accepted}. */
export interface AcceptedOptions {
  readonly clock: Clock;
  readonly settings: Pick<ProducerSettings, "sendTimeout">;
  /** Rejects a message that is not settled. */
  readonly fail: (record: SendRecord, why: Failing) => void;
}

/** Accepted messages. */
export class Accepted {
  readonly #options: AcceptedOptions;
  readonly #queue = new RecordQueue<SendRecord>();
  #timer: Timer | undefined;

  constructor(options: AcceptedOptions) {
    this.#options = options;
  }

  /** Adds a message, and starts its timeout. */
  add(record: SendRecord): void {
    this.#queue.push(record);
    const { clock, settings: { sendTimeout } } = this.#options;
    if (sendTimeout !== Infinity) this.#timer ??= clock.after(sendTimeout, () => this.#expire());
  }

  /** Drops the oldest messages that are settled. */
  trim(): void {
    while (this.#queue.peek()?.settled) this.#queue.shift();
  }

  /** Fails all messages for which `concerns` returns true. */
  failAll({ code, message, cause }: StreamerError, concerns: (record: SendRecord) => boolean): void {
    const errors = new SharedErrors(code, message);
    for (const record of this.#queue.drain()) {
      if (record.settled) continue;
      if (concerns(record)) this.#options.fail(record, { event: "ended", errors, cause });
      else this.#queue.push(record);
    }
  }

  /** Stops the timer. A second call does nothing. */
  stop(): void {
    this.#timer?.stop();
  }

  /** Rejects all messages whose timeout expired, and sets the timer for the next one. */
  #expire(): void {
    this.#timer = undefined;
    const { clock, settings: { sendTimeout }, fail } = this.#options;
    const now = clock.now();
    const errors = new SharedErrors("TIMEOUT", `The message was not stored within ${sendTimeout} ms (sendTimeout)`);
    for (let record = this.#queue.peek(); record !== undefined; record = this.#queue.peek()) {
      const left = record.acceptedAt + sendTimeout - now;
      if (!record.settled && left > 0) {
        this.#timer = clock.after(left, () => this.#expire());
        return;
      }
      this.#queue.shift();
      const { backlog, link } = record.target;
      const cause = backlog?.cause ?? link?.lastCause;
      if (!record.settled) fail(record, { event: "timed-out", errors, cause });
    }
  }
}
