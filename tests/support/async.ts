// Replaces `@std/async` in the tests: the functions that the tests use, with the same signatures, on
// node:timers/promises. It offers nothing that the real package lacks.

import { setTimeout as sleep } from "node:timers/promises";

/** Options of `delay`. */
export interface DelayOptions {
  readonly signal?: AbortSignal;
  /** Whether the timer keeps the process alive. @default {true} */
  readonly persistent?: boolean;
}

/** Resolves after so many milliseconds; rejects with the signal's reason. */
export async function delay(ms: number, options: DelayOptions = {}): Promise<void> {
  const { signal, persistent = true } = options;
  signal?.throwIfAborted();
  try {
    await sleep(ms, undefined, { signal, ref: persistent });
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
}

/** Resolves to the promise's result, or rejects with the signal's reason if the signal aborts first. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Options of `deadline`. */
export interface DeadlineOptions {
  readonly signal?: AbortSignal;
}

/** Gives the promise's result, or rejects with a DOMException `TimeoutError` after so many milliseconds. */
export async function deadline<T>(promise: Promise<T>, ms: number, options: DeadlineOptions = {}): Promise<T> {
  // A timer of our own in place of AbortSignal.timeout: it is cleared when the promise settles.
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new DOMException("Signal timed out.", "TimeoutError")), ms);
  const signal = options.signal ? AbortSignal.any([controller.signal, options.signal]) : controller.signal;
  try {
    return await abortable(promise, signal);
  } finally {
    clearTimeout(timer);
  }
}

/** Maps with at most `poolLimit` calls in progress. Yields the results in the order of the input. */
export async function* pooledMap<T, R>(
  poolLimit: number,
  array: Iterable<T> | AsyncIterable<T>,
  iteratorFn: (data: T) => Promise<R>,
): AsyncIterableIterator<R> {
  const running: { readonly result: Promise<R> }[] = [];
  let head = 0;
  for await (const item of array) {
    const result = iteratorFn(item);
    // A failure surfaces where the result is yielded; until then it must not count as unhandled.
    result.catch(() => {});
    running.push({ result });
    if (running.length - head >= poolLimit) yield await running[head++].result;
  }
  while (head < running.length) yield await running[head++].result;
}
