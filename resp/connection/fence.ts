// Puts lost connections to silence before anything is sent again: what they still hold could be stored late, behind
// newer messages. It must not know what was in flight on them.

import { StreamerError } from "../errors.ts";
import { type Clock, sleep } from "./clock.ts";
import type { ConnectionIdentity } from "./handshake.ts";
import type { Pipeline } from "./pipeline.ts";
import { clientKill } from "./client_kill.ts";

/** How long to wait instead, where a connection cannot be killed. */
export const FENCE_WAIT = 2_000;

/** Most lost connections remembered; of more, the oldest are taken to be gone. */
const MAX_REMEMBERED = 64;

/** The connections of one owner that have to be silenced. */
export class Fence {
  #lost: { readonly identity: ConnectionIdentity | undefined }[] = [];

  /** Whether anything has to be silenced. */
  get needed(): boolean {
    return this.#lost.length > 0;
  }

  /** A connection was lost with commands in flight; `undefined` where the server had not told its name. */
  add(identity: ConnectionIdentity | undefined): void {
    this.#lost.push({ identity });
    if (this.#lost.length > MAX_REMEMBERED) this.#lost.shift();
  }

  /**
   * Kills them over a new connection; none found counts as done. Where that is not possible, `onUnavailable` is told,
   * and the time {@linkcode FENCE_WAIT} is waited out instead. Rejects when the new connection ends meanwhile, or with
   * the signal's reason; then nothing counts as done.
   */
  async raise(
    pipeline: Pipeline,
    options: { readonly clock: Clock; readonly signal: AbortSignal; readonly onUnavailable: (cause: unknown) => void },
  ): Promise<void> {
    const handled = new Set(this.#lost);
    const answers = await Promise.allSettled(Array.from(handled, ({ identity }) => kill(pipeline, identity)));
    if (pipeline.ending !== undefined) throw pipeline.ending;
    const refusal = answers.find((answer) => answer.status === "rejected");
    if (refusal !== undefined) {
      options.onUnavailable(refusal.reason);
      const gone = new AbortController();
      pipeline.whenEnded().then((cause) => gone.abort(cause));
      await sleep(options.clock, FENCE_WAIT, AbortSignal.any([options.signal, gone.signal]));
    }
    this.#lost = this.#lost.filter((lost) => !handled.has(lost));
  }
}

async function kill(pipeline: Pipeline, identity: ConnectionIdentity | undefined): Promise<void> {
  if (identity === undefined) {
    throw new StreamerError("UNSUPPORTED", "Cannot kill the lost connection as the server did not tell its name");
  }
  await pipeline.call(clientKill(identity));
}
