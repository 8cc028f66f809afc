// The state that the parts of a session share. It is constructed before all of them.

import type { StreamerError } from "../../../../resp/errors.ts";
import { consumerEnded } from "../../delivery/base_consumer.ts";
import { DeliveryGate } from "../../delivery/delivery_gate.ts";
import { MAX_UNCOMMITTED } from "../../lifecycle/commit_policy.ts";
import { PendingEntries } from "../../pending/pending_entries.ts";
import type { StandaloneReading } from "../../reading/standalone_reading.ts";
import type { ShardAssignment } from "../../shards/assignment.ts";
import type { GroupShard } from "../../shards/group_shard.ts";
import type { GroupContext } from "../context.ts";
import { Drain } from "./drain.ts";
import { ShardLocks } from "./shard_locks.ts";

/** The owner of a session. */
export interface SessionOwner {
  /** Reading or acknowledging has failed for good. */
  readonly onFatal: (error: StreamerError) => void;
  /** Messages that were read without the group have been delivered. */
  readonly onProgress: () => void;
}

/** Reads shards through their groups. */
export interface ShardReader {
  /** The group of a shard exists, and has nothing pending for this consumer: the shard is read from now on. */
  joined(shard: GroupShard): void;
  /**
   * The time since when all entries of a shard have been delivered and none was added, as an object of its own; `undefined` if that is
   * not known.
   */
  quietSpan(shard: GroupShard): object | undefined;
}

/** The phase of a session, its pending entries, and how many messages may be delivered. */
export class SessionState {
  readonly context: GroupContext;
  readonly assignment: ShardAssignment;
  readonly owner: SessionOwner;
  readonly pendingEntries: PendingEntries;
  readonly gate: DeliveryGate;
  readonly drain: Drain;
  readonly #reading = new AbortController();
  readonly #holding = new AbortController();
  readonly #acking = new AbortController();
  #reader: ShardReader | undefined;
  #standalone: StandaloneReading | undefined;
  readonly #locks = new ShardLocks<GroupShard>();

  constructor(context: GroupContext, assignment: ShardAssignment, owner: SessionOwner) {
    const { commit, maxUnacked } = context.settings;
    this.context = context;
    this.assignment = assignment;
    this.owner = owner;
    this.pendingEntries = new PendingEntries({ byTime: commit.autoCommit === "delayed" });
    this.gate = new DeliveryGate(this.pendingEntries, { maxUnacked, maxUnsent: MAX_UNCOMMITTED });
    this.drain = new Drain(context.server.clock, () => !this.pendingEntries.isWithProgram);
  }

  /** Aborted when reading has ended, with the error that callers get. */
  get reading(): AbortSignal {
    return this.#reading.signal;
  }

  /** Aborted when leases are not renewed any more: after reading has ended, and the drain. */
  get holding(): AbortSignal {
    return this.#holding.signal;
  }

  /** Aborted when nothing is acknowledged any more. */
  get acking(): AbortSignal {
    return this.#acking.signal;
  }

  /** The reading without the group, once there is one. */
  get standalone(): StandaloneReading | undefined {
    return this.#standalone;
  }

  /** Ends reading. */
  endReading(error: StreamerError): void {
    this.#reading.abort(error);
  }

  /** Ends the renewal of leases. */
  endHolding(error: StreamerError): void {
    this.#holding.abort(error);
  }

  /** Ends acknowledging. */
  endAcking(): void {
    this.#acking.abort(consumerEnded());
  }

  /** The consumer reads without its group from now on. */
  leaveGroup(standalone: StandaloneReading): void {
    this.#standalone = standalone;
  }

  /** Reading through the group has failed: that ends the session, unless it reads without the group. */
  failInGroup(error: StreamerError): void {
    if (this.#standalone === undefined) this.owner.onFatal(error);
  }

  /** Sets the reader that {@linkcode joined} and {@linkcode quietSpan} call. */
  connect(reader: ShardReader): void {
    this.#reader = reader;
  }

  /** The group of a shard exists, and has nothing pending for this consumer. */
  joined(shard: GroupShard): void {
    this.#reader?.joined(shard);
  }

  /** See {@linkcode ShardReader.quietSpan}. */
  quietSpan(shard: GroupShard): object | undefined {
    return this.#reader?.quietSpan(shard);
  }

  /** Runs work on shards that other work on any of them must not interrupt. Shards of a node that does not answer hold up no others. */
  exclusively<T>(shards: readonly GroupShard[], work: () => Promise<T>): Promise<T> {
    return this.#locks.run(shards, work);
  }

  /** Resolves when the exclusive work on a shard that was begun is done. */
  async settled(shard: GroupShard): Promise<void> {
    await this.#locks.settled(shard);
  }
}
