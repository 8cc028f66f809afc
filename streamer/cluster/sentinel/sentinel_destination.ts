// The destination of connections to a primary that Sentinels watch: its address is asked for before each attempt to connect.

import { type Clock, sleep } from "../../../resp/connection/clock.ts";
import { ConnectError } from "../../../resp/connection/handshake/connect_error.ts";
import type { Destination } from "../../../resp/connection/destination.ts";
import { endpointName, RedisNode } from "../../../resp/connection/node.ts";
import { reconnectDelay } from "../../../resp/connection/reconnect/backoff.ts";
import { WaitingWatch } from "../../../resp/connection/retry/waiting.ts";
import { StreamerError } from "../../../resp/errors.ts";
import type { RespLimits } from "../../../resp/limits.ts";
import type { SharedNodeOptions } from "../members/member.ts";
import { type AnnouncedAddress, explained, reachable, type ReachRules } from "../reach.ts";
import type { SlotMove } from "../topology/moves.ts";
import { SLOTS } from "../topology/slot.ts";
import type { KnownSentinels } from "./known_sentinels.ts";
import { searchPrimary } from "./search.ts";
import type { Sentinel } from "./sentinel.ts";
import { SharedRun } from "./shared_run.ts";

/** Maximum number of addresses whose state is remembered. */
const MAX_NODES = 16;

/** Options of {@linkcode SentinelDestination}. */
export interface SentinelDestinationOptions {
  /** The name by which the Sentinels know the primary. */
  readonly name: string;
  readonly sentinels: KnownSentinels;
  /** How the servers are reached that the Sentinels name. */
  readonly reach: ReachRules;
  readonly shared: SharedNodeOptions;
  /** The primary has another address, to which a connection is open. */
  readonly onMoved: (move: SlotMove) => void;
}

/** A server that the Sentinels have named. */
interface NamedNode {
  readonly node: RedisNode;
  /** Where it is dialled. */
  readonly address: string;
}

/** Leads to the primary that the Sentinels name. */
export class SentinelDestination implements Destination {
  readonly waits: WaitingWatch;
  readonly #options: SentinelDestinationOptions;
  readonly #nodes = new Map<string, NamedNode>();
  readonly #search = new SharedRun((signal) => this.#searchOnce(signal));
  readonly #persistentSearch = new SharedRun((signal) => this.#persist(signal));
  readonly #served = new Set<RedisNode>();
  #named: RedisNode | undefined; // by the latest answer
  #namedBy: Sentinel | undefined;
  #serving: RedisNode | undefined; // the latest to which a connection was open
  #epoch: bigint | undefined;
  #failure: unknown;

  constructor(options: SentinelDestinationOptions) {
    const { clock, events } = options.shared;
    this.#options = options;
    this.waits = new WaitingWatch(() => this.name, clock, events);
  }

  /** The address of the primary as it was named last, or the name by which the Sentinels know it. */
  get name(): string {
    return this.#named?.name ?? this.#options.name;
  }

  get clock(): Clock {
    return this.#options.shared.clock;
  }

  get timeout(): number {
    return this.#options.shared.timeout;
  }

  get limits(): Required<RespLimits> {
    return this.#options.shared.limits;
  }

  get losses(): number {
    let losses = 0;
    for (const { node } of this.#nodes.values()) losses += node.losses;
    return losses;
  }

  get failure(): unknown {
    return this.#failure;
  }

  /** The name and version of the server, of its latest connection. */
  get server(): string | undefined {
    return (this.#serving ?? this.#named)?.server;
  }

  /** Asks the Sentinels, and repeats that until one of them names the primary. */
  resolve(signal: AbortSignal): Promise<RedisNode> {
    return this.#persistentSearch.run(signal);
  }

  /** Asks each Sentinel at most once. Rejects with a `ConnectError` if none of them names the primary. */
  locate(signal: AbortSignal): Promise<RedisNode> {
    return this.#search.run(signal);
  }

  report(node: RedisNode, cause: unknown): void {
    this.#failure = cause;
    const isAttempt = cause instanceof ConnectError; // and no lost connection
    if (isAttempt && node === this.#named && this.#namedBy !== undefined) {
      this.#options.sentinels.note(this.#namedBy, "doubted");
    }
  }

  /** Closes the connections to Sentinels. A second call does nothing. */
  close(): void {
    this.#options.sentinels.close();
  }

  async #persist(signal: AbortSignal): Promise<RedisNode> {
    const { clock, reconnect, events } = this.#options.shared;
    const since = clock.now();
    for (let attempt = 1;; attempt++) {
      try {
        return await this.locate(signal);
      } catch (error) {
        signal.throwIfAborted();
        this.#failure = error;
        if (!(error instanceof ConnectError) || error.final) throw error;
        if (attempt > reconnect.maxAttempts) {
          const text = `No Sentinel has named the primary in ${attempt} attempts. ${error.message}`;
          throw new StreamerError("DISCONNECTED", text, { cause: error });
        }
        const delay = reconnectDelay(reconnect, clock.now() - since, clock.random());
        events.reconnect({ node: this.name, attempt, delay, cause: error });
        await sleep(clock, delay, signal);
      }
    }
  }

  async #searchOnce(signal: AbortSignal): Promise<RedisNode> {
    const { name, sentinels, reach, shared: { clock } } = this.#options;
    const isUnknownFinal = this.#served.size === 0;
    const { by, answer } = await searchPrimary({ clock, name, sentinels, epoch: this.#epoch, isUnknownFinal }, signal);
    const node = this.#nodeAt(answer.address, by, reach);
    this.#epoch = answer.epoch;
    this.#namedBy = by;
    this.#lead(node);
    return node;
  }

  /** All further connections lead to this node. */
  #lead(node: RedisNode): void {
    const before = new Set([this.#named, this.#serving]);
    if (this.#named === node) return;
    this.#named = node;
    const cause = new StreamerError("DISCONNECTED", `The Sentinels name another primary, ${node.name}`);
    for (const other of before) if (other !== node) other?.replaced(cause);
  }

  /** The node of an address, which is dialled where the rules say. Throws a final `ConnectError` if it must not be dialled. */
  #nodeAt(announced: AnnouncedAddress, by: Sentinel, reach: ReachRules): RedisNode {
    const dialled = reachable(announced, reach);
    const name = endpointName({ kind: "tcp", hostname: announced.host, port: announced.port });
    const address = endpointName(dialled);
    const known = this.#nodes.get(name);
    if (known?.address === address) return known.node;
    const { shared } = this.#options;
    const node: RedisNode = new RedisNode({
      ...shared,
      endpoint: dialled,
      name,
      waits: this.waits,
      identification: { ...shared.identification, expectedRole: "primary" },
      events: {
        ...shared.events,
        connect: (detail) => {
          this.#connected(node);
          shared.events.connect(detail);
        },
      },
      explain: (failure) =>
        this.#served.has(node) ? failure : explained(failure, { announced, dialled, by: `Sentinel ${by.name}` }),
    });
    this.#nodes.delete(name);
    this.#nodes.set(name, { node, address });
    this.#forget();
    return node;
  }

  /** Forgets the address that was named first, if there are too many. */
  #forget(): void {
    for (const [name, { node }] of this.#nodes) {
      if (this.#nodes.size <= MAX_NODES) return;
      if (node === this.#named || node === this.#serving) continue;
      this.#nodes.delete(name);
      this.#served.delete(node);
    }
  }

  /** A connection to a node is open. */
  #connected(node: RedisNode): void {
    this.#served.add(node);
    if (node === this.#serving) return;
    if (node !== this.#named) { // the Sentinels have named another one meanwhile
      const cause = new StreamerError("DISCONNECTED", `The Sentinels name another primary, ${this.name}`);
      queueMicrotask(() => node.replaced(cause)); // the owner of the connection gets it first
      return;
    }
    const from = this.#serving;
    this.#serving = node;
    if (from === undefined || from.name === node.name) return;
    this.#options.onMoved({ slots: [[0, SLOTS - 1]], from: from.name, to: node.name });
  }
}
