// What `process` is given and gives: its port to a consumer, handlers, outputs, options, checked once, at the edge. It must
// not know how messages are handled.

import { StreamerError } from "../resp/errors.ts";
import { shown } from "./model/id.ts";
import type { Message } from "./model/message.ts";
import { checkNames, checkNumber, invalidOption } from "./model/options.ts";
import type { Payload, SendOptions } from "./producer/options.ts";
import type { Producer } from "./producer/producer.ts";

/** What can be processed: a consumer whose messages are acknowledged by `ack`. */
export interface ProcessableConsumer<M extends Message = Message> {
  /**
   * Iterates over what is there. Leaving it (`return()`) ends the waiting of a `next()` that has not been answered, which
   * then takes nothing.
   */
  batches(options?: { readonly max?: number }): AsyncIterableIterator<M[]>;
  /** Marks a message as done. */
  ack(message: Message): void;
  /** Has a message delivered again, after `delay` milliseconds. */
  nack(message: Message, options?: { readonly delay?: number }): void;
}

/** What consumers with `ack` have beside what their users see. */
export interface AckedConsumer extends ProcessableConsumer {
  /** When what was acked is sent: by itself, or when it is told to. */
  readonly autoCommit: "rolling" | "disabled";
  /** Sends what was acked; resolves when the server has said so. */
  flushAcks(): Promise<void>;
  /** Takes a message back that no handler has seen: it comes again, and that counts as no delivery. */
  putBack(message: Message): void;
  /** Whether nothing is acked any more. */
  readonly isEnded: boolean;
}

/** A message to be sent for one that was handled, by a producer of values of type `T`. */
export interface OutputMessage<T = Payload> {
  /**
   * Text, sent as UTF-8, or bytes, which are taken when the handler has returned; for a producer with a codec, its value.
   */
  readonly payload: T;
  /** By which a sharder may choose the shard. */
  readonly key?: SendOptions["key"];
  /** Further fields of the entry; the `headers` of the message that is handled will do. */
  readonly headers?: SendOptions["headers"];
  /** What the first half of the id holds. */
  readonly timestamp?: SendOptions["timestamp"];
}

/**
 * What a handler returns: nothing, a message, or several, which are sent in their order. Values for a producer with a codec
 * are given as `{ payload }`, unless they are texts or bytes.
 */
export type Output<T = Payload> = OneOutput<T> | readonly OneOutput<T>[];

/** One of what a handler returns. */
export type OneOutput<T = Payload> = void | Extract<T, Payload> | OutputMessage<T>;

/** What a handler is told beside the message. */
export interface ProcessContext {
  /** Is aborted, with the same reason, when the signal given to `process` is: the handler may finish early. */
  readonly signal: AbortSignal;
}

/**
 * Handles one message. It has failed if it throws; else what it returns is sent. One that returns no promise is the
 * fastest.
 */
export type ProcessHandler<M extends Message = Message, T = Payload> = (
  message: M,
  context: ProcessContext,
) => Output<T> | Promise<Output<T>>;

/**
 * Which messages wait for one another: those of one shard; none; or those with the same value of a header, in whichever
 * shard they stand. Those without that header wait for none.
 */
export type ProcessOrder = "shard" | "none" | { readonly header: string };

/** Where outputs are sent: a producer, as far as `process` uses it. */
export type ProcessOutlet<T = Payload> =
  & Pick<Producer<T>, "streamKey" | "send" | "desiredSize" | "ready">
  & Partial<Pick<Producer<T>, "encodes">>;

/** Options of `process` with a producer of values of type `T` and a consumer of messages of type `M`. Times are in milliseconds. */
export interface ProcessOptions<T = Payload, M extends Message = Message> {
  /**
   * Most handlers at a time. At most twice as many messages are taken and not started, because they wait for one that
   * they come after. @default {16}
   */
  readonly concurrency?: number;
  /** Which messages are handled one at a time, in their order. @default {"shard"} */
  readonly orderBy?: ProcessOrder;
  /** Time after which a message that has failed is delivered again. @default {1000} */
  readonly retryDelay?: number;
  /** Is told why a message has failed, after it was given back. What it throws harms nothing. @default {undefined} */
  onError?(error: unknown, message: M): void;
  /** Where outputs are sent: a producer that is anchored. It is not ended. Without one, an output is a failure. @default {undefined} */
  readonly producer?: ProcessOutlet<T>;
  /** Ends the processing in good order: the call resolves. @default {undefined} */
  readonly signal?: AbortSignal;
}

/** How many messages were processed. */
export interface ProcessCounts {
  /** Handled, their outputs stored, and acked. */
  readonly handled: number;
  /** Given back. One that fails twice counts twice, and once more as handled if it succeeds in the end. */
  readonly failed: number;
}

/** The same with every default filled in. */
export interface ProcessSettings {
  readonly concurrency: number;
  readonly orderBy: ProcessOrder;
  readonly retryDelay: number;
  readonly onError: ProcessOptions["onError"];
  readonly producer: ProcessOptions["producer"];
  readonly signal: AbortSignal | undefined;
}

const NAMES = ["concurrency", "orderBy", "retryDelay", "onError", "producer", "signal"];

/** Checks options and fills in defaults. */
export function processSettings<T, M extends Message>(options: ProcessOptions<T, M>): ProcessSettings {
  checkNames("process options", options, NAMES);
  const { onError, signal } = options;
  if (onError !== undefined && typeof onError !== "function") throw invalidOption("onError", onError, "a function");
  return {
    concurrency: checkNumber("concurrency", options.concurrency, 16, { min: 1, integer: true }),
    orderBy: checkOrder(options.orderBy),
    retryDelay: checkNumber("retryDelay", options.retryDelay, 1_000, { min: 0 }),
    onError,
    producer: options.producer === undefined ? undefined : checkProducer(options.producer),
    signal,
  };
}

/** Refuses a consumer whose messages cannot be acked one by one, also where the types have been talked out of it. */
export function checkProcessable(consumer: ProcessableConsumer): AckedConsumer {
  if (isAcked(consumer)) return consumer;
  const { autoCommit }: Partial<AckedConsumer> = consumer ?? {};
  throw new StreamerError(
    "INVALID_OPTION",
    `Cannot process a consumer as its autoCommit must be "rolling" or "disabled": current value is ${
      shown(autoCommit)
    }`,
  );
}

function isAcked(consumer: ProcessableConsumer): consumer is AckedConsumer {
  const { ack, nack, flushAcks, autoCommit }: Partial<AckedConsumer> = consumer ?? {};
  const able = [ack, nack, flushAcks].every((method) => typeof method === "function");
  return able && (autoCommit === "rolling" || autoCommit === "disabled");
}

/** Refuses what cannot be called. Of which messages and values it is, its types have said. */
export function checkHandler(handler: unknown): ProcessHandler {
  if (!isHandler(handler)) throw invalidOption("handler", handler, "a function");
  return handler;
}

function isHandler(handler: unknown): handler is ProcessHandler {
  return typeof handler === "function";
}

function checkOrder(order: ProcessOrder = "shard"): ProcessOrder {
  if (order === "shard" || order === "none") return order;
  if (typeof order !== "object" || order === null || typeof order.header !== "string") {
    throw invalidOption("orderBy", order, `"shard" or "none" or { header: <its name> }`);
  }
  checkNames("orderBy options", order, ["header"]);
  return { header: order.header }; // as it is now
}

function checkProducer(producer: unknown): ProcessOutlet {
  if (!isOutlet(producer)) throw invalidOption("producer", producer, "a producer that is anchored");
  return producer;
}

function isOutlet(producer: unknown): producer is ProcessOutlet {
  if (typeof producer !== "object" || producer === null) return false;
  // Asked for its stream, a producer that has none throws NOT_ANCHORED.
  const { send, streamKey }: Partial<ProcessOutlet> = producer;
  return typeof send === "function" && typeof streamKey === "string";
}
