// A consumer's session in its group: starts and stops its parts, adds and removes shards, and leaves the group.

import { StreamerError } from "../../../../resp/errors.ts";
import type { DeliveryFlow } from "../../delivery/delivery_gate.ts";
import type { PrefetchQueue } from "../../delivery/prefetch_queue.ts";
import type { PendingEntries, UndeliveredEntry } from "../../pending/pending_entries.ts";
import type { StandaloneReading } from "../../reading/standalone_reading.ts";
import type { ShardAssignment } from "../../shards/assignment.ts";
import type { GroupShard } from "../../shards/group_shard.ts";
import type { GroupContext } from "../context.ts";
import { beginGroup, withRemedy } from "../groups.ts";
import { OutputGate } from "../output_gate.ts";
import type { Drain } from "./drain.ts";
import { type SessionParts, sessionParts } from "./session_parts.ts";
import { type SessionOwner, SessionState } from "./session_state.ts";

/** A session. Its verbs concern all parts; the parts themselves are there for what concerns one of them. */
export class GroupSession implements DeliveryFlow {
  readonly parts: SessionParts;
  /** Acknowledges messages together with the outputs of their handlers. */
  readonly outputGate: OutputGate;
  readonly #state: SessionState;
  #awaiting = false; // whether missing streams are looked for

  constructor(context: GroupContext, assignment: ShardAssignment, owner: SessionOwner) {
    this.#state = new SessionState(context, assignment, owner);
    this.parts = sessionParts(this.#state);
    this.outputGate = new OutputGate(this.#state, this.parts);
    this.#state.gate.connect(this);
  }

  get pendingEntries(): PendingEntries {
    return this.#state.pendingEntries;
  }

  get queue(): PrefetchQueue {
    return this.parts.queue;
  }

  /** Aborted when reading has ended, with the error that callers get. */
  get signal(): AbortSignal {
    return this.#state.reading;
  }

  /** Aborted when nothing is acknowledged any more. */
  get acking(): AbortSignal {
    return this.#state.acking;
  }

  /** The drain at the end. */
  get drain(): Drain {
    return this.#state.drain;
  }

  /** The reading without the group, once there is one. */
  get standalone(): StandaloneReading | undefined {
    return this.#state.standalone;
  }

  /** Starts reading. */
  start(): void {
    const { reader, leaseRenewer, claimer, reclaimer, holdLimit } = this.parts;
    reader.start();
    leaseRenewer.start();
    claimer.start();
    reclaimer.start();
    holdLimit.start();
  }

  /** Delivers and reads nothing any more. Entries that the program has not got are released; leases of the others are renewed. */
  windDown(error: StreamerError): void {
    this.#endReading(error);
    this.#releaseUndelivered(this.#state.assignment.known);
  }

  /** Delivers nothing any more, and renews no leases. */
  stop(error: StreamerError): void {
    const { leaseRenewer, holdLimit } = this.parts;
    this.#endReading(error);
    this.#state.endHolding(error);
    leaseRenewer.close();
    holdLimit.close();
  }

  /**
   * Releases all entries that the program has not got, also those that were claimed or delivered again while this consumer
   * ended, and nacked ones. Resolves when the server has answered.
   */
  async releaseAll(): Promise<void> {
    const { redelivery, releaser } = this.parts;
    await Promise.all(this.#state.assignment.known.map(async (shard) => {
      await Promise.all([this.#state.settled(shard), redelivery.settle(shard)]);
      this.#releaseUndelivered([shard]);
      await releaser.settle([shard]);
    }));
  }

  /** Runs work while nothing of these shards is claimed or replayed. */
  exclusively<T>(shards: readonly GroupShard[], work: () => Promise<T>): Promise<T> {
    return this.#state.exclusively(shards, work);
  }

  /** Acknowledges nothing any more. */
  close(): void {
    this.#state.endAcking();
    this.parts.committer.close();
  }

  /** Reads more shards, whose groups exist. */
  join(shards: readonly GroupShard[]): void {
    for (const shard of shards) shard.forgetReleased(); // those that are still pending here are delivered now
    this.#state.assignment.admit(shards);
    this.parts.reader.changed();
  }

  /** Reads these shards no longer: their entries that the program has not got are released. */
  leave(shards: readonly GroupShard[]): void {
    const { replay, releaser, reader } = this.parts;
    this.#state.assignment.dismiss(shards);
    for (const shard of shards) {
      replay.leave(shard);
      releaser.releaseUndelivered(shard, this.drop(shard));
    }
    reader.changed();
  }

  /** Drops the entries of a shard that the program has not got; returns those that are pending. */
  drop(shard: GroupShard): UndeliveredEntry[] {
    this.queue.clear(shard);
    return this.pendingEntries.dropUndelivered(shard);
  }

  /** Reads without the group from now on; resolves when no read of the group is in flight. */
  leaveGroup(standalone: StandaloneReading): Promise<void> {
    const { claimer, reclaimer, redelivery, reader } = this.parts;
    this.#state.leaveGroup(standalone);
    this.leave(this.#state.assignment.read);
    claimer.stop();
    reclaimer.stop();
    redelivery.close();
    const retired = reader.retire(new StreamerError("DISCONNECTED", "The consumer has left its group"));
    standalone.start();
    return retired;
  }

  /** Delivers queued messages, and reads more. */
  onCapacity(): void {
    this.queue.serve();
    this.parts.reader.fill();
  }

  /** Reads more, or looks for streams that were missing at the creation. */
  onDemand(): void {
    const { standalone, owner, assignment } = this.#state;
    if (standalone !== undefined) {
      standalone.fill();
      return owner.onProgress();
    }
    this.parts.reader.fill();
    if (!this.#awaiting && this.queue.asked && assignment.read.some(isAwaited)) this.#awaitStreams();
  }

  #endReading(error: StreamerError): void {
    const { queue, redelivery } = this.parts;
    queue.end(error);
    this.#state.endReading(error);
    redelivery.close();
    this.standalone?.close(error);
  }

  #releaseUndelivered(shards: Iterable<GroupShard>): void {
    for (const shard of shards) {
      this.parts.releaser.releaseUndelivered(shard, this.pendingEntries.dropUndelivered(shard));
    }
  }

  /** Looks for streams that were missing at the creation. It is an error if they are still missing when a caller waits for a message. */
  async #awaitStreams(): Promise<void> {
    const { assignment, owner, reading: signal } = this.#state;
    this.#awaiting = true;
    try {
      await Promise.all(assignment.read.filter(isAwaited).map((shard) => this.#awaitStream(shard, signal)));
    } catch (error) {
      if (!signal.aborted && error instanceof StreamerError) owner.onFatal(error);
    }
    this.#awaiting = false;
  }

  async #awaitStream(shard: GroupShard, signal: AbortSignal): Promise<void> {
    try {
      await beginGroup(shard, this.#state.context, { signal });
      shard.skipReplay(); // without a stream there was no previous session
      if (shard.isRead) this.#state.joined(shard);
    } catch (error) {
      if (shard.isRead) throw withRemedy(error, shard); // otherwise it was unassigned meanwhile
    }
  }
}

function isAwaited({ phase }: GroupShard): boolean {
  return phase === "awaiting-stream";
}
