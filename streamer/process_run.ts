// One run of `process`: takes messages, starts handlers, sends, acks, commits, and ends in good order. It must not know
// what options mean to a user.

import { StreamerError } from "../resp/errors.ts";
import type { Message } from "./model/message.ts";
import type {
  AckedConsumer,
  Output,
  ProcessContext,
  ProcessCounts,
  ProcessHandler,
  ProcessSettings,
} from "./process_options.ts";
import { type Task, Turns } from "./process_order.ts";
import { sendOutput } from "./process_output.ts";
import { ReceiptWatch } from "./process_receipts.ts";

/**
 * Most messages whose handlers have returned and whose receipts are outstanding. A round trip of 40 ms allows 100,000
 * messages a second with it; and no more than these are sent again if the process dies.
 */
const MAX_SETTLING = 4_096;

/** What one run is made of. */
export interface ProcessParts {
  readonly consumer: AckedConsumer;
  readonly handler: ProcessHandler;
  readonly settings: ProcessSettings;
}

/** Processes until it is told to stop, or the consumer ends or fails. */
export class ProcessRun {
  readonly #consumer: AckedConsumer;
  readonly #handler: ProcessHandler;
  readonly #settings: ProcessSettings;
  readonly #turns: Turns;
  readonly #receipts: ReceiptWatch;
  readonly #batches: AsyncIterator<Message[]>;
  readonly #aborting = new AbortController();
  readonly #context: ProcessContext = Object.freeze({ signal: this.#aborting.signal });
  readonly #over = Promise.withResolvers<void>();
  #handled = 0;
  #failed = 0;
  #running = 0; // handlers that have not returned
  #reading = false;
  #full = false; // the producer has no room
  #acked = false; // something was, since the last commit began
  #committing = false;
  #stopped = false;
  #failure: { readonly error: unknown } | undefined;

  constructor({ consumer, handler, settings }: ProcessParts) {
    this.#consumer = consumer;
    this.#handler = handler;
    this.#settings = settings;
    this.#turns = new Turns(settings.orderBy);
    this.#receipts = new ReceiptWatch({
      settled: (task, failure) => failure === undefined ? this.#ack(task) : this.#giveBack(task, failure.error),
      told: () => this.#pump(),
    });
    this.#batches = consumer.batches({ max: settings.concurrency });
  }

  /** Runs to the end. */
  async run(): Promise<ProcessCounts> {
    const { signal } = this.#settings;
    const abort = () => this.#abort(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      if (signal?.aborted) abort();
      else this.#pump();
      await this.#over.promise;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
    try {
      await this.#flush();
    } catch (error) {
      this.#fails(error);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    return { handled: this.#handled, failed: this.#failed };
  }

  /** Starts what can be started, then does what follows from it. */
  #pump(): void {
    while (this.#canStart()) {
      const task = this.#turns.take();
      if (task === undefined) break;
      this.#start(task);
    }
    this.#receipts.watch();
    this.#commit();
    this.#read();
    const busy = this.#reading || this.#committing || this.#running > 0 || this.#receipts.count > 0;
    if (this.#stopped && !busy) this.#over.resolve();
  }

  #canStart(): boolean {
    const { concurrency, producer } = this.#settings;
    if (this.#stopped || this.#full || this.#running >= concurrency || this.#receipts.count >= MAX_SETTLING) {
      return false;
    }
    if (producer === undefined || producer.desiredSize > 0) return true;
    this.#full = true;
    const drained = () => {
      this.#full = false;
      this.#pump();
    };
    producer.ready.then(drained, drained);
    return false;
  }

  /**
   * Takes more only when a handler could start at once: what waits then waits for its turn alone. As long as no more than
   * `concurrency` do, those of other lines are looked for behind them, so that twice as many are the most.
   */
  #read(): void {
    if (this.#reading || this.#turns.waiting > this.#settings.concurrency || !this.#canStart()) return;
    this.#reading = true;
    this.#batches.next().then((result) => {
      this.#reading = false;
      if (result.done) this.#stop();
      else for (const message of result.value) this.#turns.add(message);
      if (this.#stopped) this.#release(); // answered at the moment of the abort
      this.#pump();
    }, (error) => {
      this.#reading = false;
      this.#fails(error);
      this.#pump();
    });
  }

  #start(task: Task): void {
    this.#running++;
    try {
      const returned = this.#handler(task.message, this.#context);
      if (!isPromise(returned)) return this.#returned(task, returned); // without waiting for a promise: this is the fast way
      Promise.resolve(returned).then((output) => {
        this.#returned(task, output);
        this.#pump();
      }, (error) => {
        this.#threw(task, error);
        this.#pump();
      });
    } catch (error) {
      this.#threw(task, error);
    }
  }

  #threw(task: Task, error: unknown): void {
    this.#running--;
    this.#turns.done(task);
    this.#giveBack(task, error);
  }

  /** The next in line may start now: the producer keeps the order in which outputs are sent. */
  #returned(task: Task, output: Output): void {
    this.#running--;
    try {
      task.receipts = sendOutput(this.#settings.producer, output);
    } catch (error) {
      this.#turns.done(task);
      return this.#giveBack(task, error);
    }
    this.#turns.done(task);
    if (task.receipts.length === 0) this.#ack(task);
    else this.#receipts.add(task);
  }

  #ack({ message }: Task): void {
    try {
      if (this.#consumer.isEnded) throw ended();
      this.#consumer.ack(message);
      this.#handled++;
      this.#acked = true;
    } catch (error) { // its shard was unassigned, or the consumer has ended: whoever gets it next handles it again
      this.#failed++;
      this.#tell(error, message);
    }
  }

  #giveBack({ message }: Task, error: unknown): void {
    this.#failed++;
    this.#nack(message, this.#settings.retryDelay);
    this.#tell(error, message); // after that, so that it may still have the message put aside
  }

  #nack(message: Message, delay: number): void {
    try {
      this.#consumer.nack(message, { delay });
    } catch (error) {
      // After the end it stays pending in any case; what was read without the group is pending nowhere, and comes no more.
      if (!isEnd(error) && !isUnsupported(error)) this.#tell(error, message);
    }
  }

  #tell(error: unknown, message: Message): void {
    try {
      const result: unknown = this.#settings.onError?.(error, message);
      if (result instanceof Promise) result.catch(() => {});
    } catch {
      // Its own affair.
    }
  }

  /** One commit at a time, of all that has been acked meanwhile. */
  #commit(): void {
    if (!this.#acked || this.#committing || this.#stopped || this.#consumer.autoCommit !== "disabled") return;
    this.#acked = false;
    this.#committing = true;
    const done = () => {
      this.#committing = false;
      this.#pump();
    };
    this.#flush().catch((error) => this.#fails(error)).then(done);
  }

  async #flush(): Promise<void> {
    await this.#consumer.flushAcks();
  }

  /** The consumer has ended, which is no failure, or failed, which is told when all is done. */
  #fails(error: unknown): void {
    if (!isEnd(error)) this.#failure ??= { error };
    this.#stop();
  }

  #abort(reason: unknown): void {
    this.#stop();
    this.#aborting.abort(reason);
    this.#pump();
  }

  #stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#batches.return?.().catch(() => {});
    this.#release();
  }

  /** What has not been started is to be delivered again. */
  #release(): void {
    for (const message of this.#turns.drain()) this.#consumer.putBack(message);
  }
}

function isPromise(returned: Output | Promise<Output>): returned is Promise<Output> {
  return typeof returned === "object" && returned !== null && "then" in returned && typeof returned.then === "function";
}

function ended(): StreamerError {
  return new StreamerError("CONSUMER_ENDED", "Cannot ack as the consumer has ended");
}

function isUnsupported(error: unknown): boolean {
  return error instanceof StreamerError && error.code === "UNSUPPORTED";
}

function isEnd(error: unknown): boolean {
  return error instanceof StreamerError && error.code === "CONSUMER_ENDED";
}
