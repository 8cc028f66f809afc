// Time and randomness as ports, so that tests can replace them.

/** A timer that can be stopped. Stopping it twice does nothing. */
export interface Timer {
  stop(): void;
}

/** The source of time and of random numbers. */
export interface Clock {
  /** Milliseconds, from a clock that never goes back. */
  now(): number;
  /** Calls `run` once, after any number of milliseconds, unless stopped before. */
  after(delay: number, run: () => void): Timer;
  /** A number of at least 0 and below 1. */
  random(): number;
}

/** Maximum delay of the runtimes' timers in milliseconds, about 24 days. A longer one would end at once. */
const LONGEST = 2 ** 31 - 1;

/** The timers of a runtime. */
export interface RuntimeTimers {
  set(run: () => void, delay: number): unknown;
  clear(id: unknown): void;
}

/** Calls `run` after any delay. A delay that is too long for a timer takes several timers. `Infinity` never ends. */
export function longTimer(timers: RuntimeTimers, delay: number, run: () => void): Timer {
  let id: unknown;
  const wait = (left: number): void => {
    const turn = Math.min(Math.max(left, 0), LONGEST);
    id = timers.set(left > LONGEST ? () => wait(left - turn) : run, turn);
  };
  wait(delay);
  return { stop: () => timers.clear(id) };
}

const runtimeTimers: RuntimeTimers = Object.freeze({
  set: (run: () => void, delay: number): unknown => setTimeout(run, delay),
  // A checked border: the value that `set` returned, whose type differs between runtimes.
  clear: (id: unknown): void => clearTimeout(id as ReturnType<typeof setTimeout>),
});

/** The runtime's own clock and random numbers. */
export const systemClock: Clock = Object.freeze({
  now: (): number => performance.now(),
  after(delay: number, run: () => void): Timer {
    if (delay > LONGEST) return longTimer(runtimeTimers, delay, run);
    const id = setTimeout(run, Math.max(delay, 0));
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
