// Checks that a new connection works, before a command is sent for which earlier connections may have been closed.

import { RedisError } from "../../errors.ts";
import { valueCommand } from "../command.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";

/** Options of {@linkcode ConnectionProof.ask}. */
export interface ProofOptions {
  /** The key of the suspected command. */
  readonly key: string | undefined;
  /** The number of connections to the node that have been lost so far. */
  readonly losses: number;
}

/** Checks the connections that one owner opens in a row. */
export class ConnectionProof {
  #losses: number | undefined; // as of the last connection
  #doubtful = false; // whether connections of other owners were lost meanwhile

  /**
   * Sends PING, and returns whether it is answered. An error reply counts as an answer.
   *
   * If connections of other owners are lost, too, the reason is hardly a command of this owner, and PING proves little: proxies answer
   * it themselves, and a server that closes each connection at the first command may still answer it. Then TYPE of the key is sent,
   * too.
   */
  async ask(pipeline: Pipeline, { key, losses }: ProofOptions): Promise<boolean> {
    if (this.#losses !== undefined && losses - this.#losses > 1) this.#doubtful = true; // one is the owner's own
    this.#losses = losses;
    const questions = [["PING"], ...(this.#doubtful && key !== undefined ? [["TYPE", key]] : [])];
    const answers = await Promise.allSettled(questions.map((args) => pipeline.call(valueCommand(args))));
    const isAnswered = answers.every((answer) => answer.status === "fulfilled" || answer.reason instanceof RedisError);
    return isAnswered && pipeline.ending === undefined;
  }

  /** Forgets earlier connections. */
  reset(): void {
    this.#losses = undefined;
    this.#doubtful = false;
  }
}
