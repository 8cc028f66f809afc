// What all consumers have in common: the ways of asking for messages, and the verbs that most of them lack. It must not know how
// messages are read.

import { StreamerError } from "../../resp/errors.ts";
import type { Message } from "../model/message.ts";
import { checkNumber, invalidOption } from "../model/options.ts";
import type { WaitOptions } from "./consumer.ts";
import type { Inbox } from "./inbox.ts";
import { AskingIterator, readableOf } from "./iterate.ts";

/** Asks an inbox. */
export abstract class AskingConsumer {
  readonly #asked: Inbox;
  readonly #policy: string;
  #readable: ReadableStream<Message> | undefined;
  #paused = false;

  /** `policy` is what decides which verbs there are. */
  constructor(inbox: Inbox, policy: string) {
    this.#asked = inbox;
    this.#policy = policy;
  }

  abstract end(): Promise<void>;

  get readable(): ReadableStream<Message> {
    return this.#readable ??= readableOf(this.#asked);
  }

  next({ signal }: WaitOptions = {}): Promise<Message> {
    return this.#asked.ask(signal);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Message> {
    const inbox = this.#asked;
    return new AskingIterator({ take: () => inbox.take(), ask: (signal) => inbox.ask(signal) });
  }

  batches(options: { readonly max?: number } = {}): AsyncIterableIterator<Message[]> {
    const inbox = this.#asked;
    const max = options.max === undefined || options.max === Infinity
      ? Infinity
      : checkNumber("max", options.max, 0, { min: 1, integer: true });
    return new AskingIterator({ take: () => inbox.takeBatch(max), ask: (signal) => inbox.askBatch(max, signal) });
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#asked.hold();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#asked.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }

  // Not in the types of a consumer that lacks them; who calls them all the same is told why.

  ack(_message: Message): void {
    throw this.#lacks("ack");
  }

  ackWith(_identifier: unknown): void {
    throw this.#lacks("ackWith");
  }

  nack(_message: Message, _options?: unknown): void {
    throw this.#lacks("nack");
  }

  term(_message: Message, _reason?: string): void {
    throw this.#lacks("term");
  }

  commit(_options?: WaitOptions): Promise<void> {
    return Promise.reject(this.#lacks("commit"));
  }

  #lacks(verb: string): StreamerError {
    const policies = verb === "commit" ? `"disabled"` : `"rolling" or "disabled"`;
    return invalidOption("autoCommit", this.#policy, `${policies} for ${verb}`);
  }
}

/** What everybody gets who asks after the end. */
export function consumerEnded(): StreamerError {
  return new StreamerError("CONSUMER_ENDED", "Cannot read from a consumer that has ended");
}
