// Constructs the parts of a session in the order in which they depend on each other.

import type { NodeName } from "../../../cluster/router.ts";
import { xack } from "../../../commands/xack.ts";
import type { MessageId } from "../../../model/id.ts";
import { type Message, messagePlace } from "../../../model/message.ts";
import { decodingGate, reportSkipped } from "../../delivery/decoding.ts";
import { PrefetchQueue } from "../../delivery/prefetch_queue.ts";
import type { EntriesDetail } from "../../events.ts";
import { Claimer } from "../../lifecycle/claimer.ts";
import { type AckCommand, Committer } from "../../lifecycle/committer.ts";
import { DeadLetters } from "../../lifecycle/dead_letters.ts";
import { HoldLimit } from "../../lifecycle/hold_limit.ts";
import { LeaseRenewer } from "../../lifecycle/lease_renewer.ts";
import { Ownership } from "../../lifecycle/ownership.ts";
import { Reclaimer } from "../../lifecycle/reclaimer.ts";
import { RedeliveryQueue } from "../../lifecycle/redelivery.ts";
import { Releaser } from "../../lifecycle/releaser.ts";
import { Settlement } from "../../lifecycle/settlement.ts";
import { Intake } from "../../pending/intake.ts";
import { PendingBatch } from "../../pending/pending_batch.ts";
import { type GroupShard, shardName } from "../../shards/group_shard.ts";
import { GroupReader } from "../group_reader.ts";
import { Groups } from "../groups.ts";
import { ReadAheadController } from "../read_ahead.ts";
import { Replay } from "../replay.ts";
import type { SessionState } from "./session_state.ts";

/** The parts of a session. */
export interface SessionParts extends Acknowledging, Leases, Delivering, Redelivering {
  readonly settlement: Settlement;
  readonly reader: GroupReader;
}

/** Acknowledges entries. */
interface Acknowledging {
  readonly committer: Committer;
  readonly ownership: Ownership;
  readonly deadLetters: DeadLetters;
}

/** Keeps entries for this consumer, or lets others have them. */
interface Leases {
  readonly groups: Groups;
  readonly leaseRenewer: LeaseRenewer;
  readonly releaser: Releaser;
  readonly holdLimit: HoldLimit;
}

/** Queues messages and delivers them. */
interface Delivering {
  readonly queue: PrefetchQueue;
  readonly pace: ReadAheadController;
  readonly intake: Intake;
}

/** Delivers entries that were delivered before, here or to another consumer. */
interface Redelivering {
  readonly replay: Replay;
  readonly reclaimer: Reclaimer;
  readonly claimer: Claimer;
  readonly redelivery: RedeliveryQueue;
}

/** Constructs all parts; the reader is connected to the state. */
export function sessionParts(state: SessionState): SessionParts {
  const { pendingEntries, gate, context, assignment } = state;
  const { settings, server, router, member, events } = context;
  const acknowledging = acknowledgingParts(state);
  const { committer, deadLetters } = acknowledging;
  const leases = leaseParts(state, acknowledging);
  const delivering = deliveringParts(state, acknowledging, leases);
  const redelivering = redeliveringParts(state, acknowledging, delivering);
  const { releaser, groups } = leases;
  const settlement = new Settlement({
    pendingEntries,
    deadLetters,
    redelivery: redelivering.redelivery,
    releaser,
    maxDeliveries: settings.maxDeliveries,
    isReading: (shard) => shard.isRead && !state.reading.aborted,
    onAcked: () => {
      committer.touch();
      gate.onCapacity();
    },
    onCapacity: () => gate.onCapacity(),
  });
  const reader = new GroupReader({
    router,
    settings,
    server,
    member,
    ...delivering,
    groups,
    replay: redelivering.replay,
    onQuiet: () => redelivering.claimer.touch(),
    shards: () => assignment.read,
    onFenceUnavailable: events.fenceUnavailable,
    onTrackingUnavailable: events.trackingUnavailable,
    onFatal: (error) => state.failInGroup(error),
  });
  state.connect(reader);
  return { ...acknowledging, ...leases, ...delivering, ...redelivering, settlement, reader };
}

function acknowledgingParts(state: SessionState): Acknowledging {
  const { pendingEntries, gate, acking: signal, owner: { onFatal } } = state;
  const { settings, server, member, events } = state.context;
  const ackCommand: AckCommand = ({ shard, ids, count }) => xack(shard.redisKey, member.group, ids, count);
  const onCapacity = () => gate.onCapacity();
  const policy = settings.commit;
  const committer = new Committer({ server, ackCommand, policy, pendingEntries, onCapacity, onFatal });
  const ownership = new Ownership({ server, member, signal });
  const deadLetters = new DeadLetters({
    server,
    member,
    pendingEntries,
    ownership,
    ackCommand,
    target: settings.deadLetter,
    signal,
    onLost: reporter(state, events.lost),
    onDeadLetter: events.deadLetter,
    onCapacity,
    onFatal,
  });
  return { committer, ownership, deadLetters };
}

function leaseParts(state: SessionState, { ownership }: Acknowledging): Leases {
  const { pendingEntries, gate, assignment, reading, holding } = state;
  const { settings, server, member, events } = state.context;
  const onCapacity = () => gate.onCapacity();
  const shards = () => assignment.known;
  const groups = new Groups({
    server,
    settings,
    member,
    signal: reading,
    onLost: (shard) => {
      pendingEntries.loseGroup(shard);
      gate.onCapacity(); // the leases of these entries do not have to be verified any more
    },
    orphans: (shard) => pendingEntries.orphans(shard),
    onReady: (shard) => state.joined(shard),
    onRecreated: events.groupRecreated,
    onReset: events.streamReset,
    onFatal: (error) => state.failInGroup(error),
  });
  const leaseRenewer = new LeaseRenewer({
    server,
    settings,
    member,
    pendingEntries,
    shards,
    nodeOf: nodesOf(state),
    signal: holding,
    onLost: reporter(state, events.lost),
    onGroupMissing: (shard, cause) => groups.lookFor([shard], cause),
    onVerified: onCapacity,
    onFatal: state.owner.onFatal,
  });
  const releaser = new Releaser({ ownership, signal: state.acking, renewed: (shard) => leaseRenewer.settled(shard) });
  const holdLimit = new HoldLimit({
    clock: server.clock,
    maxHold: settings.maxHold,
    pendingEntries,
    shards,
    isStale: (batch) => leaseRenewer.isStale(batch),
    onReleased: reporter(state, events.released),
    onCapacity,
  });
  return { groups, leaseRenewer, releaser, holdLimit };
}

function deliveringParts(
  state: SessionState,
  { committer, deadLetters }: Acknowledging,
  { leaseRenewer, releaser }: Leases,
): Delivering {
  const { pendingEntries, gate } = state;
  const { settings, server, router, timestampFormat, field } = state.context;
  const onUndecodable = (message: Message, reason: string) => putAside(state, deadLetters, message, reason);
  const queue = new PrefetchQueue({
    onDemand: () => gate.onDemand(),
    accepts: decodingGate(settings.onDecodeError, onUndecodable),
  });
  const pace = new ReadAheadController({
    clock: router.clock,
    settings,
    queue,
    isFull: () => gate.capacity() === 0,
    replyBytes: router.limits.reply,
  });
  const intake = new Intake({
    clock: server.clock,
    settings,
    timestampFormat,
    field,
    queue,
    pendingEntries,
    onAckDue: () => committer.touch(),
    onExhausted: (message, place, info) => deadLetters.deadLetter(message, place, info),
    onUnwanted: (shard, entries) => releaser.releaseUndelivered(shard, entries),
    allowance: (batch) => {
      const capacity = gate.capacity();
      if (capacity === 0 || !leaseRenewer.isStale(batch)) return capacity;
      gate.refuse();
      leaseRenewer.verify(batch.shard); // then the gate is opened
      return 0;
    },
  });
  return { queue, pace, intake };
}

function redeliveringParts(
  state: SessionState,
  { committer, ownership }: Acknowledging,
  { queue, pace, intake }: Delivering,
): Redelivering {
  const { pendingEntries, gate, assignment, reading: signal } = state;
  const { settings, server, member, events } = state.context;
  const reportGap = reporter(state, events.gap);
  const shared = {
    server,
    settings,
    member,
    ownership,
    pendingEntries,
    queue,
    intake,
    signal,
    shards: () => assignment.read,
    count: () => pace.count,
    room: () => pace.room(),
    nodeOf: nodesOf(state),
    exclusively: <T>(shard: GroupShard, work: () => Promise<T>) => state.exclusively([shard], work),
    onGone: (shard: GroupShard, ids: readonly MessageId[]) => {
      committer.dismiss(shard, ids);
      reportGap(shard, ids);
    },
    onFatal: (error: Parameters<SessionState["failInGroup"]>[0]) => state.failInGroup(error),
  };
  const onSized = (entries: number, bytes: number) => pace.sized(entries, bytes);
  const replay = new Replay({ ...shared, clock: server.clock, onSized });
  const reclaimer = new Reclaimer(shared);
  const claimer = new Claimer({
    ...shared,
    server: { ...server, run: (command, options) => server.run(command, { ...options, signal: state.acking }) },
    quietSpan: (shard) => state.quietSpan(shard),
    onTooMuch: () => pace.halve(),
    takeBack: (shard, pending) => reclaimer.look(shard, pending),
    onClaimed: events.claimed,
  });
  const onCapacity = () => gate.onCapacity();
  const redelivery = new RedeliveryQueue({ ...shared, onLost: reporter(state, events.lost), onCapacity });
  return { replay, reclaimer, claimer, redelivery };
}

/** The node of each shard. */
function nodesOf({ context: { router } }: SessionState): (shard: GroupShard) => NodeName {
  return ({ redisKey }) => router.nodeOf(router.slotOf(redisKey));
}

/** Reports entries of a shard by an event. They may have been the last ones in flight. */
function reporter(
  { context, drain }: SessionState,
  event: (detail: EntriesDetail) => void,
): (shard: GroupShard, ids: readonly MessageId[]) => void {
  const { group } = context.member;
  return (shard, ids) => {
    event({ ...shardName(shard), group, ids });
    drain.check();
  };
}

/** Dead-letters a message that does not decode, or skips it. */
function putAside({ context }: SessionState, deadLetters: DeadLetters, message: Message, reason: string): void {
  const { events, settings } = context;
  const { batch, index } = messagePlace(message) ?? {};
  if (!(batch instanceof PendingBatch) || index === undefined) return reportSkipped(message, reason, events.deadLetter);
  const unwritten = settings.onDecodeError === "skip";
  deadLetters.deadLetter(message, { batch, index }, { deliveries: message.deliveries, reason, unwritten });
}
