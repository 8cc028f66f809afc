// Locks of single shards: work on one shard runs in sequence, and work on different shards at the same time.

/** The work that was begun, by shard. */
export class ShardLocks<S> {
  readonly #last = new Map<S, Promise<void>>(); // of each shard; it never rejects

  /**
   * Runs work when all work on these shards that was begun earlier is over. The places in the queues of all shards are taken in one step.
   * So of two callers with common shards one is first everywhere, and they never wait for each other.
   */
  run<T>(shards: readonly S[], work: () => Promise<T>): Promise<T> {
    const earlier = shards.map((shard) => this.#last.get(shard));
    const result = Promise.all(earlier).then(work);
    const over = result.then(() => {}, () => {});
    for (const shard of shards) this.#last.set(shard, over);
    over.then(() => {
      for (const shard of shards) if (this.#last.get(shard) === over) this.#last.delete(shard);
    });
    return result;
  }

  /** Resolves when the work on a shard that was begun is over. */
  async settled(shard: S): Promise<void> {
    await this.#last.get(shard);
  }
}
