// Reports streams whose messages a server refuses for a long time.

import type { Wait, Waits } from "../../../resp/connection/retry/waiting.ts";
import { concernsOneSlot } from "../../../resp/connection/server_errors.ts";
import type { RedisError } from "../../../resp/errors.ts";
import type { SendRecord } from "../messages/receipt.ts";
import type { Target } from "../messages/target.ts";

/** The targets whose messages are temporarily refused. */
export class Refusals {
  readonly #waits: Waits;
  readonly #noted = new Map<Target<SendRecord>, Wait>();

  constructor(waits: Waits) {
    this.#waits = waits;
  }

  /** Call this when a target's message is refused. */
  refused(target: Target<SendRecord>, error: RedisError): void {
    const wait = this.#noted.get(target);
    if (wait !== undefined) return wait.refused(error);
    const streamKey = concernsOneSlot(error.code, error.message) ? target.streamKey : undefined;
    this.#noted.set(target, this.#waits.begin(error, streamKey));
  }

  /** Call this when a message of the target is stored. */
  recovered(target: Target<SendRecord>): void {
    this.#noted.get(target)?.over();
    this.#noted.delete(target);
  }

  /** Call this when a message of the target fails. After the last one the target no longer waits. */
  failed(target: Target<SendRecord>): void {
    if (this.#noted.size > 0 && target.unsettled === 0) this.recovered(target);
  }

  /** Ends all waiting. */
  close(): void {
    for (const target of this.#noted.keys()) this.recovered(target);
  }
}
