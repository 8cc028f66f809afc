// The common base of all consumers: the ways of asking for messages, and the verbs that only some consumers have.

import { StreamerError } from "../../../resp/errors.ts";
import type { Message } from "../../model/message.ts";
import { checkNames, checkNumber, checkSignal, invalidOption } from "../../model/options.ts";
import { printAs } from "../../model/printing.ts";
import type { BatchesOptions, ConsumerEndOptions, ConsumerJson, MessagesOptions, WaitOptions } from "../consumer.ts";
import type { PrefetchQueue } from "./prefetch_queue.ts";
import { AskingIterator, readableOf } from "./iterators.ts";

/** Asks a queue for messages. */
export abstract class AskingConsumer {
  static {
    printAs(this.prototype, "Consumer", (consumer) => consumer.toJSON());
  }

  readonly #asked: PrefetchQueue;
  readonly #policy: string;
  #readable: ReadableStream<Message> | undefined;
  #paused = false;

  /** `policy` decides which verbs there are. */
  constructor(queue: PrefetchQueue, policy: string) {
    this.#asked = queue;
    this.#policy = policy;
  }

  abstract end(): Promise<void>;

  abstract toJSON(): ConsumerJson;

  /** @internal Whether no message is returned any more: the consumer has ended, or failed for good. */
  get isOver(): boolean {
    return this.#asked.over !== undefined;
  }

  /** @internal How messages are acknowledged; `"real-time"` if they are not. */
  get autoCommit(): string {
    return this.#policy;
  }

  get readable(): ReadableStream<Message> {
    return this.#readable ??= readableOf(this.#asked);
  }

  next(options?: WaitOptions): Promise<Message> {
    if (options === undefined) return this.#asked.ask();
    try {
      return this.#asked.ask(checkWait("next", options));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Message> {
    return this.messages();
  }

  messages(options: MessagesOptions = {}): AsyncIterableIterator<Message> {
    checkNames("options of messages", options, ["signal"]);
    const queue = this.#asked;
    const asking = { take: () => queue.take(), ask: (leaving: AbortSignal) => queue.ask(leaving) };
    return new AskingIterator(asking, checkSignal(options.signal));
  }

  batches(options: BatchesOptions = {}): AsyncIterableIterator<Message[]> {
    checkNames("options of batches", options, ["max", "signal"]);
    const queue = this.#asked;
    const max = options.max === undefined || options.max === Infinity
      ? Infinity
      : checkNumber("max", options.max, 0, { min: 1, integer: true });
    const asking = { take: () => queue.takeBatch(max), ask: (leaving: AbortSignal) => queue.askBatch(max, leaving) };
    return new AskingIterator(asking, checkSignal(options.signal));
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#asked.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#asked.resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }

  // Not in the types of a consumer that lacks them. A call throws an error that says why.

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

/** Checks the options of a method that can only be aborted, and returns its signal. */
export function checkWait(method: string, options: WaitOptions): AbortSignal | undefined {
  checkNames(`options of ${method}`, options, ["signal"]);
  return checkSignal(options.signal);
}

/** Checks the options of `end`, and fills in defaults; `timeout` is the default of that option. */
export function checkEnd(
  options: ConsumerEndOptions,
  timeout: number,
): { readonly drain: number; readonly timeout: number } {
  checkNames("options of end", options, ["drain", "timeout", "signal"]);
  checkSignal(options.signal);
  return {
    drain: checkNumber("drain", options.drain, 0, { min: 0 }),
    timeout: checkNumber("timeout", options.timeout, timeout, { min: 0 }),
  };
}

/** The error of calls after the end. */
export function consumerEnded(): StreamerError {
  return new StreamerError("CONSUMER_ENDED", "The consumer has ended");
}
