// A cluster in memory, of hosts that a test scripts: each says what the test wants it to say about the cluster, and serves
// the slots that the test gives it. Must not use the library under test, apart from the slot of a key.

import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { handshake, HELLO3 } from "../network/fake_server.ts";
import { keysOf } from "../routing/command_keys.ts";
import type { FakeHost, FakeLink, FakeNet, Handler } from "./fake_net.ts";
import { bulk, map, resp, type RespReply } from "./resp_text.ts";

/** A node as CLUSTER SLOTS names it. */
export interface NamedNode {
  readonly host: string | null;
  readonly port: number;
  readonly id: string;
  /** Further names. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A row of CLUSTER SLOTS: the primary comes first. */
export type SlotRow = readonly [first: number, last: number, ...nodes: NamedNode[]];

/** The bytes of an answer to CLUSTER SLOTS. */
export function slotsReply(rows: readonly SlotRow[]): string {
  return resp(rows.map(([first, last, ...nodes]) => [first, last, ...nodes.map(rowOf)]));
}

function rowOf({ host, port, id, metadata = {} }: NamedNode): RespReply {
  return [host === null ? null : bulk(host), port, bulk(id), map(metadata)];
}

/** An id of a node, of 40 hexadecimal digits. */
export function nodeId(number: number): string {
  return number.toString(16).padStart(40, "0");
}

const HELLO_CLUSTER = HELLO3.replace("$10\r\nstandalone", "$7\r\ncluster");

/** A node of the cluster. */
export class FakeNode {
  readonly name: NamedNode;
  readonly host: FakeHost;
  /** Overrides the answer to a command; `undefined`: the usual one. */
  script: Handler = () => undefined;
  /** What it says about the cluster. @default {what the cluster knows} */
  view: (() => string) | undefined;
  readonly #cluster: FakeCluster;

  constructor(net: FakeNet, cluster: FakeCluster, name: NamedNode) {
    this.name = name;
    this.#cluster = cluster;
    this.host = net.add(
      `${name.host}:${name.port}`,
      (words, link) => this.script(words, link) ?? this.#usual(words, link),
    );
  }

  get address(): string {
    return this.host.name;
  }

  /** Commands that concern a key. */
  get keyed(): number {
    return this.host.commands.filter((words) => isKeyed(words)).length;
  }

  #usual(words: readonly string[], link: FakeLink): string | undefined {
    const [name, sub] = words.map((word) => word.toUpperCase());
    if (name === "HELLO") return HELLO_CLUSTER;
    if (name === "ROLE") return resp([bulk(this.#cluster.isOwner(this) ? "master" : "slave"), 0, []]);
    if (name === "CLUSTER" && sub === "SLOTS") return this.view?.() ?? slotsReply(this.#cluster.rows);
    if (name === "CLUSTER" && sub === "MYID") return resp(bulk(this.name.id));
    if (name === "ASKING") return "+OK\r\n";
    const answer = handshake[name];
    if (answer !== undefined) return typeof answer === "string" ? answer : String(answerOf(answer, words));
    if (!isKeyed(words)) return `-ERR unknown command '${name}'\r\n`;
    const slot = slotOfKey(keysOf(words)[0]);
    const owner = this.#cluster.ownerOf(slot);
    if (owner === undefined) return "-CLUSTERDOWN Hash slot not served\r\n";
    if (owner !== this && !link.asking) return `-MOVED ${slot} ${owner.address}\r\n`;
    return this.#cluster.serve(words);
  }
}

/** A cluster. */
export class FakeCluster {
  readonly nodes: readonly FakeNode[];
  /** What its nodes say about it. */
  rows: readonly SlotRow[];
  /** Entries of each key. */
  readonly entries = new Map<string, number>();

  /** `names` are addresses, `"host:port"`. The slots are spread evenly. */
  constructor(net: FakeNet, names: readonly string[], { firstId = 1 } = {}) {
    this.nodes = names.map((name, i) => {
      const [host, port] = name.split(":");
      return new FakeNode(net, this, { host, port: Number(port), id: nodeId(firstId + i) });
    });
    this.rows = evenly(this.nodes.map(({ name }) => name));
  }

  get urls(): string[] {
    return this.nodes.map(({ address }) => `redis://${address}`);
  }

  ownerOf(slot: number): FakeNode | undefined {
    const row = this.rows.find(([first, last]) => first <= slot && slot <= last);
    return this.nodes.find(({ name }) => name.id === row?.[2].id);
  }

  isOwner(node: FakeNode): boolean {
    return this.rows.some(([, , primary]) => primary.id === node.name.id);
  }

  /** A key of a node. */
  keyOf(node: FakeNode, prefix = "k"): string {
    for (let i = 0;; i++) if (this.ownerOf(slotOfKey(`${prefix}${i}`)) === node) return `${prefix}${i}`;
  }

  /** Gives one slot to another node. */
  move(slot: number, to: FakeNode): void {
    this.rows = this.rows.flatMap((row): SlotRow[] => {
      const [first, last, ...nodes] = row;
      if (slot < first || slot > last) return [row];
      const parts: SlotRow[] = [[first, slot - 1, ...nodes], [slot, slot, to.name], [slot + 1, last, ...nodes]];
      return parts.filter(([from, until]) => from <= until);
    });
  }

  /** XADD, XLEN, TYPE, and scripts that return 1. */
  serve(words: readonly string[]): string {
    const [name] = words;
    const [key] = keysOf(words);
    const count = this.entries.get(key) ?? 0;
    switch (name.toUpperCase()) {
      case "XADD":
        this.entries.set(key, count + 1);
        return resp(bulk(`${count + 1}-0`));
      case "XLEN":
        return resp(count);
      case "EVAL":
        return resp(1);
      case "TYPE":
        return count > 0 ? "+stream\r\n" : "+none\r\n";
      default:
        return `-ERR unknown command '${name}'\r\n`;
    }
  }
}

/** Rows that spread the slots evenly. */
export function evenly(nodes: readonly NamedNode[]): SlotRow[] {
  return nodes.map((node, i) => {
    const [first, next] = [i, i + 1].map((part) => Math.round(16_384 / nodes.length * part));
    return [first, next - 1, node];
  });
}

function isKeyed([name]: readonly string[]): boolean {
  return /^(X|TYPE$|EXISTS$|EVAL)/i.test(name);
}

function answerOf(answer: Exclude<(typeof handshake)[string], string>, words: readonly string[]): unknown {
  return typeof answer === "function" ? answer([...words]) : answer;
}
