// Keeps many requests in flight on a client that returns a promise for each.

import { setTimeout as sleep } from "node:timers/promises";

/**
 * Sends `count` requests in windows of `size` and awaits every answer; two windows are in flight, so that the server
 * does not wait while the next one is being prepared.
 */
export async function overlapped(count: number, size: number, send: () => PromiseLike<unknown>): Promise<void> {
  let last: Promise<unknown> = Promise.resolve();
  for (let sent = 0; sent < count; sent += size) {
    const next = Promise.all(burst(Math.min(size, count - sent), send));
    await last;
    last = next;
  }
  await last;
}

/** Every reply allows the next request. */
export function sliding(count: number, limit: number, send: () => PromiseLike<unknown>): Promise<void> {
  let sent = 0, answered = 0;
  return new Promise((resolve, reject) => {
    const start = () => {
      sent++;
      send().then(answer, reject);
    };
    const answer = () => {
      if (++answered === count) resolve();
      else if (sent < count) start();
    };
    while (sent < Math.min(limit, count)) start();
  });
}

function burst(count: number, send: () => PromiseLike<unknown>): PromiseLike<unknown>[] {
  return Array.from({ length: count }, send);
}

/** Calls `send` with 0, 1, 2 … at a steady pace of `rate` per second. Timers have a resolution of one millisecond. */
export async function paced(count: number, rate: number, send: (index: number) => void): Promise<void> {
  const start = performance.now();
  for (let index = 0; index < count; await sleep(1)) {
    const due = Math.min(count, Math.ceil((performance.now() - start) * rate / 1_000));
    while (index < due) send(index++);
  }
}
