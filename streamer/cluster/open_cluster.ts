// Finds a cluster: asks the seeds, one after another, until one serves and says who owns the slots.

import { ConnectError } from "../../resp/connection/handshake/connect_error.ts";
import { type Clock, sleep } from "../../resp/connection/clock.ts";
import type { OpenConnection } from "../../resp/connection/node.ts";
import { reconnectDelay } from "../../resp/connection/reconnect/backoff.ts";
import { classOf } from "../../resp/connection/server_errors.ts";
import { RedisError, StreamerError } from "../../resp/errors.ts";
import { clusterSlots } from "../commands/cluster_slots.ts";
import { ClusterRouter } from "./cluster_router.ts";
import { ConnectionCounts } from "./connection_counts.ts";
import type { Member, SharedNodeOptions } from "./members/member.ts";
import { MemberTable } from "./members/member_table.ts";
import type { Endpoint, ReachRules } from "./reach.ts";
import { survey } from "./refresh/survey.ts";
import type { SlotMove } from "./topology/moves.ts";
import { Topology } from "./topology/topology.ts";
import { type ClusterView, viewOf } from "./topology/view.ts";

/** Options of {@linkcode openCluster}. */
export interface ClusterOptions {
  readonly seeds: readonly Endpoint[];
  readonly reach: ReachRules;
  readonly shared: SharedNodeOptions;
  readonly onMoved: (move: SlotMove) => void;
}

/** How to open a cluster. */
export interface OpenClusterOptions {
  readonly signal: AbortSignal;
  /** Whether to retry until a seed answers, instead of asking each of them once. */
  readonly wait: boolean;
  /** An open connection to the only seed. */
  readonly opened?: OpenConnection;
}

/** A seed that serves. */
interface Found {
  readonly seed: Member;
  readonly opened: OpenConnection;
  readonly view: ClusterView;
}

/** Opens the first connections to a cluster. Rejects with a `ConnectError`, or the signal's reason. */
export async function openCluster(options: ClusterOptions, open: OpenClusterOptions): Promise<ClusterRouter> {
  const { seeds, reach, shared: { clock, timeout, reconnect, limits, events }, onMoved } = options;
  const topology = new Topology();
  const counts = new ConnectionCounts(events, (node) => members.find(node)?.connected());
  const members: MemberTable = new MemberTable({
    seeds,
    shared: { ...options.shared, events: counts.events },
    reach,
    idOf: (name) => idIn(topology, name),
    onTrouble: (member) => router?.trouble(member),
  });
  let router: ClusterRouter | undefined;
  const { seed, opened, view } = await findCluster(members, options, open);
  topology.apply(view, topology.serial);
  members.answeredBy = seed;
  const isNode = topology.nodes.has(seed.name) && members.at(seed.name).adopt(opened);
  if (!isNode) dismiss(opened);
  return router = new ClusterRouter({ clock, timeout, reconnect, limits, members, topology, counts, onMoved });
}

/** An id of a cluster node. Servers before Redis 4.0 do not give it with the map. */
const NODE_ID = /^[0-9a-f]{40}$/;

function idIn(topology: Topology, name: string): string | undefined {
  const id = topology.node(name)?.id;
  return id !== undefined && NODE_ID.test(id) ? id : undefined;
}

/** Asks the seeds until one serves. All other connections are closed, also those of seeds that answer later. */
async function findCluster(members: MemberTable, options: ClusterOptions, open: OpenClusterOptions): Promise<Found> {
  const opens = new Set(open.opened === undefined ? [] : [open.opened]);
  let chosen: OpenConnection | undefined;
  let isOver = false;
  const ask = async (seed: Member, first: OpenConnection | undefined, signal: AbortSignal) => {
    const answer = await askSeed(seed, first, signal);
    if (answer instanceof ConnectError) return answer;
    opens.add(answer.opened);
    if (isOver) dismiss(answer.opened);
    return answer;
  };
  try {
    const found = await askUntilFound(members, options, { ...open, ask });
    chosen = found.opened;
    return found;
  } finally {
    isOver = true;
    for (const opened of opens) if (opened !== chosen) dismiss(opened);
  }
}

/** How seeds are asked. */
interface SeedQuestion extends OpenClusterOptions {
  /** `first` is an open connection to the seed. */
  readonly ask: (
    seed: Member,
    first: OpenConnection | undefined,
    signal: AbortSignal,
  ) => Promise<Found | ConnectError>;
}

async function askUntilFound(
  members: MemberTable,
  { shared: { clock, reconnect } }: ClusterOptions,
  { signal, wait, opened, ask }: SeedQuestion,
): Promise<Found> {
  const began = clock.now();
  for (let attempt = 1;; attempt++) {
    const first = attempt === 1 ? opened : undefined;
    const answer = await survey<Member, Found | ConnectError, Found | ConnectError[]>({
      clock,
      candidates: shuffled(members.seeds, clock),
      ask: (seed, asking) => ask(seed, first, asking),
      judge: (answers, isExhausted) =>
        answers.find((one) => !(one instanceof ConnectError)) as Found | undefined ??
          (isExhausted ? answers.filter((one) => one instanceof ConnectError) : undefined),
      signal,
    });
    if (!Array.isArray(answer)) return answer;
    const failure = allFailed(answer);
    if (!wait || failure.final) throw failure;
    if (attempt > reconnect.maxAttempts) {
      const text = `The cluster could not be reached in ${attempt} attempts. ${failure.message}`;
      throw new StreamerError("DISCONNECTED", text, { cause: failure });
    }
    await sleep(clock, reconnectDelay(reconnect, clock.now() - began, clock.random()), signal);
  }
}

function dismiss({ pipeline }: OpenConnection): void {
  pipeline.end(new StreamerError("DISCONNECTED", "The node is not used"));
}

/** Resolves with the failure instead of rejecting, unless the signal is aborted. */
async function askSeed(
  seed: Member,
  first: OpenConnection | undefined,
  signal: AbortSignal,
): Promise<Found | ConnectError> {
  let opened = first;
  try {
    opened ??= await seed.node().open({ signal });
    const { mode } = opened.info;
    if (mode !== undefined && mode !== "cluster") throw noCluster(seed, mode === "sentinel");
    const ranges = await opened.pipeline.call(clusterSlots(), { signal });
    signal.throwIfAborted();
    const view = viewOf(ranges, seed.host);
    if (view !== undefined && view.covered > 0) return { seed, opened, view };
    const reason = view === undefined
      ? "its answer to CLUSTER SLOTS contradicts itself"
      : "no node of its cluster owns a slot";
    throw new ConnectError("CONNECT", reason, { final: false, place: seed.name });
  } catch (error) {
    if (opened !== undefined) dismiss(opened);
    signal.throwIfAborted();
    return error instanceof ConnectError ? error : failureOf(seed, error);
  }
}

function noCluster({ name }: Member, isSentinel: boolean, cause?: unknown): ConnectError {
  const reason = isSentinel
    ? "it is a Sentinel. Use a redis+sentinel:// URL with the name of the primary"
    : "it is not part of a cluster";
  return new ConnectError("CONNECT", reason, { final: true, place: name, cause });
}

/** The error of a seed that did not answer CLUSTER SLOTS. */
function failureOf(seed: Member, cause: unknown): ConnectError {
  const place = seed.name;
  if (!(cause instanceof RedisError)) {
    return new ConnectError("CONNECT", "it did not answer CLUSTER SLOTS", { final: false, cause, place });
  }
  if (cause.message.includes("cluster support disabled")) return noCluster(seed, false, cause);
  const kind = classOf(cause);
  const hint = kind === "forbidden" ? ". The user must be allowed to run CLUSTER SLOTS" : "";
  const final = kind !== "retry-later" && kind !== "role-changed";
  return new ConnectError("CONNECT", `the server answered ${cause.message}${hint}`, { final, cause, place });
}

/** One error for all seeds: the last one's, whose text has the reasons of the others. */
function allFailed(failures: readonly ConnectError[]): ConnectError {
  const last = failures[failures.length - 1];
  if (failures.length === 1) return last;
  const reasons = failures.map(({ message }) => message.replace(/^Cannot connect to /, "")).join("; ");
  const final = failures.every((failure) => failure.final);
  return new ConnectError(last.code, reasons, { final, cause: last, place: "the cluster" });
}

function shuffled<T>(list: readonly T[], clock: Clock): T[] {
  return list.map((item) => ({ item, at: clock.random() })).sort((a, b) => a.at - b.at).map(({ item }) => item);
}
