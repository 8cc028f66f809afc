// What `process` needs of a consumer: the public part, which a program can implement itself, and what this library's own
// consumers have in addition.

import type { Message } from "../model/message.ts";
import { invalidOption } from "../model/options.ts";

/**
 * A consumer whose messages `process` can handle: each message is acknowledged by `ack`.
 *
 * Consumers with `autoCommit: "rolling"` or `"disabled"` are such consumers. A program can also pass an object of its own
 * with these methods, for example in a test, or around a consumer. `process` uses nothing else of it.
 *
 * @category Processing
 */
export interface ProcessableConsumer<M extends Message = Message> {
  /**
   * Iterates over the messages in arrays of at most `max`. `process` waits for each `next()` before it calls the following
   * one. To stop, it aborts `signal` and calls `return()`, if there is one. It does not wait for a pending `next()`: messages that
   * arrive later are nacked. When the iteration finishes, `process` handles the messages that it has taken, and resolves.
   */
  batches(options?: { readonly max?: number; readonly signal?: AbortSignal }): AsyncIterable<M[]>;
  /** Acknowledges a message that was handled. */
  ack(message: Message): void;
  /** Asks for a message to be delivered again, after `delay` milliseconds. @default {0 ms} */
  nack(message: Message, options?: { readonly delay?: number }): void;
  /**
   * Sends acknowledgements; resolves when the server has confirmed them. If there is such a method, `process` calls it after
   * acknowledgements, once at a time, and before it resolves. If it rejects, `process` rejects.
   */
  commit?(): Promise<void>;
}

/** What `process` needs of a consumer. */
export interface AckedConsumer extends Omit<ProcessableConsumer, "commit"> {
  /** When acknowledgements are sent: by the consumer itself, or by {@linkcode flushAcks}. */
  readonly autoCommit: "rolling" | "disabled";
  /** Whether other consumers get messages of the same shards, so that the messages of a shard have no order. */
  readonly sharesShards?: boolean;
  /** Whether it is a program's own consumer, whose pending `next()` may never end. */
  readonly isForeign?: boolean;
  /** Whether nothing is delivered any more: the consumer drains, has ended, or has failed. */
  readonly isOver?: boolean;
  /** Whether acknowledgements are not sent any more. */
  readonly isEnded?: boolean;
  /** Sends acknowledgements; resolves when the server has confirmed them. */
  flushAcks(): Promise<void>;
  /** Takes back a message that no handler has seen: it is delivered again, and this delivery does not count. */
  putBack(message: Message): void;
  /** A message waits for its turn: it counts as prefetched until `begin`. */
  postpone?(message: Message): void;
  /**
   * It is the turn of a postponed message. Returns whether it can still be handled, or a promise if that has to be verified
   * first: then call again.
   */
  begin?(message: Message): boolean | Promise<void>;
  /** Notes the text of the error with which a message has failed; call before `nack`. */
  noteFailure?(message: Message, text: string): void;
  /** Adds a list of messages that handlers work on, which are not delivered again. The returned function removes it. */
  attend?(worker: () => Iterable<Message>): () => void;
}

/**
 * Returns what `process` needs of a consumer. Refuses consumers whose messages cannot be acknowledged one by one, also if the
 * types were bypassed.
 *
 * @throws {StreamerError} `INVALID_OPTION`
 */
export function checkProcessable(consumer: ProcessableConsumer): AckedConsumer {
  if (typeof consumer !== "object" || consumer === null) throw invalidOption("consumer", consumer, "a consumer");
  const { autoCommit }: Partial<AckedConsumer> = consumer;
  if (autoCommit !== undefined && autoCommit !== "rolling" && autoCommit !== "disabled") {
    throw invalidOption("autoCommit", autoCommit, `"rolling" or "disabled"`);
  }
  for (const method of ["batches", "ack", "nack"] as const) {
    if (typeof consumer[method] !== "function") {
      throw invalidOption("consumer", consumer, `a consumer with ${method}()`);
    }
  }
  return isOwn(consumer) ? consumer : adapted(consumer);
}

/** Whether a consumer is one of this library. */
function isOwn(consumer: ProcessableConsumer): consumer is AckedConsumer {
  const { flushAcks, putBack, autoCommit }: Partial<AckedConsumer> = consumer;
  return typeof flushAcks === "function" && typeof putBack === "function" && autoCommit !== undefined;
}

/** A program's own consumer as `process` needs it. */
function adapted(consumer: ProcessableConsumer): AckedConsumer {
  const commits = typeof consumer.commit === "function";
  return {
    autoCommit: commits ? "disabled" : "rolling",
    isForeign: true,
    batches: (options) => consumer.batches(options),
    ack: (message) => consumer.ack(message),
    nack: (message, options) => consumer.nack(message, options),
    putBack: (message) => consumer.nack(message, { delay: 0 }),
    flushAcks: async () => {
      if (commits) await consumer.commit?.();
    },
  };
}
