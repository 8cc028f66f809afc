// The public `process`: reads, handles, sends and acknowledges messages, all at the same time.

import type { Message } from "../model/message.ts";
import { checkFor } from "../model/option_error.ts";
import { checkProcessable, type ProcessableConsumer } from "./consumer_port.ts";
import {
  checkHandler,
  type ProcessCounts,
  type ProcessHandler,
  type ProcessOptions,
  processSettings,
} from "./options.ts";
import { checkScripts, storeParts } from "./exactly_once.ts";
import { ProcessRun } from "./run.ts";
import type { Payload } from "../producer/options.ts";

/**
 * Reads, handles and writes messages at the same time, until the signal is aborted or the consumer ends.
 *
 * `process` and `processMessages` are the same function. Use the second name where a program also needs the runtime's
 * `process`.
 *
 * **Delivery.** A message is acked when its handler has returned and everything it returned is stored: at least once. If the
 * handler throws, or an output cannot be stored, the message is nacked with `retryDelay`, and `onError` is called. Later
 * messages are handled meanwhile, also those of the same shard. If some of several outputs were stored, the retry stores them
 * again. With `autoCommit: "disabled"`, `process` commits after acks, one commit at a time. A consumer that was moved by `seek`
 * or `rewind` reads without its group. If one of its messages fails, `onError` is called, and the message is not redelivered.
 *
 * **Exactly once.** With `delivery: "exactly-once"`, a script stores the outputs of a message and acks it in one step, if the message
 * is still pending. If another consumer, or a call whose answer was lost, has stored its outputs before, they are discarded, and the
 * message counts as `repeated`. If an output is refused, none of the message is stored. Temporary refusals of the server are retried
 * without a limit, until the consumer ends.
 *
 * **Dead letters.** A message that reaches the `maxDeliveries` of the consumer goes to its `deadLetter` stream. The header
 * `x-dead-letter-error` then has the text of the last error that `process` got for that message: control characters are
 * escaped, and it is cut at 512 characters. The header is missing if another consumer has failed last, or an earlier run of
 * this program.
 *
 * **Order.** `orderBy` says which messages are handled one at a time. A message starts when the handler of the one before it
 * has returned, and does not wait until its outputs are stored: the producer keeps their order. A failed message is
 * redelivered after later ones.
 *
 * **Bounds.** At most `concurrency` handlers run. At most twice as many messages are taken and wait for their turn, and at
 * most 4,096 wait for their outputs to be stored. Messages are taken only while a handler could start. So a slow shard delays
 * others only if more than `concurrency` of its messages come before theirs. No handler starts while the producer's
 * `desiredSize` is 0 or less.
 *
 * **Time.** A message that waits for its turn counts as prefetched: its lease is renewed, and `maxHold` starts with its
 * handler. After `maxHold`, another consumer may claim the message. It does not come back to this consumer while its handler
 * runs. A message that another consumer has claimed while it waited here is not handled.
 *
 * **End.** After the signal, no handler starts. Running handlers finish, their outputs are stored, and acks are committed.
 * Then the call resolves. Messages that were taken and not started are put back, which counts as no delivery. The call waits for
 * outputs as long as the producer's `sendTimeout` allows. Neither the consumer nor the producer is ended. When the consumer
 * starts to drain (`end({ drain })`), no handler starts either, and running ones are acked. If the consumer ends without a
 * drain, their acks fail, and others handle the messages again. If the consumer fails, the call rejects with its error.
 *
 * Source: none. It replaces the loop around `next`, `send` and `ack` in sea-streamer's relays and processors.
 *
 * @throws {StreamerError} `INVALID_OPTION`, also for a consumer whose messages are not acknowledged by `ack`.
 * @throws {StreamerError} `UNSUPPORTED` for exactly once with streams in different slots of a cluster, a producer with another URL, or a
 * server that refuses scripts.
 * @throws {StreamerError} `NOT_ANCHORED` for a producer without a stream of its own.
 * @throws The error of a consumer that fails, or of a commit.
 *
 * @example
 * ```ts
 * import { connect, exponentialDelay, processMessages } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * const orders = await streamer.createProducer("orders");
 * const consumer = await streamer.createConsumer("orders", { mode: "load-balanced", group: "billing", autoCommit: "disabled" });
 * for (const order of ["first", "second", "third"]) orders.send(order);
 *
 * const { handled, failed } = await processMessages(consumer, (message) => `invoice for the ${message.text()} order`, {
 *   producer: await streamer.createProducer("invoices"),
 *   retryDelay: exponentialDelay({ first: 1_000, max: 60_000 }),
 *   signal: AbortSignal.timeout(1_000), // a service uses a signal that SIGTERM aborts
 *   onError: (error, message) => console.error(message.id, error),
 * });
 * console.log(`${handled} handled, ${failed} failed`);
 * ```
 *
 * @category Processing
 */
export async function processMessages<M extends Message = Message, T = Payload>(
  consumer: ProcessableConsumer<M>,
  handler: ProcessHandler<M, NoInfer<T>>,
  options: ProcessOptions<T, NoInfer<M>> = {},
): Promise<ProcessCounts> {
  const parts = checkFor("process messages", () => {
    const acked = checkProcessable(consumer);
    const settings = processSettings(options, { orderBy: acked.sharesShards ? "none" : "shard" });
    const { delivery, producer } = settings;
    const store = delivery === "exactly-once" ? storeParts(consumer, producer) : undefined;
    return { consumer: acked, handler: checkHandler(handler), settings, store };
  });
  const { signal } = parts.settings;
  if (parts.store !== undefined && !signal?.aborted) {
    await checkScripts(parts.store, signal).catch(rethrowUnless(signal));
  }
  return await new ProcessRun(parts).run();
}

/** A signal that is aborted while the server is asked ends the run as it does later. */
function rethrowUnless(signal: AbortSignal | undefined): (error: unknown) => void {
  return (error) => {
    if (!signal?.aborted) throw error;
  };
}
