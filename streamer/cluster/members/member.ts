// A node of a cluster: where its connections lead, and the connections on which commands run.

import type { Command } from "../../../resp/connection/command.ts";
import type { ConnectError } from "../../../resp/connection/handshake/connect_error.ts";
import type { Destination } from "../../../resp/connection/destination.ts";
import { endpointName, type OpenConnection, RedisNode, type RedisNodeOptions } from "../../../resp/connection/node.ts";
import { WaitingWatch } from "../../../resp/connection/retry/waiting.ts";
import type { Clock, Timer } from "../../../resp/connection/clock.ts";
import { RecalledError } from "../../../resp/connection/lane.ts";
import type { RespLimits } from "../../../resp/limits.ts";
import { NodeLanes } from "../node_lanes.ts";
import type { Endpoint } from "../reach.ts";
import type { NodeName } from "../router.ts";

/** What all nodes of a cluster have in common. */
export type SharedNodeOptions = Omit<RedisNodeOptions, "endpoint" | "name" | "nodeId" | "explain" | "waits">;

/** Options of {@linkcode Member}. */
export interface MemberOptions {
  readonly name: NodeName;
  /** Its host, for nodes that it names without one. */
  readonly host: string;
  readonly shared: SharedNodeOptions;
  /** Where it is dialled now. Asked at each attempt. Throws a final `ConnectError` if it must not be dialled. */
  readonly endpoint: () => Endpoint;
  readonly nodeId?: RedisNodeOptions["nodeId"];
  /** Explains why the first connection could not be opened. */
  readonly explain?: (failure: ConnectError, dialled: Endpoint) => ConnectError;
  /** A connection to it was lost, could not be opened, or leads to a replica. */
  readonly onTrouble: (member: Member, cause: unknown) => void;
}

/** Milliseconds for which a node that does not answer is suspect. */
const SUSPECT_FOR = 2_000;

/** A node of a cluster, or an address that the user gave. */
export class Member implements Destination {
  readonly name: NodeName;
  readonly host: string;
  readonly waits: WaitingWatch;
  readonly #options: MemberOptions;
  #node: RedisNode | undefined;
  #address = ""; // of that node
  #refused: unknown; // why it was not dialled the last time
  #lanes: NodeLanes | undefined;
  readonly #asking = new Set<AbortController>(); // of those that wait for a connection of the lanes
  #holders = 0; // who use a connection of the lanes
  #redialling: Timer | undefined;
  #isTroubled = false;
  #suspectUntil = -Infinity;
  #hasServed = false;
  #closed = false;

  constructor(options: MemberOptions) {
    const { name, host, shared: { clock, events } } = options;
    this.name = name;
    this.host = host;
    this.waits = new WaitingWatch(name, clock, events);
    this.#options = options;
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
    return this.#node?.losses ?? 0;
  }

  get failure(): unknown {
    return this.#refused ?? this.#node?.failure;
  }

  /** The name and version of its server, of its latest connection. */
  get server(): string | undefined {
    return this.#node?.server;
  }

  // deno-lint-ignore require-await -- so that it rejects instead of throwing
  async resolve(): Promise<RedisNode> {
    return this.node();
  }

  /** The node as it is dialled now. Throws a final `ConnectError` if it must not be dialled. */
  node(): RedisNode {
    let endpoint: Endpoint;
    try {
      endpoint = this.#options.endpoint();
      this.#refused = undefined;
    } catch (error) {
      this.#refused = error;
      throw error;
    }
    const address = endpointName(endpoint);
    if (this.#node === undefined || this.#address !== address) {
      const { name, shared, nodeId, explain } = this.#options;
      this.#address = address;
      this.#node = new RedisNode({
        ...shared,
        endpoint,
        name,
        waits: this.waits,
        nodeId,
        explain: (failure) => this.#hasServed || explain === undefined ? failure : explain(failure, endpoint),
      });
    }
    return this.#node;
  }

  report(_node: RedisNode, cause: unknown): void {
    this.#isTroubled = true;
    this.#options.onTrouble(this, cause);
  }

  /** Whether a connection was lost, or could not be opened, and none has been opened since. */
  get isTroubled(): boolean {
    return this.#isTroubled;
  }

  /** It does not answer. */
  suspected(): void {
    this.#suspectUntil = this.clock.now() + SUSPECT_FOR;
  }

  /** Whether it does not answer, although connections to it are open. */
  get isSuspect(): boolean {
    return this.clock.now() < this.#suspectUntil;
  }

  /** A connection to it is open. */
  connected(): void {
    this.#isTroubled = false;
    this.#hasServed = true;
  }

  /**
   * It has answered with a redirect to itself, or with a redirect that cannot be followed: a proxy may lead to another node now. Its
   * connections are closed after all replies, and dialled anew, once for all commands that were answered so. If the new ones give the
   * same answer, they are dialled again at the pace of reconnecting.
   */
  redial(cause: unknown): void {
    const demotions = this.#node?.demotions;
    if (demotions === undefined || demotions.isLeaving || this.#redialling !== undefined || this.#closed) return;
    const delay = demotions.refused(cause);
    if (delay === 0) return;
    this.#redialling = this.clock.after(delay, () => {
      this.#redialling = undefined;
      demotions.everywhere(cause);
    });
  }

  /** The connections on which commands run. */
  get lanes(): NodeLanes {
    this.#lanes ??= new NodeLanes(this);
    if (this.#closed) this.#lanes.close();
    return this.#lanes;
  }

  /** Whether there are connections on which commands run. */
  get hasLanes(): boolean {
    return this.#lanes !== undefined;
  }

  /** Passes the connection for commands to `use`, and keeps it while that runs. Rejects as described for {@linkcode recall}. */
  async holding<T>(signal: AbortSignal, use: (open: OpenConnection) => Promise<T>): Promise<T> {
    const recall = new AbortController();
    this.#holders++;
    this.#asking.add(recall);
    try {
      const open = await this.lanes.connection({ signal: AbortSignal.any([signal, recall.signal]) });
      this.#asking.delete(recall);
      return await use(open);
    } finally {
      this.#asking.delete(recall);
      this.#holders--;
    }
  }

  /** Takes over an open connection for commands. Gives false if it does not lead to the address at which the node is dialled. */
  adopt(opened: OpenConnection): boolean {
    try {
      const node = this.node();
      if (this.#address !== opened.node.name) return false;
      this.#lanes = new NodeLanes(this, node.adopt(opened));
      return true;
    } catch {
      return false; // it must not be dialled
    }
  }

  /**
   * Rejects the commands that wait for a connection to this node and for which `concerns` returns true, with a `RecalledError`. So do all
   * that wait in {@linkcode holding}.
   */
  recall(concerns: (command: Command<unknown>) => boolean): void {
    this.#lanes?.recall(concerns);
    for (const asking of this.#asking) asking.abort(new RecalledError(this));
  }

  /** Closes the connections on which commands run, unless a command waits for one. */
  rest(): void {
    if (this.#lanes === undefined || this.#holders > 0 || !this.#lanes.isIdle) return;
    this.#lanes.close();
    this.#lanes = undefined;
  }

  /** Closes the connections on which commands run. A second call does nothing. */
  close(): void {
    this.#closed = true;
    this.#redialling?.stop();
    this.#lanes?.close();
    this.waits.close();
  }
}
