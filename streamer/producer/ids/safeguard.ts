// The way in which a producer stores each message once, if it does so: by ids of its own, or by numbers that the server remembers.

import type { Router } from "../../cluster/router.ts";
import type { TimestampFormat } from "../../model/id.ts";
import { type IdSource, idSource, timedIds } from "../messages/id_source.ts";
import type { SendRecord } from "../messages/receipt.ts";
import type { Target } from "../messages/target.ts";
import type { ProducerSettings } from "../options.ts";
import { Verifier, type VerifierOwner } from "./verifier.ts";
import { WindowCheck } from "./window_check.ts";

/** Decides the way. */
export interface SafeguardOptions {
  readonly settings: Pick<ProducerSettings, "delivery" | "singleWriter">;
  readonly timestampFormat: TimestampFormat;
  readonly owner: VerifierOwner;
}

/** The ids of one producer's messages, and what happens to messages in doubt. */
export class Safeguard {
  readonly ids: IdSource;
  /** Whether lost connections that cannot be killed are waited for, because of what they may store late. */
  readonly waitsForLost: boolean;
  readonly #verifier: Verifier;
  readonly #check: WindowCheck | undefined;

  constructor(router: Router, { settings: { delivery, singleWriter }, timestampFormat, owner }: SafeguardOptions) {
    const isNumbered = delivery === "exactly-once" && !singleWriter;
    this.ids = isNumbered ? timedIds(router.clock) : idSource(singleWriter ? "milliseconds" : timestampFormat);
    this.waitsForLost = !singleWriter;
    this.#verifier = new Verifier(router, owner);
    this.#check = isNumbered ? new WindowCheck(router, owner) : undefined;
  }

  /** Messages that failed because of another writer. */
  get conflicts(): number {
    return this.#verifier.conflicts;
  }

  /** Finds out about a held target, none of whose messages is in flight. Then its owner resumes it. */
  ask(target: Target<SendRecord>): void {
    (this.#check ?? this.#verifier).ask(target);
  }

  /** The server refused the id of this message, because it is not above the end of the stream. */
  refused(record: SendRecord, cause: unknown): void {
    this.#verifier.refused(record, cause);
  }

  /** This message is to be sent again. */
  requeued(record: SendRecord): void {
    if (record.doubtful) this.#check?.doubted(record);
  }

  /** Rejects a message that must not be sent again. Returns whether it did so. */
  giveUp(record: SendRecord): boolean {
    return this.#check?.giveUp(record) ?? false;
  }

  /** Stops asking. A second call has no effect. */
  close(): void {
    this.#verifier.close();
    this.#check?.close();
  }
}
