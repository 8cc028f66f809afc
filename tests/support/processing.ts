// Shared by the tests of `process`: messages without a server, a scripted consumer and a scripted producer.

import {
  type Payload,
  type ProcessOptions,
  type Receipt,
  type SendOptions,
  type SendOutcome,
  type SendReceipt,
  StreamerError,
} from "../../mod.ts";
import type { AckedConsumer } from "../../streamer/process/consumer_port.ts";
import { Message } from "../../streamer/model/message.ts";
import { fieldBytes } from "../../streamer/model/message_headers.ts";
import { entry, frame } from "../unit/commands/frames.ts";

/** A message of this text. */
export function message(
  text: string,
  place: { readonly streamKey?: string; readonly shardId?: number; readonly headers?: readonly string[] } = {},
): Message {
  const { streamKey = "in", shardId = 0, headers = [] } = place;
  const source = {
    frame: frame(entry("1-1", "msg", text, ...headers)),
    streamKey,
    shardId,
    timestampFormat: "milliseconds" as const,
    field: fieldBytes("msg"),
  };
  return new Message(source, 0, 1);
}

/** Messages `<prefix>0`, `<prefix>1`, … of one shard. */
export function messages(count: number, prefix = "", shardId = 0): Message[] {
  return Array.from({ length: count }, (_, i) => message(`${prefix}${i}`, { shardId }));
}

interface Asker {
  readonly max: number;
  readonly resolve: (result: IteratorResult<Message[], undefined>) => void;
  readonly reject: (error: unknown) => void;
}

/** A consumer whose messages the test supplies, and that records its calls. */
export class FakeConsumer implements AckedConsumer {
  readonly autoCommit: "rolling" | "disabled";
  /** Texts in the order of the acks. */
  readonly acked: string[] = [];
  readonly isEnded = false;
  /** The default of `orderBy` follows from it. */
  sharesShards = false;
  /** Texts with their delays in the order of the nacks, or with "back" for messages that no handler has seen. */
  readonly nacked: string[] = [];
  /** How many acks each commit found. */
  readonly commits: number[] = [];
  taken = 0;
  /** Most messages of one batch. */
  max = 0;
  /** Is waited for by each commit. */
  committing: Promise<void> = Promise.resolve();
  /** Thrown by each ack or nack. */
  refusal: { ack?: Error; nack?: Error } = {};
  readonly #queue: Message[] = [];
  #asker: Asker | undefined;
  #over: { readonly error?: unknown } | undefined;

  constructor(autoCommit: "rolling" | "disabled" = "rolling") {
    this.autoCommit = autoCommit;
  }

  /** Whether it has ended or failed, or drains. */
  get isOver(): boolean {
    return this.#over !== undefined;
  }

  /** Whether a caller waits. */
  get asked(): boolean {
    return this.#asker !== undefined;
  }

  /** Messages that no caller has taken. */
  get left(): string[] {
    return this.#queue.map((one) => one.text());
  }

  put(...added: readonly Message[]): this {
    this.#queue.push(...added);
    this.#serve();
    return this;
  }

  /** Ends it, or has it fail. */
  end(error: unknown = new StreamerError("CONSUMER_ENDED", "The consumer has ended")): void {
    this.#over = error instanceof StreamerError && error.code === "CONSUMER_ENDED" ? {} : { error };
    this.#serve();
  }

  batches({ max = Infinity }: { readonly max?: number } = {}): AsyncIterableIterator<Message[]> {
    this.max = max;
    let left = false;
    const iterator: AsyncIterableIterator<Message[]> = {
      [Symbol.asyncIterator]: () => iterator,
      next: () => {
        if (left) return Promise.resolve({ value: undefined, done: true });
        if (this.#asker !== undefined) throw new Error("called twice at a time");
        const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<Message[], undefined>>();
        this.#asker = { max, resolve, reject };
        this.#serve();
        return promise;
      },
      return: () => {
        left = true;
        this.#asker?.resolve({ value: undefined, done: true });
        this.#asker = undefined;
        return Promise.resolve({ value: undefined, done: true });
      },
    };
    return iterator;
  }

  ack(one: Message): void {
    if (this.refusal.ack !== undefined) throw this.refusal.ack;
    this.acked.push(one.text());
  }

  nack(one: Message, { delay = 0 }: { readonly delay?: number } = {}): void {
    if (this.refusal.nack !== undefined) throw this.refusal.nack;
    this.nacked.push(`${one.text()} ${delay}`);
  }

  putBack(one: Message): void {
    this.nacked.push(`${one.text()} back`);
  }

  async flushAcks(): Promise<void> {
    this.commits.push(this.acked.length);
    await this.committing;
  }

  #serve(): void {
    const asker = this.#asker;
    if (asker === undefined) return;
    const [first] = this.#queue;
    if (this.#over === undefined && first === undefined) return;
    this.#asker = undefined;
    if (this.#over === undefined) {
      const other = this.#queue.findIndex((one) => one.shardId !== first.shardId || one.streamKey !== first.streamKey);
      const value = this.#queue.splice(0, Math.min(asker.max, other < 0 ? Infinity : other));
      this.taken += value.length;
      asker.resolve({ value, done: false });
    } else if ("error" in this.#over) {
      asker.reject(this.#over.error);
      this.#over = {};
    } else {
      asker.resolve({ value: undefined, done: true });
    }
  }
}

/** A receipt that a test settles. */
export class FakeReceipt implements SendReceipt {
  outcome: SendOutcome = "pending";
  /** The number of its listeners. */
  heard = 0;
  readonly #deferred = Promise.withResolvers<Receipt>();

  constructor() {
    this.#deferred.promise.catch(() => {}); // one that is ignored raises nothing, as a real one
  }

  then: SendReceipt["then"] = (stored, failed) => {
    this.heard++;
    return this.#deferred.promise.then(stored, failed);
  };

  catch: SendReceipt["catch"] = (failed) => this.then(undefined, failed);

  finally: SendReceipt["finally"] = (done) => this.#deferred.promise.finally(done);

  ack(): void {
    this.outcome = "acked";
    // A checked border: no code reads the receipt of a fake.
    this.#deferred.resolve({} as Receipt);
  }

  /** Fails it; one that stays pending has only ended the waiting. */
  fail(error: unknown, outcome: SendOutcome = "not-written"): void {
    this.outcome = outcome;
    this.#deferred.reject(error);
  }
}

/** The arguments of a send. */
export interface Sent {
  readonly payload: string;
  readonly options: SendOptions | undefined;
  readonly receipt: FakeReceipt;
}

/** A producer that stores at once, or on command. */
export class FakeProducer implements NonNullable<ProcessOptions["producer"]> {
  readonly streamKey = "out";
  readonly sent: Sent[] = [];
  desiredSize = 1;
  #room = Promise.withResolvers<void>();
  readonly #storing: boolean;

  constructor(options: { readonly storing?: boolean } = {}) {
    this.#storing = options.storing ?? true;
  }

  get ready(): Promise<void> {
    return this.#room.promise;
  }

  get payloads(): string[] {
    return this.sent.map(({ payload }) => payload);
  }

  /** Makes space again. */
  drain(): void {
    this.desiredSize = 1;
    this.#room.resolve();
    this.#room = Promise.withResolvers<void>();
  }

  send(payload: Payload, options?: SendOptions): SendReceipt {
    const receipt = new FakeReceipt();
    const text = typeof payload === "string" ? payload : new TextDecoder().decode(payload);
    this.sent.push({ payload: text, options, receipt });
    if (this.#storing) receipt.ack();
    return receipt;
  }
}

/** Handlers that return when the test says so. */
export class Handlers {
  /** Texts in the order of the starts. */
  readonly started: string[] = [];
  /** Most that ran at a time. */
  most = 0;
  readonly #running = new Map<string, PromiseWithResolvers<string | void>>();

  /** Texts of those that run. */
  get running(): string[] {
    return [...this.#running.keys()];
  }

  readonly handle = (one: Message): Promise<string | void> => {
    const deferred = Promise.withResolvers<string | void>();
    this.started.push(one.text());
    this.#running.set(one.text(), deferred);
    this.most = Math.max(this.most, this.#running.size);
    return deferred.promise;
  };

  /** The handler of this text returns. */
  finish(text: string, output?: string): void {
    this.#take(text).resolve(output);
  }

  /** The handler of this text throws. */
  throw(text: string, error: unknown): void {
    this.#take(text).reject(error);
  }

  #take(text: string): PromiseWithResolvers<string | void> {
    const deferred = this.#running.get(text);
    if (deferred === undefined) throw new Error(`No handler of ${text} is running`);
    this.#running.delete(text);
    return deferred;
  }
}

/** Returns when everything has been done that needs no more than promises. */
export function quiet(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
