// One refresh: asks nodes for their view of the cluster, and applies the one that is believed.

import type { Clock } from "../../../resp/connection/clock.ts";
import { clusterSlots } from "../../commands/cluster_slots.ts";
import type { Member } from "../members/member.ts";
import type { MemberTable } from "../members/member_table.ts";
import type { NodeName } from "../router.ts";
import { type Answer, type Choice, chooseView } from "../topology/choice.ts";
import type { Topology } from "../topology/topology.ts";
import { viewOf } from "../topology/view.ts";
import { survey } from "./survey.ts";

/** What a refresh works with. */
export interface RefreshOptions {
  readonly clock: Clock;
  /** Milliseconds for one answer. */
  readonly timeout: number;
  readonly members: MemberTable;
  readonly topology: Topology;
  /** To be asked first. */
  readonly hints: readonly Member[];
  /** Whether a connection to this node is open. */
  readonly isOpen: (name: NodeName) => boolean;
  /** Whether this node cannot be reached. */
  readonly isLost: (name: NodeName) => boolean;
  /** Whether few answers suffice, since the same has been asked not long ago. */
  readonly isBrief: boolean;
  readonly signal: AbortSignal;
}

/** What a refresh has found. */
export interface RefreshResult {
  /** Slots that have another owner than before. */
  readonly changed: readonly number[];
  /** Whether a view was believed. */
  readonly isAccepted: boolean;
}

/** Maximum number of answers of a brief refresh. */
const BRIEF = 2;

/** Asks nodes until a view can be believed, or none can. Rejects with the signal's reason. */
export async function refreshTopology(options: RefreshOptions): Promise<RefreshResult> {
  const { clock, timeout, members, topology, isBrief, signal } = options;
  const since = topology.serial;
  const judge = (answers: readonly Answer[], exhausted: boolean): Choice | undefined => {
    const choice = chooseView(topology.view, answers, { exhausted, lost: lostOwners(options) });
    return choice.kind === "ask-another" ? undefined : choice;
  };
  const choice = await survey<Member, Answer, Choice>({
    clock,
    candidates: candidatesOf(options),
    most: isBrief ? BRIEF : Infinity,
    ask: (member, asking) => viewOfMember(member, members.seeds.includes(member), { signal: asking, timeout }),
    judge,
    signal,
  });
  if (choice.kind !== "accept") return { changed: [], isAccepted: false };
  return { changed: topology.apply(choice.view, since), isAccepted: true };
}

/** The ids of owners that cannot be reached, as is known by now: some of them may have been asked. */
function lostOwners({ topology, isLost }: RefreshOptions): Set<string> {
  const lost = new Set<string>();
  for (const name of topology.owners.keys()) {
    const id = topology.node(name)?.id;
    if (id !== undefined && isLost(name)) lost.add(id);
  }
  return lost;
}

/** Asks one node. Rejects if it does not answer, or what it says contradicts itself. */
async function viewOfMember(
  member: Member,
  fromSeed: boolean,
  { signal, timeout }: { readonly signal: AbortSignal; readonly timeout: number },
): Promise<Answer> {
  const ranges = await member.lanes.run(clusterSlots(), { signal, within: timeout });
  const view = viewOf(ranges, member.host);
  if (view === undefined) throw new RangeError(`${member.name} contradicts itself`);
  return { view, fromSeed };
}

/** How many nodes that were learnt are asked before the seeds: each may be silent for half a second. */
const LEARNT_FIRST = 4;

/**
 * Whom to ask: the hinted ones, then nodes to which a connection is open, then the others, and those last that cannot be reached or have
 * left. The seeds come early, since the user vouches for them. At random among equals, so that many clients spread over many nodes.
 */
function candidatesOf({ members, topology, hints, isOpen, isLost, clock }: RefreshOptions): Member[] {
  const shuffled = (list: Iterable<Member>) =>
    Array.from(list, (member) => ({ member, at: clock.random() })).sort((a, b) => a.at - b.at).map(({ member }) =>
      member
    );
  const owners = shuffled(Array.from(topology.owners.keys(), (name) => members.at(name)));
  const others = shuffled(Array.from(topology.nodes.keys(), (name) => members.at(name)));
  const learnt = [...hints, ...owners.filter(({ name }) => isOpen(name)), ...owners, ...others];
  const reachable = [...new Set(learnt)].filter((member) => hints.includes(member) || !isLost(member.name));
  return [
    ...new Set([
      ...reachable.slice(0, LEARNT_FIRST),
      ...shuffled(members.seeds),
      ...reachable,
      ...owners,
      ...others,
      ...shuffled(members.known),
    ]),
  ];
}
