// A cluster whose nodes are one real server behind several addresses: each answers for the slots that the test gives it, and
// redirects the others as the test says. So streams and groups are real, and only the redirects are made up.

import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { Listener } from "../network/sockets.ts";
import { keysOf } from "../routing/command_keys.ts";
import { FilterConnection, type Judge } from "../routing/filter_connection.ts";
import { type Cluster, startCluster } from "../servers/cluster.ts";
import { evenly, type NamedNode, nodeId, type SlotRow, slotsReply } from "./fake_cluster.ts";

/** A command that came to a node. */
export interface Arrival {
  readonly words: readonly string[];
  readonly keys: readonly string[];
  /** Whether it follows an ASKING. */
  readonly asking: boolean;
  /** The number of its connection to this node, from 0 on. */
  readonly connection: number;
}

/** The answer to a command in place of the server's: the text of an error, or a whole reply. `undefined`: the usual one. */
export type FrontScript = (arrival: Arrival) => string | undefined;

/** One address. */
export class Front implements AsyncDisposable {
  readonly id: string;
  script: FrontScript = () => undefined;
  /** How often each command came, by its name. */
  readonly commands = new Map<string, number>();
  /** Connections so far. */
  dials = 0;
  readonly #connections = new Set<FilterConnection>();
  #listener: Listener | undefined;

  constructor(id: string) {
    this.id = id;
  }

  /** Starts to listen. */
  async open(cluster: Fronts): Promise<void> {
    const { server } = cluster.real.nodes[0];
    this.#listener = await Listener.open((socket) => {
      const number = this.dials++;
      const connection = new FilterConnection(socket, server.address, this.#judge(cluster, number), (error) => {
        cluster.faults.push(error);
      });
      this.#connections.add(connection);
      connection.closed.then(() => this.#connections.delete(connection));
    });
  }

  get name(): NamedNode {
    return { host: "127.0.0.1", port: this.#listener?.port ?? 0, id: this.id };
  }

  get address(): string {
    return `127.0.0.1:${this.name.port}`;
  }

  /** How often a command came. */
  count(name: string): number {
    return this.commands.get(name) ?? 0;
  }

  #judge(cluster: Fronts, connection: number): Judge {
    return {
      rule: (words, asking) => {
        const [name, sub] = words.map((word) => word.toUpperCase());
        const keys = keysOf(words);
        this.commands.set(name, this.count(name) + 1);
        const slots = [...new Set(keys.map(slotOfKey))];
        const answer = (text: string) => ({ kind: "answer", text, slots } as const);
        if (name === "ASKING") return answer("OK");
        const scripted = this.script({ words, keys, asking, connection });
        if (scripted !== undefined) return answer(scripted);
        if (name === "CLUSTER" && sub === "SLOTS") return answer(slotsReply(cluster.rows));
        if (name === "CLUSTER" && sub === "MYID") return answer(`$40\r\n${this.id}\r\n`);
        const foreign = asking ? undefined : slots.find((slot) => cluster.ownerOf(slot) !== this);
        if (foreign !== undefined) return answer(`MOVED ${foreign} ${cluster.ownerOf(foreign).address}`);
        return { kind: "serve", slots };
      },
      passed: () => {},
      over: () => {},
      pushes: () => true,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection.cut();
    await this.#listener?.stop();
    await Promise.all([...this.#connections].map(({ closed }) => closed));
  }
}

/** All of them. */
export class Fronts implements AsyncDisposable {
  readonly real: Cluster;
  readonly nodes: readonly Front[];
  rows: SlotRow[] = [];
  /** Faults of the test itself. */
  readonly faults: unknown[] = [];

  private constructor(real: Cluster, nodes: readonly Front[]) {
    this.real = real;
    this.nodes = nodes;
  }

  /** Starts so many; the slots are spread evenly. */
  static async start(count = 2): Promise<Fronts> {
    const real = await startCluster({ primaries: 1 });
    const fronts = new Fronts(real, Array.from({ length: count }, (_, i) => new Front(nodeId(i + 1))));
    for (const front of fronts.nodes) await front.open(fronts);
    fronts.rows = evenly(fronts.nodes.map(({ name }) => name));
    return fronts;
  }

  get url(): string {
    return `redis://${this.nodes[0].address}`;
  }

  ownerOf(slot: number): Front {
    const row = this.rows.find(([first, last]) => first <= slot && slot <= last);
    return this.nodes.find(({ id }) => id === row?.[2].id) ?? this.nodes[0];
  }

  /** A key of a node. */
  keyOf(node: Front, prefix = "k"): string {
    for (let i = 0;; i++) if (this.ownerOf(slotOfKey(`${prefix}${i}`)) === node) return `${prefix}${i}`;
  }

  /** Runs a command at the real server. */
  command(...words: (string | number)[]) {
    return this.real.nodes[0].command(...words);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node[Symbol.asyncDispose]()));
    await this.real.stop();
    if (this.faults.length > 0) throw this.faults[0];
  }
}
