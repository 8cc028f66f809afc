// Time and chance as ports, so that tests can put in their own. It must not know what is timed.

/** A timer that can be stopped; stopping it twice is harmless. */
export interface Timer {
  stop(): void;
}

/** Where time and chance come from. */
export interface Clock {
  /** Milliseconds that only ever rise. */
  now(): number;
  /** Calls `run` once, after `delay` milliseconds, unless stopped before. */
  after(delay: number, run: () => void): Timer;
  /** A number from 0 up to, not including, 1. */
  random(): number;
}

/** Longest delay the runtimes' timers can hold: about 24 days. */
const LONGEST = 2 ** 31 - 1;

/** The runtime's own time and chance. */
export const systemClock: Clock = Object.freeze({
  now: (): number => performance.now(),
  after(delay: number, run: () => void): Timer {
    const id = setTimeout(run, Math.min(Math.max(delay, 0), LONGEST));
    return { stop: () => clearTimeout(id) };
  },
  random: (): number => Math.random(),
});

/** Resolves after `delay` milliseconds, or rejects with the signal's reason. Its timer ends with it. */
export function sleep(clock: Clock, delay: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => {
      timer.stop();
      reject(signal?.reason);
    };
    const timer = clock.after(delay, () => {
      signal?.removeEventListener("abort", abort);
      resolve();
    });
    signal?.addEventListener("abort", abort, { once: true });
  });
}
