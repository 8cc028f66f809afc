// One node: a real server with a filter that answers for the keys the node does not serve, records commands, and can be
// lost. Must not use the library under test.

import { until } from "../events.ts";
import { Listener } from "../network/sockets.ts";
import type { OwnServer } from "../servers/server.ts";
import { keysOf } from "./command_keys.ts";
import { FilterConnection, type Judge, type PassedCommand } from "./filter_connection.ts";
import type { NodeIndex, SlotTable } from "./slot_table.ts";
import { toySlotOf } from "./slots.ts";

/** The node's reports about its commands. */
export interface Witness {
  /** A command with keys has come. */
  seen(node: NodeIndex, words: readonly string[], keys: readonly string[]): void;
  /** Something is wrong with the test itself. */
  failed(error: unknown): void;
}

/** A node. */
export class NodeFilter implements AsyncDisposable {
  readonly index: NodeIndex;
  readonly server: OwnServer;
  /** How often each command has come, by its name. */
  readonly commands = new Map<string, number>();
  /** How often each code was answered in place of the server: MOVED, ASK, TRYAGAIN. */
  readonly refusals = new Map<string, number>();
  /** Connections refused. */
  refused = 0;
  /** Whether pushes of the server reach the clients. */
  pushes = true;
  readonly #table: SlotTable;
  readonly #witness: Witness;
  readonly #connections = new Set<FilterConnection>();
  readonly #passed = new Set<PassedCommand>();
  #listener: Listener | undefined;
  #refusing = false;

  private constructor(index: NodeIndex, server: OwnServer, table: SlotTable, witness: Witness) {
    this.index = index;
    this.server = server;
    this.#table = table;
    this.#witness = witness;
  }

  /** Starts one in front of a server. */
  static async start(index: NodeIndex, server: OwnServer, table: SlotTable, witness: Witness): Promise<NodeFilter> {
    const node = new NodeFilter(index, server, table, witness);
    node.#listener = await Listener.open((socket) => {
      if (node.#refusing) {
        node.refused++;
        socket.destroy();
        return;
      }
      const fail = (error: unknown) => witness.failed(error);
      const connection = new FilterConnection(socket, server.address, node.#judge, fail);
      node.#connections.add(connection);
      connection.closed.then(() => node.#connections.delete(connection));
    });
    return node;
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  get name(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Connections that are open. */
  get open(): number {
    return this.#connections.size;
  }

  /**
   * Closes every connection and refuses new ones. Resolves when the server has executed all commands received from
   * them.
   */
  async lose(): Promise<void> {
    this.#refusing = true;
    for (const connection of this.#connections) connection.cut();
    await Promise.all([...this.#connections].map(({ closed }) => closed));
    const isAlone = async () => {
      const clients = String(await this.server.command("CLIENT", "LIST", "TYPE", "normal"));
      return clients.trim().split("\n").length === 1; // the one that asks
    };
    await until(isAlone, { what: "the server has noticed the end of all connections" });
  }

  /** Takes connections again. */
  comeBack(): void {
    this.#refusing = false;
  }

  /** Ends the reads that are blocked on a slot: they are answered with a text in place of nothing. */
  async endBlocked(slot: number, options: { readonly text: string; readonly name?: string }): Promise<void> {
    const reads = [...this.#passed].filter(({ blocks, slots, name }) =>
      blocks && slots.includes(slot) && (options.name ?? name) === name
    );
    await Promise.all(reads.map(async (read) => {
      read.instead = options.text;
      const ended = async () => {
        const { clientId } = read.connection;
        if (!read.isOver && clientId !== undefined) await this.server.command("CLIENT", "UNBLOCK", clientId);
        return read.isOver;
      };
      await until(ended, { what: "a blocked read has ended" });
    }));
  }

  /** Resolves when the server has answered all commands of a slot, except for blocked reads that no event ends. */
  async quiet(slot: number, options: { readonly deaf?: RegExp } = {}): Promise<void> {
    const open = [...this.#passed].filter(({ blocks, slots, name }) =>
      slots.includes(slot) && !(blocks && options.deaf?.test(name))
    );
    await Promise.all(open.map(({ over }) => over));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#refusing = true;
    for (const connection of this.#connections) connection.cut();
    await this.#listener?.stop();
    await Promise.all([...this.#connections].map(({ closed }) => closed));
    await this.server.stop();
  }

  readonly #judge: Judge = {
    rule: (words, asking) => {
      const name = words[0].toUpperCase();
      const keys = keysOf(words);
      const ruling = name === "ASKING"
        ? { kind: "answer", text: "OK" } as const
        : this.#table.rule(this.index, keys, asking);
      if (ruling.kind !== "wait") {
        count(this.commands, name);
        if (keys.length > 0) this.#witness.seen(this.index, words, keys);
        if (ruling.kind === "answer" && name !== "ASKING") count(this.refusals, ruling.text.split(" ")[0]);
      }
      return { ...ruling, slots: [...new Set(keys.map(toySlotOf))] };
    },
    passed: (command) => void this.#passed.add(command),
    over: (command) => void this.#passed.delete(command),
    pushes: () => this.pushes,
  };
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
