// Two nodes that share the slots, and their events: slots move, a node is lost and the other one serves its slots, or
// it is away for a while. Must not use the library under test.

import { uniqueKey } from "../keys.ts";
import { type Server, startServer } from "../servers/server.ts";
import { NodeFilter } from "./node_filter.ts";
import { type NodeIndex, otherNode, SlotTable } from "./slot_table.ts";
import { toySlotOf } from "./slots.ts";

/** When the routers are notified of a move. Without that, they learn it from a node's answers alone. */
export type Notice = "early" | "at-once" | "after" | "never";

/** How a slot moves. */
export interface MoveOptions {
  /**
   * `at-once`: the old owner lets its commands wait, and answers MOVED once the keys are at the new one. `trying`: it answers
   * MOVED from the beginning, and the new one TRYAGAIN until they are there. `asking`: the old owner answers ASK until `handOver`
   * resolves, then MOVED. @default {"at-once"}
   */
  readonly how?: "at-once" | "trying" | "asking";
  /** @default {"never"} */
  readonly notice?: Notice;
  /** With `asking`: when the old owner hands the slot over. @default {at once} */
  readonly handOver?: () => Promise<unknown>;
  /** With `asking`: the reply to a blocked XREADGROUP when its key moves, as of Redis 7.0 or later. @default {"ASK"} */
  readonly ending?: "ASK" | "UNBLOCKED";
}

/** A sender of commands by a topology. */
export interface Routing {
  /** Takes over the owner of each slot, and the node that was lost, if one was. */
  learn(owners: readonly NodeIndex[], lost?: NodeIndex): void;
  /** Whether a command with these keys may have been sent to that node, by one of its latest topologies. */
  mayAsk(node: NodeIndex, keys: readonly string[]): boolean;
}

/** Two nodes. */
export class TwoNodes implements AsyncDisposable {
  readonly table: SlotTable;
  /**
   * The routers that are notified of the topology. A command of several keys must follow the topology of one of them.
   */
  readonly routers = new Set<Routing>();
  /** The faults found so far. */
  readonly faults: string[] = [];
  #nodes: readonly NodeFilter[] = [];

  private constructor() {
    this.table = new SlotTable((node) => this.nodes[node].name);
  }

  /** Starts them; even slots are at the first node, and odd ones at the second. */
  static async start(): Promise<TwoNodes> {
    const both = new TwoNodes();
    const witness = {
      seen: (node: NodeIndex, words: readonly string[], keys: readonly string[]) => {
        if (both.routers.size === 0 || new Set(keys.map(toySlotOf)).size < 2) return;
        if ([...both.routers].some((router) => router.mayAsk(node, keys))) return;
        both.faults.push(`${words[0]} names keys of both nodes: ${keys.join(" ")}`);
      },
      failed: (error: unknown) => void both.faults.push(String(error)),
    };
    const servers = await Promise.all([startServer(), startServer()]);
    both.#nodes = await Promise.all([
      NodeFilter.start(0, servers[0], both.table, witness),
      NodeFilter.start(1, servers[1], both.table, witness),
    ]);
    return both;
  }

  get nodes(): readonly NodeFilter[] {
    return this.#nodes;
  }

  /** How often a code was answered in place of the servers. */
  refusals(code: string): number {
    return this.nodes.reduce((sum, { refusals }) => sum + (refusals.get(code) ?? 0), 0);
  }

  /** A key of its own that a node owns now. */
  keyAt(node: NodeIndex, prefix = "test"): string {
    for (;;) {
      const key = uniqueKey(prefix);
      if (this.table.ownerOf(toySlotOf(key)) === node) return key;
    }
  }

  /** The real server that has a key. */
  at(key: string): NodeFilter["server"] {
    return this.nodes[this.table.holderOf(toySlotOf(key))].server;
  }

  /** The owner of each slot, as a topology shows it. */
  get owners(): NodeIndex[] {
    return Array.from({ length: 16 }, (_, slot) => this.table.ownerOf(slot));
  }

  /** Tells the routers who owns which slot. */
  tell(owners: readonly NodeIndex[] = this.owners, lost?: NodeIndex): void {
    for (const router of this.routers) router.learn(owners, lost);
  }

  /** Moves the slot of a key to the other node, with all its keys. */
  async move(slot: number, options: MoveOptions = {}): Promise<void> {
    const { how = "at-once", notice = "never" } = options;
    const from = this.table.ownerOf(slot);
    if (notice === "early") this.tell(this.owners.map((owner, at) => at === slot ? otherNode(from) : owner));
    if (how === "asking") await this.#moveAsking(slot, from, options);
    else if (how === "trying") await this.#moveTrying(slot, from, notice);
    else await this.#moveAtOnce(slot, from, notice);
    if (notice === "after") this.tell();
  }

  /** Loses a node. Its slots, with all that it has, come up at the other one; then the routers are notified. */
  async lose(node: NodeIndex, options: { readonly elected?: () => Promise<unknown> } = {}) {
    await this.nodes[node].lose();
    await options.elected?.();
    const slots = this.table.slotsOf(node);
    for (const slot of slots) await this.#copy(slot, node);
    for (const slot of slots) this.table.set(slot, { kind: "owned", owner: otherNode(node) });
    this.tell(undefined, node);
    for (const slot of slots) await this.#clear(slot, node);
  }

  /** Cuts a node's connections and refuses new ones until `back` resolves; it keeps its slots. */
  async away(node: NodeIndex, back: () => Promise<unknown>): Promise<void> {
    await this.nodes[node].lose();
    await back();
    this.nodes[node].comeBack();
  }

  async #moveAtOnce(slot: number, from: NodeIndex, notice: Notice): Promise<void> {
    const to = otherNode(from);
    const copied = Promise.withResolvers<void>();
    this.table.set(slot, { kind: "copying", owner: from, done: copied.promise });
    await this.nodes[from].quiet(slot, { deaf: /^XREAD/ });
    await this.#copy(slot, from);
    this.table.set(slot, { kind: "owned", owner: to });
    if (notice === "at-once") this.tell();
    copied.resolve();
    await this.nodes[from].endBlocked(slot, { text: `MOVED ${slot} ${this.nodes[to].name}` });
    await this.#clear(slot, from);
  }

  async #moveTrying(slot: number, from: NodeIndex, notice: Notice): Promise<void> {
    const to = otherNode(from);
    this.table.set(slot, { kind: "arriving", owner: to });
    if (notice === "at-once") this.tell();
    await this.nodes[from].endBlocked(slot, { text: `MOVED ${slot} ${this.nodes[to].name}` });
    await this.nodes[from].quiet(slot);
    await this.#copy(slot, from);
    await this.#clear(slot, from);
    this.table.set(slot, { kind: "owned", owner: to });
  }

  async #moveAsking(slot: number, from: NodeIndex, options: MoveOptions): Promise<void> {
    const { notice, handOver, ending = "ASK" } = options;
    const to = otherNode(from);
    const address = this.nodes[to].name;
    const copied = Promise.withResolvers<void>();
    this.table.set(slot, { kind: "copying", owner: from, done: copied.promise });
    const text = ending === "ASK" ? `ASK ${slot} ${address}` : "UNBLOCKED the stream key no longer exists";
    await this.nodes[from].endBlocked(slot, { text, name: "XREADGROUP" });
    await this.nodes[from].quiet(slot, { deaf: /^XREAD$/ });
    await this.#copy(slot, from);
    await this.#clear(slot, from);
    this.table.set(slot, { kind: "importing", owner: from });
    copied.resolve();
    await handOver?.();
    this.table.set(slot, { kind: "owned", owner: to });
    if (notice === "at-once") this.tell();
    await this.nodes[from].endBlocked(slot, { text: `MOVED ${slot} ${address}` });
  }

  /** Moves the keys of a slot to the other node, with their groups and pending entries. */
  async #copy(slot: number, from: NodeIndex): Promise<void> {
    const source = this.nodes[from].server;
    const target = this.nodes[otherNode(from)].server;
    for (const key of await keysIn(source, slot)) {
      const dump = await source.commandBytes("DUMP", key);
      if (!(dump instanceof Uint8Array)) throw new Error(`DUMP gave nothing for ${key}`);
      await target.command("RESTORE", key, 0, dump, "REPLACE");
    }
  }

  /** Deletes the keys of a slot where it was. */
  async #clear(slot: number, from: NodeIndex): Promise<void> {
    const source = this.nodes[from].server;
    for (const key of await keysIn(source, slot)) await source.command("DEL", key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node[Symbol.asyncDispose]()));
  }
}

async function keysIn(server: Server, slot: number): Promise<string[]> {
  const keys = await server.command("KEYS", "*");
  if (!Array.isArray(keys)) throw new Error("KEYS gave no array");
  return keys.map(String).filter((key) => toySlotOf(key) === slot);
}
