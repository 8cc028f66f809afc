// Which shards of a connection may have something to read, and whose turn it is: a pure state.
//
// A shard is quiet (the server pushes a message once it changes), ready (to be read), in flight, or held back after a refusal. A shard
// becomes quiet only by a read that brought fewer entries than requested, if no push has come since the shard was armed before that
// read or an earlier one. So no entry can arrive unnoticed.

/** One read to send. */
export interface Look<S> {
  readonly shards: readonly S[];
  /** The shards that are armed right before the read. @default {none} */
  readonly unarmed?: readonly S[];
  /** The state of each shard. @default {none: the read asks for all shards and blocks} */
  readonly states?: readonly LookState<S>[];
}

/** How shards are read. */
export interface LookOptions {
  /** Whether a shard is armed by a command of its own, and not by the read. @default {false} */
  readonly arms?: boolean;
  /** Whether a read can be sent while an earlier one of the same shard is in flight. @default {false} */
  readonly overlaps?: boolean;
}

/** What is known of a shard. */
interface ShardState<S> {
  readonly shard: S;
  readonly slot: number;
  isReady: boolean;
  isHeld: boolean;
  /** Whether the last answered read was full: the next one needs no arming. */
  isFlowing: boolean;
  /** Whether a push has come since the last armed read was sent, or that read was refused. */
  isChanged: boolean;
  /** While the shard has been quiet, apart from reads that brought nothing. */
  span: object | undefined;
  /** Reads in flight, and the armed ones among them. */
  reads: number;
  armed: number;
}

/** A shard of a look. */
interface LookState<S> {
  readonly state: ShardState<S>;
  /** Whether the shard is armed by the read, or right before it. */
  readonly isArmed: boolean;
}

/** The shards that one connection reads as they change. */
export class ReadyShards<S extends { readonly redisKey: string }> {
  readonly #arms: boolean;
  readonly #overlaps: boolean;
  readonly #states = new Map<S, ShardState<S>>();
  readonly #byKey = new Map<string, ShardState<S>>();
  readonly #ready = new Map<number, Set<ShardState<S>>>(); // by slots, in the order of their turns
  readonly #quiet = new Set<ShardState<S>>(); // in the order in which they were read
  #reads = 0; // in flight, of each shard

  constructor({ arms = false, overlaps = false }: LookOptions = {}) {
    this.#arms = arms;
    this.#overlaps = overlaps;
  }

  /** Whether a shard is read. */
  has(shard: S): boolean {
    return this.#states.has(shard);
  }

  /** Whether nothing is ready or in flight. */
  get isIdle(): boolean {
    return this.#ready.size === 0 && this.#reads === 0;
  }

  /** Reads exactly these shards. New ones are ready at once, and the others continue as they are. */
  keep(shards: readonly S[], slotOf: (redisKey: string) => number): void {
    const kept = new Set(shards);
    for (const shard of [...this.#states.keys()]) if (!kept.has(shard)) this.remove(shard);
    for (const shard of shards) if (!this.#states.has(shard)) this.#add(shard, slotOf(shard.redisKey));
  }

  /** Reads this shard no more. Answers to its reads in flight change nothing. */
  remove(shard: S): void {
    const state = this.#states.get(shard);
    if (state === undefined) return;
    this.#states.delete(shard);
    if (this.#byKey.get(shard.redisKey) === state) this.#byKey.delete(shard.redisKey);
    this.#quiet.delete(state);
    this.#unqueue(state);
    this.#reads -= state.reads;
  }

  /** These keys have changed. Returns whether that made a shard ready. */
  changed(redisKeys: readonly string[] | "all"): boolean {
    let isAny = false;
    for (const redisKey of redisKeys === "all" ? this.#byKey.keys() : redisKeys) {
      const state = this.#byKey.get(redisKey);
      if (state === undefined) continue;
      state.isChanged = true;
      state.span = undefined;
      if (!this.#quiet.has(state)) continue; // it is ready, or will be judged by the answer in flight
      this.#queue(state);
      isAny = true;
    }
    return isAny;
  }

  /**
   * The time since when the shard has been quiet, as an object of its own: all entries have been delivered, and none was added. Reads
   * that bring nothing do not end it.
   */
  quietSpan(shard: S): object | undefined {
    return this.#states.get(shard)?.span;
  }

  /** Makes the `count` shards ready that have been quiet for longest. All of them: they may have changed without a push. */
  wake(count = Infinity): void {
    if (count === Infinity) { for (const state of this.#states.values()) state.span = undefined; }
    let left = count;
    for (const state of this.#quiet) {
      if (left-- <= 0) return;
      this.#queue(state);
    }
  }

  /** The next reads, of at most `width` shards together: in turn one for each slot, of its ready shards. */
  take(width: number): readonly Look<S>[] {
    const taken: ShardState<S>[][] = [];
    let left = width;
    for (const [slot, ready] of this.#ready) {
      if (left <= 0) break;
      const states = [...ready].slice(0, left);
      for (const state of states) {
        ready.delete(state);
        state.isReady = false;
      }
      this.#ready.delete(slot);
      if (ready.size > 0) this.#ready.set(slot, ready); // its next turn is after the others'
      left -= states.length;
      taken.push(states);
    }
    const looks = taken.map((states) => this.#look(states));
    if (this.#overlaps) { for (const state of taken.flat()) if (state.isFlowing) this.#queue(state); }
    return looks;
  }

  /** A look was answered. `isFull`: whether as many entries of the shard came as were requested. `isEmpty`: whether none came. */
  answered(look: Look<S>, isFull: (shard: S) => boolean, isEmpty = false): void {
    this.#landed(look, (state) => {
      state.isFlowing = isFull(state.shard);
      if (!isEmpty) state.span = undefined;
      if (state.isFlowing) return this.#queue(state);
      if (state.isHeld || state.armed > 0) return; // another look decides
      if (state.isChanged) return this.#queue(state);
      this.#unqueue(state);
      this.#quiet.add(state);
      state.span ??= {};
    });
  }

  /** A look was refused, or its answer is of no use: its shards are to be read again. */
  failed(look: Look<S>): void {
    this.#landed(look, (state) => {
      state.isFlowing = false;
      state.isChanged = true; // it may not have been armed
      state.span = undefined;
      this.#queue(state);
    });
  }

  /** This shard is not read until it is released. */
  hold(shard: S): void {
    const state = this.#states.get(shard);
    if (state === undefined) return;
    state.isHeld = true;
    state.span = undefined;
    this.#quiet.delete(state);
    this.#unqueue(state);
  }

  /** A shard that was held back is ready. */
  release(shard: S): void {
    const state = this.#states.get(shard);
    if (state === undefined || !state.isHeld) return;
    state.isHeld = false;
    if (state.reads === 0) this.#queue(state);
  }

  /** The connection was lost: all shards are ready and unarmed, those that were in flight first. */
  lost(): void {
    const states = [...this.#states.values()].sort((one, other) => Number(other.reads > 0) - Number(one.reads > 0));
    this.#ready.clear();
    this.#quiet.clear();
    this.#reads = 0;
    for (const state of states) {
      state.reads = state.armed = 0;
      state.isReady = state.isFlowing = false;
      state.span = undefined;
      this.#queue(state);
    }
  }

  #add(shard: S, slot: number): void {
    const flags = { isReady: false, isHeld: false, isFlowing: false, isChanged: false };
    const state: ShardState<S> = { shard, slot, ...flags, span: undefined, reads: 0, armed: 0 };
    this.#states.set(shard, state);
    this.#byKey.set(shard.redisKey, state);
    this.#queue(state);
  }

  #look(of: readonly ShardState<S>[]): Look<S> {
    const states = of.map((state): LookState<S> => ({ state, isArmed: !this.#arms || !state.isFlowing }));
    for (const { state, isArmed } of states) {
      this.#reads++;
      state.reads++;
      if (!isArmed) continue;
      state.armed++;
      state.isChanged = false;
    }
    const unarmed = this.#arms ? states.filter(({ isArmed }) => isArmed).map(({ state: { shard } }) => shard) : [];
    return { shards: of.map(({ shard }) => shard), unarmed, states };
  }

  #landed({ states = [] }: Look<S>, judge: (state: ShardState<S>) => void): void {
    for (const { state, isArmed } of states) {
      if (this.#states.get(state.shard) !== state) continue; // it was removed
      this.#reads--;
      state.reads--;
      if (isArmed) state.armed--;
      judge(state);
    }
  }

  #queue(state: ShardState<S>): void {
    if (state.isReady || state.isHeld) return;
    state.isReady = true;
    this.#quiet.delete(state);
    const ready = this.#ready.get(state.slot);
    if (ready === undefined) this.#ready.set(state.slot, new Set([state]));
    else ready.add(state);
  }

  #unqueue(state: ShardState<S>): void {
    state.isReady = false;
    const ready = this.#ready.get(state.slot);
    if (ready?.delete(state) && ready.size === 0) this.#ready.delete(state.slot);
  }
}
