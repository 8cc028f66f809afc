// One run of a task for all callers that want its result at the same time.

import { abortable } from "../../model/abortable.ts";

interface Run<T> {
  readonly result: Promise<T>;
  readonly leaving: AbortController;
  waiting: number;
}

/** Runs a task, one run at a time. A run is cancelled when no caller waits for it any more. */
export class SharedRun<T> {
  readonly #task: (signal: AbortSignal) => Promise<T>;
  #current: Run<T> | undefined;

  constructor(task: (signal: AbortSignal) => Promise<T>) {
    this.#task = task;
  }

  /** The result of the current run, or of a new one. Rejects with the signal's reason if it aborts first. */
  async run(signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const run = this.#current ??= this.#start();
    run.waiting++;
    try {
      return await abortable(run.result, signal);
    } finally {
      if (--run.waiting === 0) {
        this.#over(run);
        run.leaving.abort(new DOMException("No caller waits for the result", "AbortError"));
      }
    }
  }

  #start(): Run<T> {
    const leaving = new AbortController();
    const result = this.#task(leaving.signal);
    const run: Run<T> = { result, leaving, waiting: 0 };
    result.catch(() => {}).then(() => this.#over(run));
    return run;
  }

  #over(run: Run<T>): void {
    if (this.#current === run) this.#current = undefined;
  }
}
