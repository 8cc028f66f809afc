// What commands of a test mean on a cluster: those with keys go to their owners, those without to all nodes, and the
// replies become one. Must not use the library under test.

import { type Address, ask, type RawReply, type Word } from "./raw_client.ts";
import { type Routed, RoutedClient, slotOfCommand, textOf } from "./routed_client.ts";

/** Commands without a key of which one node's reply is as good as another's. */
const ANY: ReadonlySet<string> = new Set(["PING", "TIME", "CONFIG GET", "ACL WHOAMI", "ROLE", "COMMAND"]);
/** Commands that all nodes execute, and whose replies are equal. */
const EACH: ReadonlySet<string> = new Set([
  ...["ECHO", "ACL SETUSER", "CONFIG SET", "CONFIG RESETSTAT", "CLIENT PAUSE", "CLIENT UNPAUSE", "FLUSHALL"],
  ...["SCRIPT FLUSH", "ACL LOG"],
]);
/** Commands whose replies are numbers to be added. */
const ADDED: ReadonlySet<string> = new Set(["DBSIZE", "ACL DELUSER", "CLIENT KILL", "CLIENT UNBLOCK"]);
/** Commands of several keys that may be run key by key. */
const PER_KEY: ReadonlySet<string> = new Set(["DEL", "EXISTS", "UNLINK", "TOUCH"]);

/** Fields of INFO that mean the whole cluster's when they are added. */
const SUMS = /^(connected_clients|blocked_clients|tracking_clients|used_memory|total_\w+|evicted_\w+|rejected_\w+)$/;

/** Runs commands on a cluster as if it were one server. */
export class ClusterCommands {
  readonly #client: RoutedClient;
  readonly #nodes: readonly Address[];

  /** All of its nodes are primaries. */
  constructor(nodes: readonly Address[]) {
    this.#nodes = nodes;
    this.#client = new RoutedClient(nodes);
  }

  /** Runs commands; error replies are values. Those of one key keep their order, and those without a key are in order with all. */
  async run(list: readonly (readonly Word[])[]): Promise<RawReply[]> {
    if (list.some((words) => nameOf(words) === "MULTI")) return await this.#transaction(list);
    const replies: RawReply[] = [];
    let keyed: Routed[] = [];
    const flush = async () => {
      if (keyed.length > 0) replies.push(...await this.#client.run(keyed));
      keyed = [];
    };
    for (const words of list) {
      const slot = PER_KEY.has(nameOf(words)) && words.length !== 2 ? undefined : slotOfCommand(words);
      if (slot !== undefined) {
        keyed.push({ words, slot });
        continue;
      }
      await flush();
      replies.push(await this.#runKeyless(words));
    }
    await flush();
    return replies;
  }

  /** All at the owner of the one slot that they name. */
  async #transaction(list: readonly (readonly Word[])[]): Promise<RawReply[]> {
    const slots = new Set(list.map(slotOfCommand).filter((slot) => slot !== undefined));
    const [slot, ...others] = slots;
    if (slot === undefined || others.length > 0) throw new Error("A transaction on a cluster needs keys of one slot");
    return await ask(await this.#client.ownerOf(slot), list);
  }

  async #runKeyless(words: readonly Word[]): Promise<RawReply> {
    const name = nameOf(words);
    const both = words.length > 1 ? `${name} ${textOf(words[1]).toUpperCase()}` : name;
    const has = (set: ReadonlySet<string>) => set.has(name) || set.has(both);
    if (PER_KEY.has(name)) return await this.#perKey(words);
    if (has(ANY)) return (await ask(this.#nodes[0], [words]))[0];
    if (both === "CLIENT LIST") return await this.#clients(words);
    const to = clientIn(words);
    if (to !== undefined) return (await ask(this.#nodes[to.node], [to.words]))[0];
    const replies = await this.#onAll(words);
    const error = replies.find((reply) => reply instanceof Error);
    if (error !== undefined) return error;
    if (has(EACH)) return replies[0];
    if (has(ADDED)) return sum(replies);
    if (name === "KEYS") return replies.flatMap((reply) => Array.isArray(reply) ? reply : []);
    if (name === "INFO") return infoOf(replies.map(textIn));
    throw new Error(`${both} has no meaning on a cluster: leave the test out there`);
  }

  #onAll(words: readonly Word[]): Promise<RawReply[]> {
    return Promise.all(this.#nodes.map(async (node) => (await ask(node, [words]))[0]));
  }

  async #perKey([name, ...keys]: readonly Word[]): Promise<RawReply> {
    const replies = await this.run(keys.map((key) => [name, key]));
    return replies.find((reply) => reply instanceof Error) ?? sum(replies);
  }

  /** The ids of connections count per node, so each is given the number of its node. */
  async #clients(words: readonly Word[]): Promise<RawReply> {
    const lists = (await this.#onAll(words)).map(textIn);
    const marked = lists.map((list, node) => list.replace(/^id=(\d+)/gm, (_, id) => `id=${markedId(id, node)}`));
    return new TextEncoder().encode(marked.join(""));
  }
}

function nameOf(words: readonly Word[]): string {
  return textOf(words[0]).toUpperCase();
}

const MOST_NODES = 10;

function markedId(id: string, node: number): string {
  return `${Number(id) * MOST_NODES + node}`;
}

/** The node and the command behind CLIENT KILL ID and CLIENT UNBLOCK with an id of CLIENT LIST. */
function clientIn(words: readonly Word[]): { readonly node: number; readonly words: Word[] } | undefined {
  const texts = words.map((word) => textOf(word).toUpperCase());
  if (texts[0] !== "CLIENT") return undefined;
  const at = texts[1] === "UNBLOCK" ? 2 : texts[1] === "KILL" && texts[2] === "ID" ? 3 : 0;
  if (at === 0) return undefined;
  const id = Number(texts[at]);
  return { node: id % MOST_NODES, words: words.with(at, Math.floor(id / MOST_NODES)) };
}

function sum(replies: readonly RawReply[]): number {
  return replies.reduce<number>((total, reply) => total + Number(reply), 0);
}

function textIn(reply: RawReply): string {
  return reply instanceof Uint8Array ? textOf(reply) : String(reply);
}

/** One INFO of several: numbers that mean the whole are added, also those of commands, and all else is the first node's. */
function infoOf(texts: readonly string[]): RawReply {
  const fields = new Map<string, string>();
  for (const text of texts) {
    for (const [, name, value] of text.matchAll(/^([^#:\r\n]+):(.*?)\r?$/gm)) {
      const before = fields.get(name);
      if (before === undefined) fields.set(name, value);
      else if (SUMS.test(name)) fields.set(name, `${Number(before) + Number(value)}`);
      else if (name.startsWith("cmdstat_")) fields.set(name, addedPairs(before, value));
    }
  }
  return new TextEncoder().encode([...fields].map(([name, value]) => `${name}:${value}\r\n`).join(""));
}

/** `calls=1,usec=2` and `calls=3,usec=4`: `calls=4,usec=6`. */
function addedPairs(one: string, other: string): string {
  const values = new Map(other.split(",").map((pair) => pair.split("=") as [string, string])); // as: each pair has one =
  return one.split(",").map((pair) => {
    const [name, value] = pair.split("=");
    return `${name}=${Number(value) + Number(values.get(name) ?? 0)}`;
  }).join(",");
}
