// The ways of asking a queue in a loop: one by one, in batches, and as a web stream.

import { StreamerError } from "../../../resp/errors.ts";
import type { Message } from "../../model/message.ts";

/** What a loop reads from: queued messages first, otherwise it waits. */
export interface Asking<T> {
  take(): T | undefined;
  ask(signal: AbortSignal): Promise<T>;
}

/**
 * Iterates until the consumer ends or the signal is aborted, which finish the loop quietly, or until the consumer fails, which
 * throws once. `next` does not wait while messages are queued: an async generator would cost half as much again.
 */
export class AskingIterator<T> implements AsyncIterableIterator<T> {
  readonly #asking: Asking<T>;
  readonly #signal: AbortSignal | undefined;
  readonly #leaving = new AbortController();
  #done = false;

  constructor(asking: Asking<T>, signal?: AbortSignal) {
    this.#asking = asking;
    this.#signal = signal;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#done || this.#signal?.aborted) return this.return();
    const value = this.#asking.take();
    if (value !== undefined) return Promise.resolve({ value, done: false });
    return this.#wait();
  }

  /** Leaves the loop: only this iterator ends, and it takes no message with it. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.#done = true;
    this.#leaving.abort(new DOMException("The loop was left", "AbortError"));
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #wait(): Promise<IteratorResult<T, undefined>> {
    const signal = this.#signal;
    const leave = () => void this.return();
    signal?.addEventListener("abort", leave, { once: true }); // only while it waits: a loop may be left without a word
    try {
      return { value: await this.#asking.ask(this.#leaving.signal), done: false };
    } catch (error) {
      const finished = this.#done || isEnd(error);
      this.#done = true;
      if (finished) return { value: undefined, done: true };
      throw error;
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }
}

/** What a stream asks: to be given a message at the moment it is taken, or not at all. */
export interface AskingInto<T> {
  take(): T | undefined;
  askInto(give: (value: T) => void, refuse: (reason: unknown) => void, signal: AbortSignal): void;
}

/** A stream of messages that reads one only when it is pulled. Cancelling it takes nothing with it. */
export function readableOf(asking: AskingInto<Message>): ReadableStream<Message> {
  const leaving = new AbortController();
  return new ReadableStream<Message>({
    pull(controller): Promise<void> | void {
      const message = asking.take();
      if (message !== undefined) return controller.enqueue(message);
      return new Promise((resolve) => {
        const give = (next: Message) => {
          controller.enqueue(next); // now, since the stream may be cancelled before a promise is heard
          resolve();
        };
        const refuse = (error: unknown) => {
          resolve();
          if (leaving.signal.aborted) return; // a cancelled stream is closed already
          if (isEnd(error)) controller.close();
          else controller.error(error);
        };
        asking.askInto(give, refuse, leaving.signal);
      });
    },
    cancel: () => leaving.abort(new DOMException("The stream was cancelled", "AbortError")),
  }, { highWaterMark: 0 });
}

function isEnd(error: unknown): boolean {
  return error instanceof StreamerError && error.code === "CONSUMER_ENDED";
}
