// One stream whose shards are discovered: which of them are known, and whether its plain key is still read.

import { numberedShard, plainShard, type SubscribedShard } from "./shard.ts";
import { judgePlain, newlyGone, type PlainLook, type StreamForm } from "./discovery_policy.ts";
import type { FoundStream } from "./find_shards.ts";
import type { Addition, Drain, ShardReading } from "./shard_reading.ts";

/** A stream that is read until its plain key is drained. */
export type LeavingForm = Extract<StreamForm, { readonly kind: "leaving" }>;

/** One stream of a discovery. */
export class DiscoveredStream {
  readonly streamKey: string;
  readonly #reading: ShardReading;
  readonly #known: Set<number>;
  #form: StreamForm;
  #gone: ReadonlySet<number> = new Set();
  #isStopped: boolean;

  constructor({ streamKey, numbers, forbidden }: FoundStream, reading: ShardReading) {
    this.streamKey = streamKey;
    this.#reading = reading;
    this.#known = new Set(numbers);
    this.#form = { kind: numbers.length === 0 ? "plain" : "sharded" };
    this.#isStopped = forbidden !== undefined;
  }

  get form(): StreamForm {
    return this.#form;
  }

  /** Numbers that are no longer looked for: they were found, or unassigned by the user. */
  get known(): ReadonlySet<number> {
    return this.#known;
  }

  /** Known numbers that were found missing. */
  get gone(): ReadonlySet<number> {
    return this.#gone;
  }

  /** Whether shards are looked for. Not if that failed for good, nor if the user has unassigned all shards of the stream. */
  get isWatched(): boolean {
    return !this.#isStopped && this.#read.length > 0;
  }

  /** The numbers of the shards that are read, as far as they are known. */
  get readNumbers(): readonly number[] {
    return this.#read.map(({ shardId }) => shardId).filter((shardId) => this.#known.has(shardId));
  }

  /** The plain key, while it is read. */
  get plain(): SubscribedShard | undefined {
    return this.#reading.shards.find(({ redisKey }) => redisKey === this.streamKey);
  }

  /** Whether shards can be read in place of the plain key: it is drained, or was unassigned while other shards are read. */
  get canLeave(): boolean {
    const form = this.#form;
    if (form.kind !== "leaving" || !this.isWatched) return false;
    if (!form.numbers.some((number) => this.isWanted(number))) return false;
    const { plain } = this;
    return plain === undefined || this.#reading.isDrained({ plain, until: form.until });
  }

  /** The shard that a number names now. */
  shardOf(shardId: number): SubscribedShard {
    const isPlain = shardId === 0 && this.#form.kind !== "sharded";
    return isPlain ? plainShard(this.streamKey) : numberedShard(this.streamKey, shardId);
  }

  /** Whether a shard is to be read. Shard 0 is not if the plain key was unassigned, since to the user they are one. */
  isWanted(number: number): boolean {
    if (this.#known.has(number)) return false;
    return number !== 0 || this.#form.kind === "sharded" || this.plain !== undefined;
  }

  /** No shards are looked for any longer. */
  stop(): void {
    this.#isStopped = true;
  }

  /** These shards are read, or were unassigned by the user: they are not looked for any longer. */
  markKnown(numbers: readonly number[]): void {
    for (const number of numbers) this.#known.add(number);
  }

  /** The plain key was looked at, while the stream had no shards that are read. */
  lookedAtPlain(look: PlainLook): void {
    this.#form = judgePlain(this.#form, look);
  }

  /** Those of the missing numbers that were not missing before. */
  newlyGone(missing: readonly number[]): readonly number[] {
    return newlyGone(missing, this.#gone);
  }

  /** These numbers are missing. */
  markGone(missing: readonly number[]): void {
    this.#gone = new Set(missing);
  }

  /** The stream is read in its shards from now on. */
  becomeSharded(): void {
    this.#form = { kind: "sharded" };
  }

  /** Has shards read that were found. Returns the numbers of those that are. */
  async add(numbers: readonly number[]): Promise<readonly number[]> {
    const addition = new FoundShards(this, numbers);
    if (addition.wanted().length > 0) await this.#reading.addLater(addition);
    return addition.found;
  }

  /** Has the shards of a drained plain key read in place of it. Returns the numbers of those that are. */
  async leave({ numbers, until }: LeavingForm): Promise<readonly number[]> {
    const { plain } = this;
    const addition = new DrainedShards(this, numbers, plain);
    if (addition.wanted().length === 0) return [];
    if (plain === undefined) await this.#reading.addLater(addition);
    else await this.#reading.leaveDrained({ plain, until } satisfies Drain, addition);
    return addition.found;
  }

  get #read(): readonly SubscribedShard[] {
    return this.#reading.shards.filter(({ streamKey }) => streamKey === this.streamKey);
  }
}

/** Shards of a stream that are read in shards already. */
class FoundShards implements Addition {
  readonly #stream: DiscoveredStream;
  readonly #shards: readonly SubscribedShard[];
  #found: readonly number[] = [];

  constructor(stream: DiscoveredStream, numbers: readonly number[]) {
    this.#stream = stream;
    this.#shards = numbers.filter((number) => stream.isWanted(number))
      .map((number) => numberedShard(stream.streamKey, number));
  }

  /** The numbers of the shards that are read now. */
  get found(): readonly number[] {
    return this.#found;
  }

  wanted(): readonly SubscribedShard[] {
    return this.#shards.filter(({ shardId }) => this.#stream.isWanted(shardId));
  }

  done(): void {
    this.#found = this.wanted().map(({ shardId }) => shardId);
    this.#stream.markKnown(this.#found);
  }
}

/** The shards that come in place of a plain key, if it is read, or once it was unassigned. */
class DrainedShards extends FoundShards {
  readonly #stream: DiscoveredStream;
  readonly #plain: SubscribedShard | undefined;

  constructor(stream: DiscoveredStream, numbers: readonly number[], plain: SubscribedShard | undefined) {
    super(stream, numbers);
    this.#stream = stream;
    this.#plain = plain;
  }

  override wanted(): readonly SubscribedShard[] {
    if (this.#plain === undefined && this.#stream.plain !== undefined) return []; // assigned again meanwhile
    return super.wanted();
  }

  override done(): void {
    this.#stream.becomeSharded();
    super.done();
    if (this.#plain === undefined) this.#stream.markKnown([0]);
  }
}
