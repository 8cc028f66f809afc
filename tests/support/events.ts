// Waits for conditions in tests: with a limit, and without sleeping for a guessed time.

import { setTimeout as sleep } from "node:timers/promises";

/** Options of waiting. */
export interface WaitOptions {
  /** Milliseconds after which it rejects. @default {10_000} */
  readonly timeout?: number;
  /** The condition in words, for the error. */
  readonly what?: string;
}

/** Asks again and again until the answer is truthy; resolves to it. */
export async function until<T>(
  predicate: () => T | Promise<T>,
  options: WaitOptions = {},
): Promise<Exclude<T, false | null | undefined | 0 | "">> {
  const { timeout = 10_000, what = String(predicate) } = options;
  const deadline = performance.now() + timeout;
  for (;;) {
    const value = await predicate();
    // A checked border: the falsy members of T are gone here.
    if (value) return value as Exclude<T, false | null | undefined | 0 | "">;
    if (performance.now() > deadline) throw new Error(`This did not come true within ${timeout} ms: ${what}`);
    await sleep(5);
  }
}

/** The next event of that type (for which `where` holds). Call it before causing the event. */
export async function nextEvent<D = unknown>(
  target: EventTarget,
  type: string,
  options: WaitOptions & { readonly where?: (event: CustomEvent<D>) => boolean } = {},
): Promise<CustomEvent<D>> {
  const { timeout = 10_000, where = () => true } = options;
  const { promise, resolve, reject } = Promise.withResolvers<CustomEvent<D>>();
  const listener = (event: Event) => {
    // A checked border: the library's events are all CustomEvents; D is the caller's word.
    if (event instanceof CustomEvent && where(event as CustomEvent<D>)) resolve(event as CustomEvent<D>);
  };
  target.addEventListener(type, listener);
  const timer = setTimeout(() => reject(new Error(`No ${type} event came within ${timeout} ms`)), timeout);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    target.removeEventListener(type, listener);
  }
}
