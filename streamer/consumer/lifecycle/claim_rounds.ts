// Which shards a claim scan asks for: all of which anything may be pending, and a few of the others in turn.
//
// A shard is settled if nothing was pending in its group while it was quiet: all its entries had been delivered. Until the server pushes
// that it has changed, nothing of it can be delivered to anybody, so that there is nothing to claim. Only what the server does not push can
// have changed that: the group was moved back or recreated. So a settled shard is scanned, too, if less often.
//
// A shard that has just become quiet is looked at before the next scan, so that an idle consumer sends nothing that a busy one has left.

/** What is known of shards. */
export interface ClaimRoundsPorts<S> {
  /**
   * The time since when all entries of a shard have been delivered and none was added, as an object of its own; `undefined` if that is
   * not known.
   */
  readonly quietSpan: (shard: S) => object | undefined;
  /** The node that has a shard. */
  readonly nodeOf: (shard: S) => string;
}

/** Milliseconds for each settled shard of a node that is scanned: three a minute. */
export const SETTLED_PERIOD = 20_000;

/** The scans of one consumer. */
export class ClaimRounds<S> {
  readonly #ports: ClaimRoundsPorts<S>;
  readonly #settled = new Map<S, object>(); // the spans in which nothing was pending; the shards scanned longest ago are first
  readonly #seen = new Map<S, object>(); // the spans at the last call of `early`
  readonly #early = new Set<S>(); // the shards that were looked at since the last scan
  #paid: number | undefined; // the time until when settled shards have had their turns

  constructor(ports: ClaimRoundsPorts<S>) {
    this.#ports = ports;
  }

  /** The shards to scan now. */
  next(shards: readonly S[], now: number): S[] {
    const { quietSpan, nodeOf } = this.#ports;
    this.#early.clear();
    const settled = new Set(shards.filter((shard) => {
      const span = this.#settled.get(shard);
      return span !== undefined && span === quietSpan(shard);
    }));
    for (const shard of this.#settled.keys()) if (!settled.has(shard)) this.#settled.delete(shard);
    const turns = this.#turns(now);
    const taken = new Map<string, number>(); // by nodes
    const inTurn = new Set([...this.#settled.keys()].filter((shard) => {
      const node = nodeOf(shard);
      const count = (taken.get(node) ?? 0) + 1;
      taken.set(node, count);
      return count <= turns;
    }));
    return shards.filter((shard) => !settled.has(shard) || inTurn.has(shard));
  }

  /**
   * The shards to look at before the next scan: those that have been quiet since the last call. A look settles a shard, and claims nothing.
   * `again`: whether others have just become quiet.
   */
  early(shards: readonly S[]): { readonly now: readonly S[]; readonly again: boolean } {
    const isOpen = (shard: S) => !this.#early.has(shard) && this.#settled.get(shard) !== this.#ports.quietSpan(shard);
    const spans = new Map(shards.filter(isOpen).map((shard) => [shard, this.#ports.quietSpan(shard)]));
    const now: S[] = [];
    const before = new Map(this.#seen);
    this.#seen.clear();
    for (const [shard, span] of spans) {
      if (span === undefined) continue;
      if (before.get(shard) === span) now.push(shard);
      else this.#seen.set(shard, span);
    }
    for (const shard of now) this.#early.add(shard);
    return { now, again: this.#seen.size > 0 };
  }

  /** A shard was scanned, beginning in this span of quiet. `isClear`: whether nothing was pending. */
  scanned(shard: S, span: object | undefined, isClear: boolean): void {
    this.#settled.delete(shard); // its next turn is after the others'
    if (isClear && span !== undefined) this.#settled.set(shard, span);
  }

  /** How many settled shards of each node are scanned now. */
  #turns(now: number): number {
    this.#paid ??= now;
    const turns = Math.floor((now - this.#paid) / SETTLED_PERIOD);
    this.#paid += turns * SETTLED_PERIOD;
    return turns;
  }
}
