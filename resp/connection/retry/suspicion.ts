// Decides whether a server closes connections because of one command, whose reply exceeds a limit of the server. An unstable network
// closes connections with any command in flight.

import { textOf } from "../../value.ts";
import { valueCommand } from "../command.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";
import { ConnectionProof, type ProofOptions } from "./proof.ts";
import { TEXT_REPLY } from "../../reply_limits.ts";

/** Observations of a connection that was lost with the suspected command in flight. */
export interface CutSigns {
  /** Whether no other command was in flight, and the command cannot request less. */
  readonly alone: boolean;
  /** Received bytes of the reply when the other side closed the connection. `undefined` if the other side did not close it. */
  readonly heard: number | undefined;
}

/** Lost connections in a row after which a command is suspected. It then requests less, or is sent alone. */
const SUSPECT = 2;
/** Refusals in a row after which the command must be the reason. */
const CERTAIN = 3;
/** A server that evicts a client because of a large reply has sent at least this many bytes before. */
const EVICTED_AFTER = 16 * 1024;

/** Lost connections in a row with one command in flight, and the conclusion. */
export class Suspicion {
  readonly #proof = new ConnectionProof();
  #cuts = 0;
  #refusals = 0;
  #answering = false;
  #evictions: number | undefined; // the server's count before the command was sent last
  #doubtful = false; // whether the last loss may have been an eviction

  /** Lost connections in a row. */
  get cuts(): number {
    return this.#cuts;
  }

  /** Whether the command may be the reason. It should request less, or be sent alone after {@linkcode ask}. */
  get isSuspect(): boolean {
    return this.#cuts >= SUSPECT;
  }

  /** Whether the command is the reason. */
  get isCertain(): boolean {
    return this.#refusals >= CERTAIN;
  }

  /** The command was answered, or replaced by another one. */
  clear(): void {
    this.#proof.reset();
    this.#cuts = this.#refusals = 0;
    this.#answering = this.#doubtful = false;
    this.#evictions = undefined;
  }

  /**
   * The connection was lost. The command may be the reason if it was alone, the server had answered {@linkcode ask} right before, and
   * no byte of the reply was received. Any other loss restarts the count.
   */
  cut({ alone, heard }: CutSigns): void {
    const tried = alone && this.#answering;
    this.#cuts++;
    this.#answering = false;
    this.#doubtful = tried && heard !== undefined && heard >= EVICTED_AFTER;
    if (tried && heard === 0) this.#refusals++;
    else if (!this.#doubtful) this.#refusals = 0; // otherwise the server's count decides
  }

  /**
   * Checks whether the server answers, right before the command is sent again. Returns false if the connection ends first. If a part of
   * the last reply was received, it also checks whether the server has evicted clients since.
   */
  async ask(pipeline: Pipeline, options: ProofOptions): Promise<boolean> {
    const isAnswered = await this.#proof.ask(pipeline, options);
    if (this.#doubtful && isAnswered) {
      const before = this.#evictions;
      const now = this.#evictions = await evictionsOf(pipeline);
      const evicted = before !== undefined && now !== undefined && now > before;
      if (evicted) this.#refusals++;
      else if (before !== undefined) this.#refusals = 0;
    }
    this.#answering = isAnswered && pipeline.ending === undefined;
    return this.#answering;
  }
}

/** The number of clients that the server has evicted for their memory. Redis 7.0. `undefined` if it does not report it. */
async function evictionsOf(pipeline: Pipeline): Promise<number | undefined> {
  const info = await pipeline.call(valueCommand(["INFO", "stats"], { limits: TEXT_REPLY })).catch(() => undefined);
  const counts = textOf(info)?.matchAll(
    /^(?:evicted_clients|client_output_buffer_limit_disconnections):(\d{1,15})\r?$/gm,
  );
  const numbers = [...counts ?? []].map(([, count]) => Number(count));
  return numbers.length === 0 ? undefined : numbers.reduce((sum, count) => sum + count, 0);
}

/** The text of the error. `what` completes "Cannot …". */
export function refusalText(what: string): string {
  return `Cannot ${what}: the server closed ${CERTAIN} connections in a row instead of answering. Raise its ` +
    "client-output-buffer-limit or maxmemory-clients, or look for a proxy that limits replies";
}
