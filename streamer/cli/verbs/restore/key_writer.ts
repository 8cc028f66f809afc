// Writes the entries of one key in their order, many at a time, also while the key moves to another node and while its node refuses for
// the time being. Ids must ascend: an entry that is overtaken by a later one can never be written.

import { sleep } from "../../../../resp/connection/clock.ts";
import type { Command } from "../../../../resp/connection/command.ts";
import { refusalDelay } from "../../../../resp/connection/reconnect/backoff.ts";
import { passesSoon } from "../../../../resp/connection/retry/retry.ts";
import type { Wait } from "../../../../resp/connection/retry/waiting.ts";
import { classify } from "../../../../resp/connection/server_errors.ts";
import { RedisError } from "../../../../resp/errors.ts";
import type { NodeName, Router } from "../../../cluster/router.ts";

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

/** Writes to one key. */
export class KeyWriter {
  readonly #options: KeyWriterOptions;
  readonly #slot: number;
  #node: NodeName | undefined; // to which those in flight went
  #inFlight = 0;
  #refused: Write[] = []; // to be written again, in their order
  #held: Write[] = []; // after those
  #isHolding = false; // until those in flight were answered, and a pause
  #wait: Wait | undefined; // while the node refuses
  #refusedSince = 0;

  constructor(redisKey: string, options: KeyWriterOptions) {
    this.#options = options;
    this.#slot = options.router.slotOf(redisKey);
  }

  /** Writes after all earlier ones. Rejects with a refusal that does not pass by itself. */
  write(command: Command<void>): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // What is in flight to another node may be redirected, and be written there after this one.
    if (this.#inFlight > 0 && this.#node !== this.#owner) this.#isHolding = true;
    const write = { command, resolve, reject };
    if (this.#isHolding) this.#held.push(write);
    else this.#send(write);
    return promise;
  }

  get #owner(): NodeName {
    return this.#options.router.nodeOf(this.#slot);
  }

  async #send(write: Write): Promise<void> {
    this.#node = this.#owner;
    this.#inFlight++;
    try {
      await this.#options.router.run(write.command); // without a signal, to which thousands of commands would listen
      this.#wait?.over();
      this.#wait = undefined;
      write.resolve();
    } catch (error) {
      if (error instanceof RedisError && passesSoon(classify(error.code, error.message))) this.#again(write, error);
      else write.reject(error);
    }
    if (--this.#inFlight === 0 && this.#isHolding) await this.#release();
  }

  #again(write: Write, error: RedisError): void {
    const { clock, waits } = this.#options.router;
    this.#isHolding = true;
    this.#refused.push(write);
    if (this.#wait !== undefined) return this.#wait.refused(error);
    this.#wait = waits.begin(error);
    this.#refusedSince = clock.now();
  }

  /** All were answered: the refused ones are written again after a pause, and then the others. */
  async #release(): Promise<void> {
    const { router: { clock, reconnect }, signal } = this.#options;
    try {
      if (this.#refused.length > 0) {
        await sleep(clock, refusalDelay(reconnect, clock.now() - this.#refusedSince, clock.random()), signal);
      }
    } catch (reason) {
      for (const { reject } of [...this.#refused, ...this.#held]) reject(reason);
      return;
    }
    const writes = [...this.#refused, ...this.#held];
    this.#refused = [];
    this.#held = [];
    this.#isHolding = false;
    for (const write of writes) this.#send(write);
  }
}
