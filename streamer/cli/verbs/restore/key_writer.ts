// Writes the entries of one key in their order, many at a time, also while the key moves to another node and while its node refuses for
// the time being. Ids must ascend: an entry that is overtaken by a later one can never be written.

import { sleep } from "../../../../resp/connection/clock.ts";
import type { Command } from "../../../../resp/connection/command.ts";
import { refusalDelay } from "../../../../resp/connection/reconnect/backoff.ts";
import { passesSoon } from "../../../../resp/connection/retry/retry.ts";
import type { Wait } from "../../../../resp/connection/retry/waiting.ts";
import { classify } from "../../../../resp/connection/server_errors.ts";
import { RedisError } from "../../../../resp/errors.ts";
import { NodeLeftError, type NodeName, type Router } from "../../../cluster/router.ts";

/** What a writer needs. */
export interface KeyWriterOptions {
  readonly router: Router;
  /** Ends the pauses. */
  readonly signal: AbortSignal;
}

/** A command that waits for its reply, or to be written. */
interface Write {
  readonly command: Command<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Writes to one key. Commands in flight all go to one node. Once that node refuses one, later commands wait until all were answered.
 * Refused ones are then written one after another, wherever they are redirected to.
 */
export class KeyWriter {
  readonly #options: KeyWriterOptions;
  readonly #slot: number;
  #node: NodeName | undefined; // to which those in flight went
  #inFlight = 0;
  #refused: Write[] = []; // in their order
  #later: Write[] = []; // after those
  #isHolding = false;

  constructor(redisKey: string, options: KeyWriterOptions) {
    this.#options = options;
    this.#slot = options.router.slotOf(redisKey);
  }

  /** Writes after all earlier ones. Rejects with a refusal that does not pass by itself. */
  write(command: Command<void>): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#add({ command, resolve, reject });
    return promise;
  }

  #add(write: Write): void {
    const node = this.#options.router.nodeOf(this.#slot);
    if (this.#inFlight > 0 && this.#node !== node) this.#isHolding = true;
    if (this.#isHolding) this.#later.push(write);
    else this.#send(write, node);
  }

  async #send(write: Write, node: NodeName): Promise<void> {
    const { router } = this.#options;
    this.#node = node;
    this.#inFlight++;
    try {
      await router.runOn(node, write.command); // without a signal, to which thousands of commands would listen
      write.resolve();
    } catch (error) {
      if (this.#passes(error)) {
        if (isRedirect(error)) router.redirected(this.#slot, error, node);
        this.#refused.push(write);
        this.#isHolding = true;
      } else write.reject(error);
    }
    if (--this.#inFlight === 0 && this.#isHolding) await this.#release();
  }

  /** All were answered: the refused ones are written again, and then the later ones. */
  async #release(): Promise<void> {
    const refused = this.#refused;
    this.#refused = [];
    for (const write of refused) await this.#persist(write).then(write.resolve, write.reject);
    const later = this.#later;
    this.#later = [];
    this.#isHolding = false;
    for (const write of later) this.#add(write);
  }

  /** Writes one entry alone, as often as it is refused for the time being. */
  async #persist({ command }: Write): Promise<void> {
    const { router, signal } = this.#options;
    const { clock, reconnect, waits } = router;
    const since = clock.now();
    let wait: Wait | undefined;
    try {
      for (;;) {
        signal.throwIfAborted();
        try {
          return await router.run(command, { signal });
        } catch (error) {
          if (!this.#passes(error)) throw error;
          if (wait === undefined) wait = waits.begin(error);
          else wait.refused(error);
          await sleep(clock, refusalDelay(reconnect, clock.now() - since, clock.random()), signal);
        }
      }
    } finally {
      wait?.over();
    }
  }

  #passes(error: unknown): boolean {
    if (error instanceof NodeLeftError) return true;
    if (isRedirect(error)) return this.#options.router.followsRedirects;
    return error instanceof RedisError && passesSoon(classify(error.code, error.message));
  }
}

function isRedirect(error: unknown): error is RedisError {
  return error instanceof RedisError && classify(error.code, error.message) === "redirect";
}
