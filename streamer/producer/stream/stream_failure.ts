// The failure of a producer's web stream. The first failed send stands for all of them. If the program does not see the error of
// the stream, the producer's `flush` reports it.

import type { SendRecord } from "../messages/receipt.ts";

/** The needed part of a failed send. */
export type FailedSend = Pick<SendRecord, "failure" | "reported">;

/** Collects failed sends, and decides whether the program has seen the error of the stream. */
export class StreamFailure {
  #stream: WritableStream | undefined;
  #writer: object | undefined;
  #awaited = false; // whether the program has asked for the writer's promise `closed`
  #first: { readonly reason: unknown } | undefined;
  #reported = false;
  #unreported: FailedSend[] = [];

  /** Sets the stream. */
  attach(stream: WritableStream): void {
    this.#stream = stream;
  }

  /** The reason of the first failure. */
  get first(): { readonly reason: unknown } | undefined {
    return this.#first;
  }

  /** Adds a failed send. */
  add(send: FailedSend): void {
    this.#first ??= { reason: send.failure };
    if (this.#reported) send.reported();
    else this.#unreported.push(send);
  }

  /** The program has seen the error. `flush` does not report the failures of the stream's sends, nor those of later ones. */
  report(): void {
    this.#reported = true;
    for (const send of this.#unreported.splice(0)) send.reported();
  }

  /** The stream was errored. A pipe sees that immediately. A program with a writer sees it only if it reads a promise. */
  errored(): void {
    const piped = this.#writer === undefined && this.#stream?.locked === true;
    if (piped || this.#awaited) this.report();
  }

  /** The program acquired a writer. Pipes use an internal writer, which does not call this. */
  acquired(writer: object): void {
    this.#writer = writer;
    this.#awaited = false;
  }

  /** The program released its writer. */
  released(writer: object): void {
    if (this.#writer === writer) this.#writer = undefined;
    this.#awaited = false;
  }

  /** The program got a promise of this writer that an error rejects: one of `"now"`, or a later one too (`"ever"`). */
  asked(writer: object, when: "now" | "ever"): void {
    if (this.#writer !== writer) return; // the promises of a released writer do not show the error
    if (this.#first !== undefined) this.report();
    else if (when === "ever") this.#awaited = true;
  }
}
