// One run of `process`: reads messages, starts handlers, stores their outputs, acks, commits, and stops gracefully.

import { StreamerError } from "../../resp/errors.ts";
import type { Message } from "../model/message.ts";
import type { AckedConsumer } from "./consumer_port.ts";
import { errorText } from "./error_text.ts";
import type { Output, ProcessContext, ProcessCounts, ProcessHandler, ProcessSettings } from "./options.ts";
import { KeyedScheduler, type Task } from "./keyed_scheduler.ts";
import type { Outlet, OutletOwner } from "./outlet.ts";
import { chooseDelay } from "./retry_delay.ts";
import { SentOutputs } from "./sent_outputs.ts";
import type { StoreParts } from "./exactly_once.ts";
import { StoredOutputs } from "./stored_outputs.ts";

/**
 * Most messages whose handlers have returned and whose outputs are not stored. With a round trip of 40 ms this allows
 * 100,000 messages a second. If the process crashes, at least once
 * stores the outputs of no more than these twice.
 */
const MAX_SETTLING = 4_096;

/** What one run works with. */
export interface ProcessParts {
  readonly consumer: AckedConsumer;
  readonly handler: ProcessHandler;
  readonly settings: ProcessSettings;
  /** What stores outputs exactly once. @default {the producer sends them, at least once} */
  readonly store?: StoreParts | undefined;
}

/** Processes messages until the signal is aborted, or the consumer ends or fails. */
export class ProcessRun {
  readonly #consumer: AckedConsumer;
  readonly #handler: ProcessHandler;
  readonly #settings: ProcessSettings;
  readonly #scheduler: KeyedScheduler;
  readonly #outputs: Outlet;
  readonly #batches: AsyncIterator<Message[]>;
  readonly #aborting = new AbortController();
  readonly #leaving = new AbortController(); // ends the reading
  readonly #context: ProcessContext = Object.freeze({ signal: this.#aborting.signal });
  readonly #over = Promise.withResolvers<void>();
  #handled = 0;
  #failed = 0;
  #repeated = 0;
  readonly #active: Task[] = []; // from the start of their handlers until they are acked or nacked, in no order
  #running = 0; // handlers that have not returned
  #verifying = false; // whether the consumer verifies a postponed message
  #reading = false;
  #exhausted = false; // whether a program's own consumer has no more messages
  #full = false; // whether outputs have to wait
  #acked = false; // whether a message was acked since the last commit began
  #committing = false;
  #stopped = false;
  #failure: { readonly error: unknown } | undefined;

  constructor({ consumer, handler, settings, store }: ProcessParts) {
    this.#consumer = consumer;
    this.#handler = handler;
    this.#settings = settings;
    this.#scheduler = new KeyedScheduler(settings.orderBy);
    const owner = this.#outletOwner();
    this.#outputs = store === undefined ? new SentOutputs(settings.producer, owner) : new StoredOutputs(store, owner);
    const { signal } = this.#leaving;
    this.#batches = consumer.batches({ max: settings.concurrency, signal })[Symbol.asyncIterator]();
  }

  /** Runs to the end. */
  async run(): Promise<ProcessCounts> {
    const { signal } = this.#settings;
    const abort = () => this.#abort(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    const leave = this.#consumer.attend?.(() => this.#active.map(({ message }) => message));
    try {
      if (signal?.aborted) abort();
      else this.#pump();
      await this.#over.promise;
    } finally {
      signal?.removeEventListener("abort", abort);
      leave?.();
    }
    try {
      await this.#flush();
    } catch (error) {
      this.#fails(error);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    return { handled: this.#handled, failed: this.#failed, repeated: this.#repeated };
  }

  #outletOwner(): OutletOwner {
    return {
      stored: (task) => this.#ack(task),
      acknowledged: (task, repeated) => this.#acknowledged(task, repeated),
      failed: (task, error) => this.#nackFailed(task, error),
      fatal: (task, error) => this.#fatal(task, error),
      pause: () => this.#pump(),
    };
  }

  /** Starts handlers, as many as can start, then watches receipts, commits and reads. */
  #pump(): void {
    while (!this.#isOver && this.#canStart()) {
      const task = this.#scheduler.peek();
      if (task === undefined || (task.waited && !this.#mayBegin(task))) break;
      this.#scheduler.take();
      if (task.dropped) this.#scheduler.done(task);
      else this.#start(task);
    }
    this.#outputs.watch();
    this.#commit();
    this.#read();
    const busy = this.#reading || this.#committing || this.#running > 0 || this.#outputs.count > 0;
    const done = this.#stopped || (this.#exhausted && this.#scheduler.waiting === 0);
    if (done && !busy) this.#over.resolve();
  }

  /** Whether a postponed task can be taken now. It is dropped then if its message was lost or released while it waited. */
  #mayBegin(task: Task): boolean {
    const may = this.#consumer.begin?.(task.message) ?? true;
    if (typeof may === "boolean") {
      task.dropped = !may;
      return true;
    }
    this.#verifying = true;
    const verified = () => {
      this.#verifying = false;
      this.#pump();
    };
    may.then(verified, verified);
    return false;
  }

  /** Whether the consumer delivers nothing any more, so that nothing else is started. */
  get #isOver(): boolean {
    return this.#consumer.isOver ?? false;
  }

  #canStart(): boolean {
    const { concurrency } = this.#settings;
    if (
      this.#verifying || this.#stopped || this.#full || this.#running >= concurrency ||
      this.#outputs.count >= MAX_SETTLING
    ) {
      return false;
    }
    if (!this.#outputs.isFull) return true;
    this.#full = true;
    const drained = () => {
      this.#full = false;
      this.#pump();
    };
    this.#outputs.ready.then(drained, drained);
    return false;
  }

  /**
   * Reads only when a handler could start at once: the messages that wait then wait for their turn alone. While no more than
   * `concurrency` messages wait, it looks for messages of other keys after them; so at most twice as many wait. Once the
   * consumer is over, it reads to learn why.
   */
  #read(): void {
    if (this.#reading || this.#stopped || this.#exhausted) return;
    if (!this.#isOver && (this.#scheduler.waiting > this.#settings.concurrency || !this.#canStart())) return;
    this.#reading = true;
    const failed = (error: unknown) => {
      this.#reading = false;
      this.#fails(error);
      this.#pump();
    };
    const arrived = (result: IteratorResult<Message[]>) => {
      this.#reading = false;
      try {
        this.#take(result);
      } catch (error) { // a program's own consumer has returned something else than arrays of messages
        failed(error);
      }
    };
    this.#next().then(arrived, failed);
  }

  /** An iterator that throws is like one that rejects. */
  #next(): Promise<IteratorResult<Message[]>> {
    try {
      return this.#batches.next();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #take(result: IteratorResult<Message[]>): void {
    if (result.done && this.#isOver) this.#stop();
    else if (result.done) this.#exhausted = true;
    const tasks = result.done ? [] : result.value.map((message) => this.#scheduler.add(message));
    if (this.#stopped) this.#putBack(); // messages that arrived just when it stopped
    this.#pump();
    if (!this.#stopped) this.#postpone(tasks);
  }

  /** Postpones the tasks that could not be started. */
  #postpone(tasks: readonly Task[]): void {
    for (const task of tasks) {
      if (task.started) continue;
      task.waited = true;
      this.#consumer.postpone?.(task.message);
    }
  }

  #start(task: Task): void {
    this.#running++;
    task.started = true;
    task.slot = this.#active.push(task) - 1;
    try {
      const returned = this.#handler(task.message, this.#context);
      if (!isPromise(returned)) return this.#returned(task, returned); // without waiting for a promise: the fast path
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
    this.#scheduler.done(task);
    this.#nackFailed(task, error);
  }

  /** The next message of the key may start after this: outputs are stored in the order in which they are taken. */
  #returned(task: Task, output: Output): void {
    this.#running--;
    this.#scheduler.done(task);
    try {
      this.#outputs.take(task, output);
    } catch (error) {
      this.#nackFailed(task, error);
    }
  }

  /** Removes a task from the active ones: the last one takes its place. */
  #leave(task: Task): void {
    const last = this.#active.pop();
    if (last === undefined || last === task) return;
    this.#active[task.slot] = last;
    last.slot = task.slot;
  }

  #ack(task: Task): void {
    const { message } = task;
    this.#leave(task);
    try {
      if (this.#consumer.isEnded) throw ended();
      this.#consumer.ack(message);
      this.#handled++;
      this.#acked = true;
    } catch (error) { // its shard was unassigned, or the consumer has ended: another consumer handles it again
      this.#failed++;
      this.#report(error, message);
    }
  }

  #acknowledged(task: Task, repeated: boolean): void {
    this.#leave(task);
    if (repeated) this.#repeated++;
    else this.#handled++;
  }

  /** No output can be stored, which is not the fault of this message. */
  #fatal(task: Task, error: unknown): void {
    this.#leave(task);
    this.#fails(error);
    this.#putBackOne(task.message);
  }

  #nackFailed(task: Task, error: unknown): void {
    const { message } = task;
    this.#leave(task);
    this.#failed++;
    const { delay, problem } = chooseDelay(this.#settings.retryDelay, message, error);
    this.#consumer.noteFailure?.(message, errorText(error));
    try {
      this.#consumer.nack(message, { delay });
    } catch (refusal) {
      // After the end the message stays pending. A message that was read without the group is not pending, and is not redelivered.
      if (!isEnd(refusal) && !isUnsupported(refusal)) this.#report(refusal, message);
    }
    this.#report(error, message); // after the nack: the listener may dead-letter the message
    if (problem !== undefined) this.#report(problem.error, message);
  }

  #report(error: unknown, message: Message): void {
    try {
      const result: unknown = this.#settings.onError?.(error, message);
      if (result instanceof Promise) result.catch(() => {});
    } catch {
      // Errors of listeners are ignored.
    }
  }

  /** Commits what has been acked meanwhile, one commit at a time. */
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

  /** The consumer has ended, or it has failed: then the run rejects with its error once all handlers have finished. */
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
    this.#leaving.abort();
    this.#leaveBatches();
    if (this.#consumer.isForeign) this.#reading = false; // what arrives later is put back
    this.#putBack();
  }

  async #leaveBatches(): Promise<void> {
    try {
      await this.#batches.return?.();
    } catch {
      // The iterator is not used any more.
    }
  }

  /** Has messages delivered again whose handlers have not started. */
  #putBack(): void {
    for (const message of this.#scheduler.drain()) this.#putBackOne(message);
  }

  #putBackOne(message: Message): void {
    try {
      this.#consumer.putBack(message);
    } catch (error) { // only of a program's own consumer
      if (!isEnd(error)) this.#report(error, message);
    }
  }
}

function isPromise(returned: Output | Promise<Output>): returned is Promise<Output> {
  return typeof returned === "object" && returned !== null && "then" in returned && typeof returned.then === "function";
}

function ended(): StreamerError {
  return new StreamerError("CONSUMER_ENDED", "The consumer has ended");
}

function isUnsupported(error: unknown): boolean {
  return error instanceof StreamerError && error.code === "UNSUPPORTED";
}

function isEnd(error: unknown): boolean {
  return error instanceof StreamerError && error.code === "CONSUMER_ENDED";
}
