// The loop most programs are: read, handle, write, acknowledge, all at the same time. It must not know how that is done.

import type { Message } from "./model/message.ts";
import {
  checkHandler,
  checkProcessable,
  type ProcessableConsumer,
  type ProcessCounts,
  type ProcessHandler,
  type ProcessOptions,
  processSettings,
} from "./process_options.ts";
import { ProcessRun } from "./process_run.ts";
import type { Payload } from "./producer/options.ts";

/**
 * Reads, handles and writes at the same time, until the signal is aborted or the consumer ends.
 *
 * **Delivery.** A message is acked when its handler is done and everything that it returned is stored: at least once.
 * A handler that throws, or an output that is refused or lost, is a `nack` with `retryDelay`, told to `onError`; later
 * messages go on meanwhile, those of the same shard too. What a consumer reads without its group, since it was moved, cannot
 * be given back: it is told to `onError`, counts as failed, and does not come again. Of several outputs some may then be stored, and stand twice
 * in the end. With `autoCommit` `"disabled"` what is acked is committed as soon as it is, one commit at a time.
 *
 * **Order.** One handler at a time runs for each shard, or value of a header, in the order of the messages; with `"none"`
 * they start in that order and wait for none. The next one starts when the one before has returned, not when its outputs
 * are stored: they are sent in the order of the handlers, and a failed one comes again behind later ones.
 *
 * **Bounds.** At most `concurrency` handlers run, at most twice as many messages are taken and wait for their turn, and at
 * most 4,096 wait for their outputs to be stored. Messages are taken only while a handler could start, so that a slow
 * shard holds up others only when more than `concurrency` of its messages wait in front of theirs. No handler starts
 * while the producer's `desiredSize` is used up.
 *
 * **End.** On the signal no new handler starts, running ones finish, their outputs are sent, acks are committed, and it
 * resolves; what was taken and not started is given back, which counts as no delivery. It waits for receipts as long as the producer's
 * `sendTimeout` lets them. Neither consumer nor producer is ended. When the consumer ends it resolves likewise, but what is
 * acked after that fails; when the consumer fails, it rejects with that error.
 *
 * Source: none; it takes the place of the loop around `next`, `send` and `ack` in sea-streamer's relays and processors.
 *
 * @throws {StreamerError} `INVALID_OPTION`, also for a consumer without `ack`; `NOT_ANCHORED` for such a producer; what the
 * consumer fails with, or a commit.
 *
 * @example
 * ```ts no-eval
 * import { connect, process } from "@sea/streamer-redis";
 *
 * await using streamer = await connect("redis://localhost");
 * const consumer = await streamer.createConsumer("orders", { mode: "load-balanced", autoCommit: "rolling" });
 * const producer = await streamer.createProducer("invoices");
 * const { handled, failed } = await process(consumer, (message) => `invoice for ${message.text()}`, {
 *   producer,
 *   signal: AbortSignal.timeout(60_000),
 *   onError: (error, message) => console.error(message.id, error),
 * });
 * console.log(`${handled} handled, ${failed} failed`);
 * ```
 */
export async function processMessages<M extends Message = Message, T = Payload>(
  consumer: ProcessableConsumer<M>,
  handler: ProcessHandler<M, NoInfer<T>>,
  options: ProcessOptions<T, NoInfer<M>> = {},
): Promise<ProcessCounts> {
  const acked = checkProcessable(consumer);
  const checked = checkHandler(handler);
  const settings = processSettings(options);
  return await new ProcessRun({ consumer: acked, handler: checked, settings }).run();
}
