// Isolates messages of one producer: keeps the suspects and the facts about each connection. isolation.ts decides.

import type { StreamerError } from "../../../../resp/errors.ts";
import type { Pipeline } from "../../../../resp/connection/pipeline/pipeline.ts";
import { ConnectionProof } from "../../../../resp/connection/retry/proof.ts";
import { type Isolation, judgeCut, UNSUSPECTING } from "./isolation.ts";

/** A message that can be suspected. */
export interface Suspect {
  readonly settled: boolean;
  readonly target: { readonly redisKey: string; readonly backlog: { readonly isRefused: boolean } | undefined };
}

/** The state of the PING by which a connection proves that it works. */
type Proof = "none" | "asked" | "answered";

/** Isolates suspects `R`. */
export class Isolator<R extends Suspect> {
  #isolation: Isolation<R> = UNSUSPECTING;
  readonly #suspects = new Set<R>(); // in sending order
  readonly #connections = new ConnectionProof();
  #proof: Proof = "none"; // of the current connection
  #skipsPing = false; // on the next connection
  #received = 0; // bytes received when the lone message was written

  /** Whether messages must be sent one at a time: until each suspect was answered or failed for another reason. */
  get active(): boolean {
    if (this.#isolation.kind === "window") return false;
    for (const suspect of this.#suspects) {
      // A suspect with a backlog was answered with a temporary refusal, or waits for other messages that were.
      if (!suspect.settled && suspect.target.backlog?.isRefused !== true) return true;
      this.#suspects.delete(suspect);
    }
    this.#isolation = UNSUSPECTING;
    this.#connections.reset();
    return false;
  }

  /**
   * Checks with a PING that a new connection works, before a suspect is sent. If a connection ends without an answer, the PING
   * may be the reason: the next connection is used without it, and its loss proves nothing. `losses` is the number of
   * connections to the node that were lost so far.
   */
  async prove(pipeline: Pipeline, losses: number): Promise<void> {
    if (this.#skipsPing) {
      this.#skipsPing = false;
      return;
    }
    this.#proof = "asked";
    const [first] = this.#suspects;
    if (await this.#connections.ask(pipeline, { key: first?.target.redisKey, losses })) this.#proof = "answered";
  }

  /** Call this before a suspect is written alone. */
  writing(pipeline: Pipeline): void {
    this.#received = pipeline.received;
  }

  /** Clears a message: it was answered, or it moves to another node. This node does not close connections because of it. */
  forget(record: R): void {
    this.#suspects.delete(record);
  }

  /** Judges a lost connection with these messages in flight. Returns the one that must not be sent again, if any. */
  cut(pipeline: Pipeline, { cause, inFlight }: { readonly cause: StreamerError; readonly inFlight: readonly R[] }):
    | R
    | undefined {
    // A silent connection was not closed by the server. A server that is paused answers a PING before and after.
    const unexplained = cause.code === "DISCONNECTED" && this.#proof === "answered" &&
      pipeline.received === this.#received;
    this.#skipsPing = this.#proof === "asked";
    this.#proof = "none";
    const { next, suspects, hopeless } = judgeCut(this.#isolation, { inFlight, unexplained });
    this.#isolation = next;
    for (const suspect of suspects) this.#suspects.add(suspect);
    if (hopeless !== undefined) this.#suspects.delete(hopeless);
    return hopeless;
  }
}
