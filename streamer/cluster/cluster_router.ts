// The router of a cluster: keeps the map of slots, follows redirects, and runs each command on the node that owns its key.

import { type Clock, sleep } from "../../resp/connection/clock.ts";
import { type Command, valueCommand } from "../../resp/connection/command.ts";
import type { Destination } from "../../resp/connection/destination.ts";
import { RecalledError, UnreachableError } from "../../resp/connection/lane.ts";
import type { OpenConnection } from "../../resp/connection/node.ts";
import type { ReconnectOptions } from "../../resp/connection/reconnect/backoff.ts";
import type { Waits } from "../../resp/connection/retry/waiting.ts";
import { classOf } from "../../resp/connection/server_errors.ts";
import { RedisError, StreamerError } from "../../resp/errors.ts";
import type { RespLimits } from "../../resp/limits.ts";
import type { ConnectionCounts } from "./connection_counts.ts";
import type { Member } from "./members/member.ts";
import type { MemberTable } from "./members/member_table.ts";
import { ElectionWatch } from "./refresh/election_watch.ts";
import { MigrationWatch } from "./refresh/migration_watch.ts";
import { Refresher } from "./refresh/refresher.ts";
import type { RefreshReason } from "./refresh/refresh_pace.ts";
import { abortable } from "../model/abortable.ts";
import { type OwnSlots, ownSlots } from "../commands/cluster_nodes.ts";
import {
  NodeLeftError,
  type NodeName,
  type NodeStats,
  type Redirect,
  type RouteChange,
  type RouteOptions,
  type Router,
} from "./router.ts";
import { MoveReport, type SlotMove } from "./topology/moves.ts";
import { parseRedirect } from "./topology/redirect.ts";
import { slotOfKey } from "./topology/slot.ts";
import type { Topology } from "./topology/topology.ts";
import { refreshTopology } from "./refresh/refresh_topology.ts";
import { runAtOwner } from "./scanning/run_at_owner.ts";

/** What the router works with. */
export interface ClusterRouterOptions {
  readonly clock: Clock;
  readonly timeout: number;
  readonly reconnect: Required<ReconnectOptions>;
  readonly limits: Required<RespLimits>;
  readonly members: MemberTable;
  /** The first map. */
  readonly topology: Topology;
  readonly counts: ConnectionCounts;
  readonly onMoved: (move: SlotMove) => void;
}

/** Redirects in a row that are followed at once. After that, each one waits for a delay. */
const MAX_HOPS = 16;
/** First and longest delay between further redirects, in milliseconds. */
const HOP_DELAY = 50;
const MAX_HOP_DELAY = 1_000;

/** Must be written right before a command for a slot that is migrating to the node. */
const ASKING = valueCommand(["ASKING"], { repeatable: true });

/** Routes over the nodes of a cluster. */
export class ClusterRouter implements Router {
  readonly followsRedirects = true;
  readonly clock: Clock;
  readonly timeout: number;
  readonly reconnect: Required<ReconnectOptions>;
  readonly limits: Required<RespLimits>;
  readonly waits: Waits;
  readonly #members: MemberTable;
  readonly #topology: Topology;
  readonly #counts: ConnectionCounts;
  readonly #onMoved: (move: SlotMove) => void;
  readonly #listeners = new Set<(change: RouteChange) => void>();
  readonly #refusedBy = new WeakMap<object, NodeName>(); // which node has refused a command with this error
  readonly #report = new MoveReport();
  readonly #refresher: Refresher;
  readonly #elections: ElectionWatch;
  readonly #migrations: MigrationWatch;
  #untold = new Set<number>(); // slots whose new owners listeners do not know yet
  #hints: Member[] = []; // to be asked first at the next refresh
  #turn = 0;
  readonly #closing = new AbortController();

  constructor({ clock, timeout, reconnect, limits, members, topology, counts, onMoved }: ClusterRouterOptions) {
    this.clock = clock;
    this.timeout = timeout;
    this.reconnect = reconnect;
    this.limits = limits;
    this.#members = members;
    this.#topology = topology;
    this.#counts = counts;
    this.#onMoved = onMoved;
    this.waits = { begin: (cause, streamKey) => this.#waitsOf(cause).begin(cause, streamKey) };
    this.#report.take(topology);
    this.#migrations = new MigrationWatch(clock);
    this.#refresher = new Refresher({
      clock,
      isUsed: () => counts.total > 0,
      refresh: (reason, signal) => this.#refresh(reason, signal),
    });
    this.#elections = new ElectionWatch({
      clock,
      replicasOf: ({ name }) =>
        this.#topology.owners.has(name) && this.#isLost(name) ? this.#replicasOf(name) : undefined,
      onElected: (replica) => this.#want({ isElection: true }, replica),
    });
  }

  slotOf(redisKey: string): number {
    return slotOfKey(redisKey);
  }

  /** A slot without an owner is asked for at any node, which knows more. */
  nodeOf(slot: number): NodeName {
    return this.#topology.ownerOf(slot) ?? this.primaries()[slot % this.primaries().length];
  }

  primaries(): readonly NodeName[] {
    return [...this.#topology.owners.keys()];
  }

  nodes(): readonly NodeStats[] {
    return Array.from(this.#topology.owners, ([name, slots]) => ({ name, slots, connections: this.#counts.of(name) }));
  }

  destination(node: NodeName): Destination {
    return this.#members.at(node);
  }

  async run<T>(command: Command<T>, options: RouteOptions = {}): Promise<T> {
    const { key } = command;
    if (key === undefined) return await this.runOn(this.#anyPrimary(), command, options);
    const slot = slotOfKey(key);
    const { within = Infinity, signal } = options;
    const until = this.clock.now() + within;
    let asking: Redirect | undefined;
    for (let hops = 0;;) {
      const node = asking?.node ?? this.nodeOf(slot);
      const left = within === Infinity ? Infinity : Math.max(0, until - this.clock.now());
      try {
        const member = this.#member(node);
        const attempt = { ...options, within: left };
        return await (asking === undefined ? member.lanes.run(command, attempt) : this.#ask(member, command, attempt));
      } catch (error) {
        asking = undefined;
        if (error instanceof RecalledError && !this.#closing.signal.aborted) continue;
        if (!(error instanceof RedisError)) throw error;
        this.#refusedBy.set(error, node);
        if (classOf(error) !== "redirect") {
          if (error.code === "CLUSTERDOWN") this.#want({ isDown: true });
          throw error;
        }
        const redirect = this.redirected(slot, error, node);
        if (redirect?.asking) asking = redirect;
        if (redirect !== undefined && ++hops <= MAX_HOPS) continue;
        if (this.clock.now() >= until) throw error;
        const delay = Math.min(MAX_HOP_DELAY, HOP_DELAY * 2 ** Math.max(0, Math.min(10, hops - MAX_HOPS)));
        if (redirect === undefined) hops++;
        await this.#pause(Math.min(delay, until - this.clock.now()), signal);
      }
    }
  }

  async runOn<T>(node: NodeName, command: Command<T>, options?: RouteOptions): Promise<T> {
    if (!this.#isPart(node)) throw new NodeLeftError(node, command);
    try {
      return await this.#member(node).lanes.run(command, options);
    } catch (error) {
      if (error instanceof RedisError) this.#refusedBy.set(error, node);
      throw error instanceof RecalledError ? new NodeLeftError(node, command) : error;
    }
  }

  connection(node: NodeName, options: { readonly signal: AbortSignal }): Promise<OpenConnection> {
    return this.#member(node).lanes.connection(options);
  }

  redirected(slot: number, refusal: RedisError, from: NodeName): Redirect | undefined {
    const redirect = parseRedirect(refusal.message);
    const answered = this.#members.at(from);
    if (redirect === undefined || redirect.slot !== slot) {
      answered.redial(refusal);
      return undefined;
    }
    const address = this.#topology.addressOf(redirect, answered.host);
    const node = this.#topology.nameOf(address.host, address.port);
    if (node === from) {
      answered.redial(refusal);
      this.#want({});
      return undefined;
    }
    if (redirect.kind === "ask") {
      this.#migrations.asked(slot, node);
      this.#want({});
      return { node, asking: true };
    }
    const changed = this.#topology.patch(slot, address);
    this.#refresher.changed();
    this.#want({}, this.#members.at(node));
    this.#tellSoon(changed);
    return { node, asking: false };
  }

  suspect(node: NodeName): void {
    const member = this.#members.find(node);
    if (member === undefined || this.#closing.signal.aborted || !this.#topology.owners.has(node)) return;
    member.suspected();
    this.#want({});
    this.#elections.lost(member);
  }

  onChange(listener: (change: RouteChange) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async refresh(signal?: AbortSignal): Promise<void> {
    await abortable(this.#refresher.now(), signal);
  }

  async slotsAt(node: NodeName, options: RouteOptions = {}): Promise<OwnSlots | undefined> {
    try {
      return await runAtOwner(this, node, ownSlots(), options);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (error instanceof StreamerError) return undefined;
      throw error;
    }
  }

  serverOf(node: NodeName): string | undefined {
    return this.#members.find(node)?.server;
  }

  /** A connection to a node was lost, could not be opened, or leads to a replica. */
  trouble(member: Member): void {
    if (this.#closing.signal.aborted) return;
    this.#recall(member);
    const asked = this.#migrations.to(member.name);
    if (asked.length > 0) this.#announce({ slots: asked, away: member.name });
    if (!this.#topology.owners.has(member.name)) return;
    this.#want({});
    this.#elections.lost(member);
  }

  close(): void {
    this.#closing.abort(closed());
    this.#refresher.close();
    this.#elections.close();
    this.#members.close();
  }

  #member(node: NodeName): Member {
    if (this.#closing.signal.aborted) throw closed();
    return this.#members.at(node);
  }

  #anyPrimary(): NodeName {
    const primaries = this.primaries();
    return primaries[this.#turn++ % primaries.length];
  }

  /** Sends a command right after an ASKING. It is not repeated: after a lost connection the slot's owner is asked again. */
  async #ask<T>(member: Member, command: Command<T>, { signal, within = Infinity }: RouteOptions): Promise<T> {
    const limit = new AbortController();
    const late = () => limit.abort(new UnreachableError(member));
    const timer = within === Infinity ? undefined : this.clock.after(within, late);
    const reached = signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]);
    return await member.holding(reached, async ({ pipeline }) => {
      timer?.stop(); // the reply has the time that every reply has
      try {
        const asked = pipeline.call(ASKING);
        const reply = pipeline.call(command, signal === undefined ? {} : { signal });
        asked.catch(() => {}); // the command then fails, too
        return await reply;
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof RedisError || !command.repeatable || pipeline.ending === undefined) throw error;
        throw new RecalledError(member);
      }
    }).finally(() => timer?.stop());
  }

  /** Waits before a redirect is followed that does not lead on. */
  async #pause(delay: number, signal: AbortSignal | undefined): Promise<void> {
    const { signal: closing } = this.#closing;
    await sleep(this.clock, delay, signal === undefined ? closing : AbortSignal.any([signal, closing]));
  }

  /** Refreshes soon, and asks this node first. */
  #want(reason: RefreshReason, first?: Member): void {
    if (first !== undefined && !this.#hints.includes(first)) this.#hints.push(first);
    this.#refresher.want(reason);
  }

  async #refresh({ isDown = false }: RefreshReason, signal: AbortSignal): Promise<boolean> {
    const hints = this.#hints;
    this.#hints = [];
    const { changed, isAccepted } = await refreshTopology({
      clock: this.clock,
      timeout: this.timeout,
      members: this.#members,
      topology: this.#topology,
      hints,
      isOpen: (name) => this.#counts.of(name) > 0,
      isLost: (name) => this.#isLost(name),
      isBrief: isDown,
      signal,
    });
    if (changed.length > 0) this.#tell(changed);
    for (const move of this.#report.take(this.#topology)) this.#onMoved(move);
    if (isAccepted) this.#members.tidy((name) => this.#isPart(name), (name) => this.#topology.owners.has(name));
    if (this.#migrations.isMoving) this.#want({});
    return changed.length > 0;
  }

  /** The same as {@linkcode #tell}, once for all redirects of one read: a failover may redirect thousands of slots one by one. */
  #tellSoon(slots: readonly number[]): void {
    if (slots.length === 0) return;
    if (this.#untold.size === 0) {
      queueMicrotask(() => {
        const untold = this.#untold;
        this.#untold = new Set();
        if (!this.#closing.signal.aborted) this.#tell([...untold]);
      });
    }
    for (const slot of slots) this.#untold.add(slot);
  }

  /** Slots have other owners: commands that wait for the old ones go to the new ones, and listeners are told. */
  #tell(slots: readonly number[]): void {
    for (const slot of slots) this.#migrations.arrived(slot);
    for (const member of [...this.#members.known]) this.#recall(member);
    this.#announce({ slots });
  }

  #announce(change: RouteChange): void {
    for (const listener of [...this.#listeners]) listener(change);
  }

  /** Takes back commands that wait for a node although their slot has another owner, or the node has left. */
  #recall(member: Member): void {
    const isPart = this.#isPart(member.name);
    member.recall(({ key }) => {
      if (key === undefined) return !isPart;
      const owner = this.#topology.ownerOf(slotOfKey(key));
      return owner === undefined ? !this.#topology.owners.has(member.name) : owner !== member.name;
    });
  }

  #isPart(node: NodeName): boolean {
    return this.#topology.nodes.has(node);
  }

  /** Whether a node cannot be reached, or does not answer, as far as is known. */
  #isLost(name: NodeName): boolean {
    const member = this.#members.at(name);
    return member.isSuspect || (this.#counts.of(name) === 0 && member.isTroubled);
  }

  #replicasOf(name: NodeName): Member[] {
    return this.#topology.replicasOf(name).map((replica) => this.#members.at(replica));
  }

  #waitsOf(cause: unknown): Waits {
    const node = typeof cause === "object" && cause !== null ? this.#refusedBy.get(cause) : undefined;
    return this.#members.at(node ?? this.primaries()[0]).waits;
  }
}

function closed(): StreamerError {
  return new StreamerError("DISCONNECTED", "The connection is closed");
}
