// The phases of a shard that is read through a group, and the legal transitions between them: a pure table.

/** What a consumer knows of a shard's group. */
type GroupKnowledge =
  /** The stream was missing when the consumer was created. */
  | "awaiting-stream"
  /** The group exists. Entries that a previous session of this consumer left pending are being delivered. */
  | "replaying"
  /** The group exists, and those entries have been delivered. */
  | "reading"
  /** The group was deleted, and has not been recreated yet. */
  | "group-lost";

/**
 * The phase of a shard. A released shard is not read, now or not yet. It keeps the facts about its group, since leases of its
 * entries are still renewed, and since it can be assigned again.
 */
export type GroupPhase = GroupKnowledge | `released:${GroupKnowledge}`;

/** What happens to a shard. */
export type PhaseEvent =
  | "assign"
  | "release"
  | "prepare"
  | "groupFound"
  | "streamMissing"
  | "groupLost"
  | "groupRecreated"
  | "replayed"
  | "skipReplay";

/**
 * The phase after each event that is legal in a phase. Events that a command's late reply can cause are legal in more phases than
 * they change: the shard may have been released, or its group lost, while the command was in flight.
 */
export const TRANSITIONS: Readonly<Record<GroupPhase, Readonly<Partial<Record<PhaseEvent, GroupPhase>>>>> = {
  "awaiting-stream": {
    release: "released:awaiting-stream",
    groupFound: "reading", // without a stream there was no previous session
    skipReplay: "awaiting-stream",
  },
  "replaying": {
    release: "released:replaying",
    groupFound: "replaying",
    streamMissing: "awaiting-stream", // only if the consumer failed while it was created
    groupLost: "group-lost",
    replayed: "reading",
    skipReplay: "reading",
  },
  "reading": {
    release: "released:reading",
    groupFound: "reading",
    groupLost: "group-lost",
    replayed: "reading",
    skipReplay: "reading",
  },
  "group-lost": {
    release: "released:group-lost",
    groupFound: "reading", // entries that a previous session left pending were lost with the group
    groupRecreated: "reading",
    replayed: "group-lost",
    skipReplay: "group-lost",
  },
  "released:awaiting-stream": {
    assign: "awaiting-stream",
    prepare: "released:replaying",
    groupFound: "released:reading",
    skipReplay: "released:awaiting-stream",
  },
  "released:replaying": {
    assign: "replaying",
    prepare: "released:replaying",
    groupFound: "released:replaying",
    streamMissing: "released:awaiting-stream",
    groupLost: "released:group-lost",
    skipReplay: "released:reading",
  },
  "released:reading": {
    assign: "reading",
    prepare: "released:reading",
    groupFound: "released:reading",
    groupLost: "released:group-lost",
    skipReplay: "released:reading",
  },
  "released:group-lost": {
    assign: "group-lost",
    prepare: "released:reading",
    groupFound: "released:reading",
    skipReplay: "released:group-lost",
  },
};
