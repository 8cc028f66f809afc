// Group consumers that have failed. `disconnect()` commits their acknowledgements as long as the program refers to them.

/** Remembers them without keeping them in memory. */
export class FailedConsumers<T extends object> {
  #failed: WeakRef<T>[] = [];

  /** Adds one that has failed. */
  add(consumer: T): void {
    const kept = this.#failed.filter((one) => one.deref() !== undefined);
    this.#failed = [...kept, new WeakRef(consumer)];
  }

  /** Removes one that has ended, so that there is nothing more to commit. */
  delete(consumer: T): void {
    this.#failed = this.#failed.filter((one) => one.deref() !== consumer);
  }

  /** Those that the program still refers to. */
  get held(): T[] {
    return this.#failed.map((one) => one.deref()).filter((one) => one !== undefined);
  }
}
