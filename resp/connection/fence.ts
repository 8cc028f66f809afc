// Kills the lost connections of one owner on one node before the owner sends again. Otherwise commands of a lost connection could be
// executed late, after newer messages.

import { StreamerError } from "../errors.ts";
import { type Clock, sleep } from "./clock.ts";
import { clientKill, type ConnectionIdentity } from "./handshake/identity.ts";
import type { Pipeline } from "./pipeline/pipeline.ts";

/** Milliseconds to wait if a connection cannot be killed. */
export const FENCE_WAIT = 2_000;

/** A connection that was lost with commands in flight. */
interface Lost {
  /** `undefined` if it is unknown. */
  readonly identity: ConnectionIdentity | undefined;
  /** The name of its node. */
  readonly node: string | undefined;
}

/** Options of {@linkcode Fence.raise}. */
export interface RaiseOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The name of the new connection's node. */
  readonly node?: string;
  readonly onUnavailable: (cause: unknown) => void;
  /** Whether to wait for connections that cannot be killed. @default {true} */
  readonly waits?: boolean;
}

/** Maximum number of remembered connections. Older ones are assumed to be closed. */
const MAX_REMEMBERED = 64;

/**
 * The lost connections of one owner (a link, a read unit) to one node. A connection is killed by its id and its address, so that no
 * other connection is killed, also on another server.
 */
export class Fence {
  #lost: Lost[] = [];

  /** Whether a lost connection may still be open on the server. */
  get needed(): boolean {
    return this.#lost.length > 0;
  }

  /** Adds a connection that was lost with commands in flight. `undefined` if its id is unknown. `node` is the name of its node. */
  add(identity: ConnectionIdentity | undefined, node?: string): void {
    this.#lost.push({ identity, node });
    if (this.#lost.length > MAX_REMEMBERED) this.#lost.shift();
  }

  /**
   * Kills the lost connections over a new one. Connections that do not exist any more count as killed. If killing is not possible, it
   * calls `onUnavailable`, and waits for {@linkcode FENCE_WAIT} instead if late commands do harm. If the new connection ends meanwhile, or the signal aborts, it
   * rejects, and no connection counts as killed.
   *
   * After a failover a lost connection led to another node. What the old primary still executes is discarded, so nothing waits for that
   * connection. It is killed all the same, since two names may lead to one server.
   */
  async raise(pipeline: Pipeline, options: RaiseOptions): Promise<void> {
    const { node: here, waits = true } = options;
    const handled = new Set(this.#lost);
    const isHere = ({ node }: Lost) => here === undefined || node === undefined || node === here;
    const answers = await Promise.allSettled(
      Array.from(handled, (lost) => isHere(lost) ? kill(pipeline, lost.identity) : tryToKill(pipeline, lost.identity)),
    );
    if (pipeline.ending !== undefined) throw pipeline.ending;
    const refusal = answers.find((answer) => answer.status === "rejected");
    if (refusal !== undefined) {
      options.onUnavailable(refusal.reason);
      if (waits) await this.#wait(pipeline, options);
    }
    this.#lost = this.#lost.filter((lost) => !handled.has(lost));
  }

  async #wait(pipeline: Pipeline, { clock, signal }: RaiseOptions): Promise<void> {
    const gone = new AbortController();
    pipeline.whenEnded().then((cause) => gone.abort(cause));
    await sleep(clock, FENCE_WAIT, AbortSignal.any([signal, gone.signal]));
  }
}

async function kill(pipeline: Pipeline, identity: ConnectionIdentity | undefined): Promise<void> {
  if (identity === undefined) {
    throw new StreamerError(
      "UNSUPPORTED",
      "The lost connection cannot be killed, because its id on the server is unknown",
    );
  }
  await pipeline.call(clientKill(identity));
}

async function tryToKill(pipeline: Pipeline, identity: ConnectionIdentity | undefined): Promise<void> {
  if (identity !== undefined) await pipeline.call(clientKill(identity)).catch(() => {});
}
