// A cluster of real servers: its start, its topology, its faults. No other program than the server is needed. Must not
// use the library under test, apart from what `RoutedClient` says.

import { until } from "../events.ts";
import { ClusterNode } from "./cluster_node.ts";
import { type NodeView, whyUnsettled } from "./node_view.ts";
import { toText } from "./raw_client.ts";
import { findServer } from "./server_binary.ts";
import { RoutedClient, slotOfCommand } from "./routed_client.ts";
import { offsetOf } from "./replicas.ts";
import { type Reply, type ServerOptions, startServer, type Word } from "./server.ts";
import { moveAtomically, type MoveOptions, moveSlot } from "./slot_moves.ts";

export { ClusterNode, type MoveOptions };

const SLOTS = 16_384;

/** Options of `startCluster`. */
export interface ClusterOptions extends Pick<ServerOptions, "password" | "program"> {
  /** For all nodes, or by the number of a node. */
  readonly tls?: ServerOptions["tls"] | ((node: number) => ServerOptions["tls"]);
  /** Fewer than three can elect no successor of one that is lost. @default {3} */
  readonly primaries?: number;
  /** Of each primary. @default {0} */
  readonly replicas?: number;
  /** Further arguments of redis-server, for all nodes or by the number of a node; they win over the default ones. */
  readonly args?: readonly string[] | ((node: number) => readonly string[]);
  /** Milliseconds of silence after which the others take a node for lost. @default {2_000} */
  readonly nodeTimeout?: number;
}

/** A cluster that a test owns. */
export class Cluster implements AsyncDisposable {
  /** The primaries of the start, in the order of their slots, and then their replicas. */
  readonly nodes: readonly ClusterNode[];
  readonly #client: RoutedClient;

  private constructor(nodes: readonly ClusterNode[]) {
    this.nodes = nodes;
    this.#client = new RoutedClient(nodes.map(({ server }) => server.address));
  }

  /** Starts one; the slots are spread evenly. */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const { primaries = 3, replicas = 0, program } = options;
    if (await findServer(program) === undefined) throw new Error("Cannot start a cluster: it needs a server program");
    const count = primaries * (1 + replicas);
    const started = await Promise.allSettled(Array.from({ length: count }, (_, at) => startNode(at, options)));
    const nodes = started.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
    const cluster = new Cluster(nodes);
    try {
      for (const one of started) if (one.status === "rejected") throw one.reason;
      await cluster.#join(primaries);
      await cluster.untilOk();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** Of one node. */
  get url(): string {
    return this.nodes[0].url;
  }

  /** Of all nodes. */
  get urls(): string[] {
    return this.nodes.map(({ url }) => url);
  }

  /** The nodes that were primaries when the cluster was settled last, lost ones included. */
  get primaries(): ClusterNode[] {
    return this.nodes.filter(({ role }) => role === "primary");
  }

  /** The replicas of a node, as itself or another one sees them, if they run. */
  async replicasOf(primary: ClusterNode): Promise<ClusterNode[]> {
    const replicas = new Set<string>();
    for (const { nodes } of await this.views()) {
      for (const known of nodes) if (known.primary === primary.id) replicas.add(known.id);
    }
    return this.nodes.filter(({ id, running }) => running && replicas.has(id));
  }

  /** The node that owns a slot now, by its own word. */
  async ownerOf(slot: number): Promise<ClusterNode> {
    return this.#byPort((await this.#client.ownerOf(slot)).port);
  }

  /** Runs one command at the owner of its key, and follows redirects; waits while the slot has no owner that serves it. */
  async command(...words: Word[]): Promise<Reply> {
    const slot = slotOfCommand(words);
    if (slot === undefined) throw new Error(`Cannot route ${words[0]}: it names no key. Ask a node`);
    const [reply] = await this.#client.run([{ words, slot }]);
    if (reply instanceof Error) throw reply;
    return toText(reply);
  }

  /** What the running nodes say that answer. */
  async views(): Promise<NodeView[]> {
    return (await Promise.all(this.nodes.map((node) => node.view()))).filter((view) => view !== undefined);
  }

  /**
   * Moves a slot with its keys, by SETSLOT and MIGRATE. Until `askWindow` is over, the old owner answers ASK for keys that it does
   * not have.
   */
  async moveSlot(slot: number, to: ClusterNode, options: MoveOptions = {}): Promise<void> {
    const from = await this.ownerOf(slot);
    if (from === to) return;
    await moveSlot(slot, { from, to, others: this.nodes.filter((node) => node !== from && node !== to) }, options);
  }

  /**
   * Moves slots with their keys in one step, as Valkey 9 (MIGRATESLOTS) and Redis 8.4 (MIGRATION IMPORT) do. All of them have one
   * owner. Returns false if the servers have neither.
   */
  async moveSlotsAtomically(first: number, last: number, to: ClusterNode): Promise<boolean> {
    return await moveAtomically([first, last], await this.ownerOf(first), to);
  }

  /** The graceful way: a replica takes the place of its primary, which becomes its replica. Nothing is lost. */
  async failOver(replica: ClusterNode): Promise<void> {
    await replica.command("CLUSTER", "FAILOVER");
    await until(async () => (await replica.view())?.myself.role === "primary", { what: "the replica is the primary" });
    await this.untilOk();
  }

  /** Waits until the running replicas of a primary have all that it has. */
  async inStep(primary: ClusterNode): Promise<void> {
    const replicas = await this.replicasOf(primary);
    await until(async () => {
      const offsets = await Promise.all([primary, ...replicas].map(({ server }) => offsetOf(server)));
      return new Set(offsets).size === 1;
    }, { what: `the replicas of ${primary.name} are in step` });
  }

  /** Kills a node. The others take it for lost after the node timeout: see `untilElected`. */
  async kill(node: ClusterNode): Promise<void> {
    await node.kill();
  }

  /** Waits until a replica has taken the place of a primary that was lost; resolves to it when all running nodes agree. */
  async untilElected(lost: ClusterNode): Promise<ClusterNode> {
    const candidates = await this.replicasOf(lost);
    const elected = await until(async () => {
      const views = await Promise.all(candidates.map((node) => node.view()));
      return candidates.find((_, at) => views[at]?.myself.role === "primary" && views[at].myself.slots.length > 0);
    }, { timeout: 20_000, what: `a replica of ${lost.name} is elected` });
    await this.untilOk();
    return elected;
  }

  /** Waits until all running nodes are ok and agree about each other, their roles and their slots. */
  async untilOk(): Promise<void> {
    const started = this.nodes;
    let why: string | undefined;
    const settled = async () => {
      const running = started.filter((node) => node.running);
      const views = await Promise.all(running.map((node) => node.view()));
      why = whyUnsettled(views, { count: started.length, running: running.map(({ id }) => id) });
      return why === undefined;
    };
    await until(settled, { timeout: 20_000 }).catch((cause) => {
      throw new Error(`The cluster did not settle: ${why}`, { cause });
    });
  }

  /** Ends everything. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #byPort(port: number): ClusterNode {
    const node = this.nodes.find((node) => node.port === port);
    if (node === undefined) throw new Error(`No node of the cluster listens on port ${port}`);
    return node;
  }

  async #join(primaries: number): Promise<void> {
    const { nodes } = this;
    await Promise.all(nodes.map(async (node, at) => {
      await node.command("CLUSTER", "SET-CONFIG-EPOCH", at + 1);
      if (at >= primaries) return;
      const [first, next] = [at, at + 1].map((part) => Math.round(SLOTS / primaries * part));
      await node.command("CLUSTER", "ADDSLOTS", ...Array.from({ length: next - first }, (_, i) => first + i));
    }));
    // Each meets all later ones: waiting for gossip takes seconds.
    await Promise.all(nodes.map(async (node, at) => {
      for (const other of nodes.slice(at + 1)) await node.command("CLUSTER", "MEET", other.server.host, other.port);
    }));
    await Promise.all(
      nodes.slice(primaries).map(async (replica, at) => {
        const primary = nodes[at % primaries];
        const known = async () => (await replica.view())?.nodes.some(({ id }) => id === primary.id);
        await until(known, { what: "a replica knows its primary" });
        await replica.command("CLUSTER", "REPLICATE", primary.id);
      }),
    );
  }
}

/** Starts a cluster; all its nodes serve when this resolves. Takes two to three seconds. */
export function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  return Cluster.start(options);
}

async function startNode(at: number, options: ClusterOptions): Promise<ClusterNode> {
  const { args = [], nodeTimeout = 2_000, password, program } = options;
  const tls = typeof options.tls === "function" ? options.tls(at) : options.tls;
  const list = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"];
  list.push("--cluster-node-timeout", String(nodeTimeout), "--cluster-announce-ip", "127.0.0.1");
  list.push("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0");
  if (password !== undefined) list.push("--masterauth", password);
  if (tls) list.push("--tls-cluster", "yes", "--tls-replication", "yes");
  list.push(...(typeof args === "function" ? args(at) : args));
  // On a unix socket, a redirect names the port without TLS, which may be 0.
  const server = await startServer({ password, program, tls, socket: false, args: list });
  // A node that has given its last slot away stays a primary. Redis 7.0; before, it is one anyway.
  await server.commands([["CONFIG", "SET", "cluster-allow-replica-migration", "no"]]);
  return new ClusterNode(server, String(await server.command("CLUSTER", "MYID")));
}
