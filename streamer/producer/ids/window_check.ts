// Asks how much the server remembers before the first message of a target and after a lost connection, and gives up messages in doubt
// that it may have forgotten.

import type { Timer } from "../../../resp/connection/clock.ts";
import { retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";
import { StreamerError } from "../../../resp/errors.ts";
import type { Router } from "../../cluster/router.ts";
import { idempotencyLimits } from "../../commands/idempotency_window.ts";
import type { SendRecord } from "../messages/receipt.ts";
import { SharedErrors } from "../messages/send_errors.ts";
import type { Target } from "../messages/target.ts";
import { unwritable } from "./id_errors.ts";

/** What becomes of the messages. */
export interface WindowOwner {
  /** The message failed. */
  rejected(record: SendRecord, error: unknown): void;
  /** Its messages can be written. */
  resume(target: Target<SendRecord>): void;
}

/** Reads the windows of all targets of one producer. */
export class WindowCheck {
  readonly #router: Router;
  readonly #owner: WindowOwner;
  readonly #closing = new AbortController();
  readonly #asking = new Set<Target<SendRecord>>();
  readonly #errors = SharedErrors.forgotten();
  #doubts: SendRecord[] = [];
  #timer: Timer | undefined;

  constructor(router: Router, owner: WindowOwner) {
    this.#router = router;
    this.#owner = owner;
  }

  /** Reads the limits of a held target. Has no effect while it does so already. */
  ask(target: Target<SendRecord>): void {
    if (this.#asking.has(target)) return;
    this.#asking.add(target);
    this.#read(target).catch((error) => this.#failed(target, error)).finally(() => {
      this.#asking.delete(target);
      if (!this.#closing.signal.aborted) this.#owner.resume(target);
    });
  }

  /** A connection was lost with this message in flight. */
  doubted(record: SendRecord): void {
    this.#doubts.push(record);
    this.#wait();
  }

  /** Rejects a message that was first written too long ago. Returns whether it was. */
  giveUp(record: SendRecord): boolean {
    const { window } = record.target;
    if (window === undefined || record.settled) return false;
    if (this.#router.clock.now() < record.idFirst + window.patience) return false;
    this.#owner.rejected(record, this.#errors.of(record, record.target.backlog?.cause));
    return true;
  }

  /** Stops asking and waiting. A second call has no effect. */
  close(): void {
    this.#closing.abort(new StreamerError("DISCONNECTED", "The producer ended"));
    this.#timer?.stop();
  }

  /** Looks at all doubtful messages when the first of them is too old. */
  #wait(): void {
    if (this.#timer !== undefined || this.#doubts.length === 0) return;
    const [{ idFirst, target: { window } }] = this.#doubts;
    const left = idFirst + (window?.patience ?? 0) - this.#router.clock.now();
    this.#timer = this.#router.clock.after(Math.max(left, 1), () => {
      this.#timer = undefined;
      // One that is in flight again was written in time. If it is lost again, it comes back here.
      this.#doubts = this.#doubts.filter((record) => !record.settled && !record.inFlight && !this.giveUp(record));
      this.#wait();
    });
  }

  async #read(target: Target<SendRecord>): Promise<void> {
    const { signal } = this.#closing;
    const { clock, reconnect, waits } = this.#router;
    const limits = await idempotencyLimits(
      target.redisKey,
      (command) =>
        retryWhileUnavailable({ clock, reconnect, waits }, signal, () => this.#router.run(command, { signal })),
    );
    target.window?.start(limits);
  }

  #failed(target: Target<SendRecord>, error: unknown): void {
    if (this.#closing.signal.aborted) return;
    target.window?.stop();
    target.link?.withhold();
    for (const record of target.backlog?.list() ?? []) {
      this.#owner.rejected(record, record.doubtful ? this.#errors.of(record, error) : unwritable(error));
    }
  }
}
