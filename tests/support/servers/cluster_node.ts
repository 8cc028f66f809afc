// One server of a cluster that a test owns. Must not use the library under test.

import { type KnownNode, type NodeView, viewFrom } from "./node_view.ts";
import type { OwnServer, Reply, Signal, Word } from "./server.ts";

/** What a node is doing: only a running one is asked and waited for. */
type Condition = "running" | "suspended" | "gone";

/** A node. */
export class ClusterNode {
  readonly server: OwnServer;
  /** 40 hexadecimal digits. */
  readonly id: string;
  #condition: Condition = "running";
  #role: KnownNode["role"] = "primary";

  constructor(server: OwnServer, id: string) {
    this.server = server;
    this.id = id;
  }

  get port(): number {
    return this.server.port;
  }

  get url(): string {
    return this.server.url;
  }

  /** As MOVED and the library name it. */
  get name(): string {
    return `${this.server.host}:${this.port}`;
  }

  /** As it was when the cluster was settled last: see `Cluster.untilOk`. */
  get role(): KnownNode["role"] {
    return this.#role;
  }

  /** Whether it runs and is not suspended. */
  get running(): boolean {
    return this.#condition === "running";
  }

  /** Runs one command here; a redirect rejects, as every error reply does. */
  command(...words: Word[]): Promise<Reply> {
    return this.server.command(...words);
  }

  /** What it says about the cluster; `undefined` if it does not answer. */
  async view(): Promise<NodeView | undefined> {
    if (!this.running) return undefined;
    const view = await viewFrom(this.server.address);
    this.#role = view?.myself.role ?? this.#role;
    return view;
  }

  /** Sends a signal; resolves when it took effect. */
  async kill(signal: Signal = "SIGKILL"): Promise<void> {
    await this.server.kill(signal);
    this.#condition = signal === "SIGCONT" ? "running" : signal === "SIGSTOP" ? "suspended" : "gone";
  }

  /** Suspends the process: its connections stay open and are not served. */
  freeze(): Promise<void> {
    return this.kill("SIGSTOP");
  }

  /** Ends `freeze`. */
  continue(): Promise<void> {
    return this.kill("SIGCONT");
  }

  /** Ends the process if it still runs, and starts it again with its port, id and slots, but without data. */
  async restart(): Promise<void> {
    this.#condition = "gone";
    await this.server.restart();
    this.#condition = "running";
  }

  /** Ends the process and removes its folder. */
  async stop(): Promise<void> {
    this.#condition = "gone";
    await this.server.stop();
  }
}
