// The options of `process` and the types of handlers and outputs. Options are checked once, at the edge.

import type { Message } from "../model/message.ts";
import { checkNames, checkNumber, checkOneOf, checkSignal, invalidOption } from "../model/options.ts";
import type { Payload, SendOptions } from "../producer/options.ts";
import type { Producer } from "../producer/producer.ts";
import { DEFAULT_RETRY_DELAY, type RetryDelay } from "./retry_delay.ts";

/**
 * A message that a handler returns to be sent.
 *
 * @category Processing
 */
export interface OutputMessage<T = Payload> {
  /**
   * Text, which is sent as UTF-8, or bytes. For a producer with a codec, its value. The bytes are copied when the handler
   * returns.
   */
  readonly payload: T;
  /** The key by which a sharder chooses the shard. */
  readonly key?: SendOptions["key"];
  /** Further fields of the entry. The `headers` of the handled message are accepted too. */
  readonly headers?: SendOptions["headers"];
  /** The time that the first half of the id contains. */
  readonly timestamp?: SendOptions["timestamp"];
}

/**
 * The result of a handler: nothing, one message, or an array of messages, which are sent in this order.
 *
 * Text and bytes can be returned as they are. Other values for a producer with a codec are returned as `{ payload: value }`.
 *
 * @category Processing
 */
export type Output<T = Payload> = OneOutput<T> | readonly OneOutput<T>[];

/**
 * One message of a handler's result, or nothing.
 *
 * @category Processing
 */
export type OneOutput<T = Payload> = void | Extract<T, Payload> | OutputMessage<T>;

/**
 * The second argument of a handler.
 *
 * @category Processing
 */
export interface ProcessContext {
  /** Is aborted when the `signal` of `process` is, with the same reason. A handler can use it to return early. */
  readonly signal: AbortSignal;
}

/**
 * Handles one message and returns the messages to send.
 *
 * The message has failed if the handler throws or rejects. A handler that returns no promise is the fastest.
 *
 * @category Processing
 */
export type ProcessHandler<M extends Message = Message, T = Payload> = (
  message: M,
  context: ProcessContext,
) => Output<T> | Promise<Output<T>>;

/**
 * Which messages are handled one at a time, in their order.
 *
 * - `"shard"`: the messages of each shard.
 * - `{ header: name }`: the messages with the same value of that header, in any shard. Messages without the header wait for
 *   no other message.
 * - `"none"`: no message waits for another.
 *
 * @category Processing
 */
export type ProcessOrder = "shard" | "none" | { readonly header: string };

/**
 * How often `process` stores the outputs of a message. See {@linkcode ProcessOptions.delivery}.
 *
 * @category Processing
 */
export type ProcessDelivery = "at-least-once" | "exactly-once";

/**
 * The producer that sends what handlers return, as far as `process` uses it.
 *
 * @category Processing
 */
export type ProcessOutlet<T = Payload> =
  & Pick<Producer<T>, "streamKey" | "send" | "desiredSize" | "ready">
  & Partial<Pick<Producer<T>, "encodes">>;

/**
 * Options of `process`, for a producer of values of type `T` and a consumer of messages of type `M`. Times are in
 * milliseconds.
 *
 * @category Processing
 */
export interface ProcessOptions<T = Payload, M extends Message = Message> {
  /**
   * How often the outputs of a message are stored.
   *
   * - `"at-least-once"`: the producer sends the outputs, then the message is acked. After a crash between the two, the outputs are
   *   stored again.
   * - `"exactly-once"`: a script stores the outputs and acks the message in one step of the server, and only if the message is still
   *   pending. It requires a producer and a consumer of the same streamer, or of streamers with the same URL, and in a cluster an
   *   output stream in the slot of the input stream, as `{tag}:in` and `{tag}:out`. The producer's own `delivery` and `sendTimeout` do not matter.
   *
   * @default {"at-least-once"}
   */
  readonly delivery?: ProcessDelivery;
  /**
   * The most handlers that run at a time. At most twice as many further messages are taken, and wait for their turn.
   * @default {16}
   */
  readonly concurrency?: number;
  /**
   * Which messages are handled one at a time, in their order. The consumers of a load-balanced group share their shards, and
   * no consumer can promise an order. So the default is `"none"` there.
   * @default {load-balanced: "none"; else, and for a program's own consumer: "shard"}
   */
  readonly orderBy?: ProcessOrder;
  /**
   * The time after which a failed message is delivered again, or a function that returns it, such as
   * {@linkcode exponentialDelay}. If the function throws, or returns no number of at least 0, the delay is 1,000 ms, and
   * `onError` is called once more with that error.
   * @default {1000}
   */
  readonly retryDelay?: number | RetryDelay<M>;
  /**
   * Called when a message has failed, after it was nacked. An error that it throws is ignored. It may call
   * `consumer.term(message)`, so that the message is not delivered again.
   * @default {undefined}
   */
  onError?(error: unknown, message: M): void;
  /**
   * The producer of what handlers return. It has a stream of its own (`createProducer` or `anchor`), and is not ended. Without
   * a producer, a message fails if its handler returns something.
   * @default {undefined}
   */
  readonly producer?: ProcessOutlet<T>;
  /** Stops the processing: no further handler starts, those that run finish, and the call resolves. @default {undefined} */
  readonly signal?: AbortSignal;
}

/**
 * The result of `process`: how many messages it has processed.
 *
 * @category Processing
 */
export interface ProcessCounts {
  /** Messages that were handled and acked. Their outputs are stored. */
  readonly handled: number;
  /** Failures. A message that fails twice and then succeeds counts twice here, and once as handled. */
  readonly failed: number;
  /**
   * With `delivery: "exactly-once"`, handled messages whose outputs had been stored before: by another consumer, or by a call whose
   * answer was lost. Their outputs were discarded. They are no part of `handled`.
   */
  readonly repeated: number;
}

/** The options with every default filled in. */
export interface ProcessSettings {
  readonly delivery: ProcessDelivery;
  readonly concurrency: number;
  readonly orderBy: ProcessOrder;
  readonly retryDelay: number | RetryDelay;
  readonly onError: ProcessOptions["onError"];
  readonly producer: ProcessOptions["producer"];
  readonly signal: AbortSignal | undefined;
}

const NAMES = ["delivery", "concurrency", "orderBy", "retryDelay", "onError", "producer", "signal"];

/** The options whose defaults depend on the consumer. */
export interface ProcessDefaults {
  readonly orderBy: ProcessOrder;
}

/** Checks options and fills in defaults. */
export function processSettings<T, M extends Message>(
  options: ProcessOptions<T, M>,
  defaults: ProcessDefaults,
): ProcessSettings {
  checkNames("process options", options, NAMES);
  const { onError } = options;
  if (onError !== undefined && typeof onError !== "function") throw invalidOption("onError", onError, "a function");
  return {
    delivery: checkOneOf("delivery", options.delivery, "at-least-once", ["at-least-once", "exactly-once"]),
    concurrency: checkNumber("concurrency", options.concurrency, 16, { min: 1, integer: true }),
    orderBy: checkOrder(options.orderBy === undefined ? defaults.orderBy : options.orderBy),
    retryDelay: checkRetryDelay(options.retryDelay),
    onError,
    producer: options.producer === undefined ? undefined : checkProducer(options.producer),
    signal: checkSignal(options.signal),
  };
}

/** Refuses what is not a function. The types ensure that it fits the messages and values. */
export function checkHandler(handler: unknown): ProcessHandler {
  if (!isHandler(handler)) throw invalidOption("handler", handler, "a function");
  return handler;
}

function isHandler(handler: unknown): handler is ProcessHandler {
  return typeof handler === "function";
}

function checkRetryDelay(retryDelay: unknown): number | RetryDelay {
  if (isRetryDelay(retryDelay)) return retryDelay;
  if (retryDelay === undefined) return DEFAULT_RETRY_DELAY;
  if (typeof retryDelay === "number" && retryDelay >= 0) return retryDelay;
  throw invalidOption("retryDelay", retryDelay, "a number of at least 0, or a function that returns one");
}

function isRetryDelay(retryDelay: unknown): retryDelay is RetryDelay {
  return typeof retryDelay === "function";
}

function checkOrder(order: ProcessOrder): ProcessOrder {
  if (order === "shard" || order === "none") return order;
  if (typeof order !== "object" || order === null || typeof order.header !== "string") {
    throw invalidOption("orderBy", order, `"shard" or "none" or { header: <name> }`);
  }
  checkNames("orderBy options", order, ["header"]);
  return { header: order.header }; // a copy: later changes have no effect
}

function checkProducer(producer: unknown): ProcessOutlet {
  if (!isOutlet(producer)) throw invalidOption("producer", producer, "a producer with a stream of its own");
  return producer;
}

function isOutlet(producer: unknown): producer is ProcessOutlet {
  if (typeof producer !== "object" || producer === null) return false;
  // A producer without a stream of its own throws NOT_ANCHORED here.
  const { send, streamKey }: Partial<ProcessOutlet> = producer;
  return typeof send === "function" && typeof streamKey === "string";
}
