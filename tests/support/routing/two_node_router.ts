// A router over two nodes, like that of a cluster, with a toy slot function and a topology that tests set.

import type { Clock } from "../../../resp/connection/clock.ts";
import { systemClock } from "../../../resp/connection/clock.ts";
import { type Command, commandName, valueCommand } from "../../../resp/connection/command.ts";
import type { Destination } from "../../../resp/connection/destination.ts";
import { CommandLane } from "../../../resp/connection/lane.ts";
import { type NodeEvents, type OpenConnection, RedisNode } from "../../../resp/connection/node.ts";
import { classOf } from "../../../resp/connection/server_errors.ts";
import { WaitingWatch } from "../../../resp/connection/retry/waiting.ts";
import { RedisError, StreamerError } from "../../../resp/errors.ts";
import { nativeDial } from "../../../resp/transport/dial.ts";
import type {
  NodeName,
  NodeStats,
  Redirect,
  RouteChange,
  RouteOptions,
  Router,
} from "../../../streamer/cluster/router.ts";
import type { ConnectSettings } from "../../../streamer/connect_options.ts";
import type { NodeIndex } from "./slot_table.ts";
import { SLOTS, toySlotOf } from "./slots.ts";

/** Redirects in a row that are followed. */
const MAX_HOPS = 16;
/** Milliseconds for which a command may be in flight by an older topology. */
const STALE = 1_000;

const ASKING = valueCommand(["ASKING"]);

/** The owner of each slot, from a time on. */
interface Topology {
  readonly owners: readonly NodeIndex[];
  readonly until: number; // when another one took its place
}

/** One node: how it is reached. */
interface Place {
  readonly node: RedisNode;
  readonly destination: Destination;
  lane: CommandLane | undefined; // opened on first use
  large: CommandLane | undefined;
  /** How often it was lost. */
  lost: number;
}

/** Routes by a toy slot function over two nodes. */
export class TwoNodeRouter implements Router {
  readonly followsRedirects = true;
  readonly clock: Clock = systemClock;
  readonly timeout: number;
  readonly reconnect;
  readonly limits;
  readonly waits: WaitingWatch;
  /** The number of redirects. */
  redirects = 0;
  readonly #places: readonly [Place, Place];
  readonly #listeners = new Set<(change: RouteChange) => void>();
  readonly #past: Topology[] = [];
  #owners: NodeIndex[];
  #turn = 0;
  #closed = false;

  /** The nodes' ports, the owner of each slot at first, the options of `connect`, and who hears of the connections. */
  constructor(
    ports: readonly [number, number],
    owners: readonly NodeIndex[],
    settings: ConnectSettings,
    events: NodeEvents,
  ) {
    const { timeout, reconnect, limits, identification } = settings;
    this.timeout = timeout;
    this.reconnect = reconnect;
    this.limits = limits;
    this.#owners = [...owners];
    const place = (port: number): Place => {
      const endpoint = { kind: "tcp", hostname: "127.0.0.1", port } as const;
      const shared = { identification, timeout, reconnect, limits, clock: systemClock, events };
      const node = new RedisNode({ endpoint, dial: nativeDial(), ...shared });
      return { node, destination: node, lane: undefined, large: undefined, lost: 0 };
    };
    this.#places = [place(ports[0]), place(ports[1])];
    this.waits = new WaitingWatch("two nodes", systemClock, events);
  }

  slotOf(redisKey: string): number {
    return toySlotOf(redisKey);
  }

  nodeOf(slot: number): NodeName {
    return this.#places[this.#owners[slot]].node.name;
  }

  primaries(): readonly NodeName[] {
    return [...new Set(this.#owners)].map((index) => this.#places[index].node.name);
  }

  nodes(): readonly NodeStats[] {
    return this.primaries().map((name) => ({ name, slots: this.#owners.length / 2, connections: 0 }));
  }

  destination(node: NodeName): Destination {
    return this.#place(node).destination;
  }

  async run<T>(command: Command<T>, options: RouteOptions = {}): Promise<T> {
    const { key } = command;
    if (key === undefined) {
      const primaries = this.primaries();
      return await this.runOn(primaries[this.#turn++ % primaries.length], command, options);
    }
    const slot = toySlotOf(key);
    const until = this.clock.now() + (options.within ?? Infinity);
    let to: Redirect = { node: this.nodeOf(slot), asking: false };
    for (let hops = 0;;) {
      const within = Math.max(0, until - this.clock.now());
      try {
        return await (to.asking
          ? this.#ask(to.node, command, options)
          : this.runOn(to.node, command, { ...options, within }));
      } catch (error) {
        if (error instanceof NodeLeft && this.nodeOf(slot) !== to.node) to = { node: this.nodeOf(slot), asking: false };
        else if (classOf(error) !== "redirect" || ++hops > MAX_HOPS) throw error;
        else {
          const next = this.redirected(slot, error as RedisError);
          if (next === undefined) throw error;
          to = next;
        }
      }
    }
  }

  async runOn<T>(node: NodeName, command: Command<T>, { large, ...options }: RouteOptions = {}): Promise<T> {
    if (this.#closed) throw new StreamerError("DISCONNECTED", "The router is closed");
    const place = this.#place(node);
    const { lost } = place;
    try {
      return await this.#lane(place, large ?? false).run(command, options);
    } catch (error) {
      if (this.#closed || lost === place.lost || isOfConnection(error)) throw error;
      throw new NodeLeft(commandName(command));
    }
  }

  connection(node: NodeName, options: { readonly signal: AbortSignal }): Promise<OpenConnection> {
    return this.#lane(this.#place(node), false).connection(options);
  }

  redirected(slot: number, refusal: RedisError): Redirect | undefined {
    this.redirects++;
    const parts = /^(MOVED|ASK) (\d{1,5}) (.+):(\d{1,5})$/.exec(refusal.message);
    if (parts === null) return undefined;
    const [, code, asked, host, port] = parts;
    const index = this.#places.findIndex(({ node }) => node.name === `${host}:${port}`);
    if (index < 0 || Number(asked) >= SLOTS) return undefined;
    const node = this.#places[index].node.name;
    if (code === "MOVED") {
      this.#learn(this.#owners.map((owner, at) => at === Number(asked) ? index as NodeIndex : owner));
    }
    return Number(asked) === slot ? { node, asking: code === "ASK" } : undefined;
  }

  /** Tests announce all changes by themselves. */
  suspect(): void {}

  onChange(listener: (change: RouteChange) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  refresh(): Promise<void> {
    return Promise.resolve(); // the tests tell it of every change
  }

  slotsAt(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  serverOf(node: NodeName): string | undefined {
    return this.#place(node).node.server;
  }

  /** Who listens to changes. */
  get listeners(): number {
    return this.#listeners.size;
  }

  /** Sets a new topology. Commands that wait for a lost node move to the nodes that have their slots now. */
  learn(owners: readonly NodeIndex[], lost?: NodeIndex): void {
    this.#learn(owners);
    if (lost === undefined) return;
    const place = this.#places[lost];
    const { lane, large } = place;
    place.lane = place.large = undefined;
    place.lost++;
    lane?.close();
    large?.close();
  }

  /** Whether a command with these keys may have been sent to that node, by one of the latest topologies. */
  mayAsk(node: NodeIndex, keys: readonly string[]): boolean {
    const now = this.clock.now();
    const topologies = [
      this.#owners,
      ...this.#past.filter(({ until }) => now - until < STALE).map(({ owners }) => owners),
    ];
    return topologies.some((owners) => keys.every((key) => owners[toySlotOf(key)] === node));
  }

  close(): void {
    this.#closed = true;
    for (const { lane, large } of this.#places) {
      lane?.close();
      large?.close();
    }
    for (const { node } of this.#places) node.waits.close();
    this.waits.close();
  }

  #learn(owners: readonly NodeIndex[]): void {
    const slots = owners.flatMap((owner, slot) => owner === this.#owners[slot] ? [] : [slot]);
    if (slots.length === 0) return;
    this.#past.push({ owners: this.#owners, until: this.clock.now() });
    this.#owners = [...owners];
    for (const listener of [...this.#listeners]) listener({ slots });
  }

  #place(node: NodeName): Place {
    const found = this.#places.find((place) => place.node.name === node);
    if (found === undefined) throw new RangeError(`There is no node ${node}`);
    return found;
  }

  #lane(place: Place, large: boolean): CommandLane {
    if (large) return place.large ??= new CommandLane(place.destination);
    return place.lane ??= new CommandLane(place.destination);
  }

  /** Sends a command right after an ASKING. */
  async #ask<T>(node: NodeName, command: Command<T>, options: RouteOptions): Promise<T> {
    const { signal = new AbortController().signal } = options;
    const { pipeline } = await this.connection(node, { signal });
    const [, reply] = await Promise.all([pipeline.call(ASKING), pipeline.call(command, { signal })]);
    return reply;
  }
}

/** Whether an error is the connection's own, that it was lost before the command was answered, and not that the lane was closed. */
function isOfConnection(error: unknown): boolean {
  return !(error instanceof StreamerError) || error.code !== "DISCONNECTED" || error.cause !== undefined;
}

/**
 * A node was lost before it received the command, or the command may be repeated. A retry then finds its slots
 * elsewhere.
 */
class NodeLeft extends RedisError {
  constructor(command: string) {
    super("TRYAGAIN The node has left the topology", { command });
  }
}
