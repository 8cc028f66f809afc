// The tests' own client of a cluster: sends each command to the owner of its key, and follows redirects. Must not use
// the library under test, apart from the slot of a key and the form of a redirect.

import { setTimeout as sleep } from "node:timers/promises";
import { parseRedirect } from "../../../streamer/cluster/topology/redirect.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { keysOf } from "../routing/command_keys.ts";
import { includesSlot, type NodeView, viewFrom } from "./node_view.ts";
import { type Address, ask, type RawReply, type Word } from "./raw_client.ts";

/** Milliseconds for which a command is repeated while its slot has no owner that serves it. */
const PATIENCE = 15_000;
const REDIRECTS = 16;

/** A command and the slot of its keys. */
export interface Routed {
  readonly words: readonly Word[];
  readonly slot: number;
}

/** Sends commands to the nodes of a cluster that runs on one host. */
export class RoutedClient {
  /** One address per node. */
  readonly nodes: readonly Address[];
  /** The owner of each slot that has been used, as far as it is known. */
  readonly #owners = new Map<number, Address>();

  constructor(nodes: readonly Address[]) {
    this.nodes = nodes;
  }

  /** What each node says that answers. */
  async views(): Promise<NodeView[]> {
    return (await Promise.all(this.nodes.map(viewFrom))).filter((view) => view !== undefined);
  }

  /** The node that owns a slot by its own word; with several, the one of the latest configuration. */
  async ownerOf(slot: number): Promise<Address> {
    const claims = (await this.views()).map(({ myself }) => myself)
      .filter(({ role, slots }) => role === "primary" && includesSlot(slots, slot));
    const [owner] = claims.sort((a, b) => b.epoch - a.epoch);
    if (owner === undefined) throw new Error(`No node that answers owns slot ${slot}`);
    return this.#at(owner.port);
  }

  /** Runs commands, those of one node in one write. Error replies are values; redirects are followed. */
  async run(commands: readonly Routed[]): Promise<RawReply[]> {
    const deadline = Date.now() + PATIENCE;
    const groups = new Map<Address, number[]>();
    for (const [at, { slot }] of commands.entries()) {
      const owner = await this.#owner(slot, deadline);
      const places = groups.get(owner);
      if (places === undefined) groups.set(owner, [at]);
      else places.push(at);
    }
    const replies: RawReply[] = new Array(commands.length).fill(null);
    await Promise.all([...groups].map(async ([owner, places]) => {
      const got = await this.#send(owner, places.map((at) => commands[at]), deadline);
      // One by one: after the first redirect, the others of its slot have been redirected too.
      for (const [i, at] of places.entries()) replies[at] = await this.#settle(commands[at], got[i], deadline);
    }));
    return replies;
  }

  /** Repeats a command until its reply is not one that passes. */
  async #settle(command: Routed, first: RawReply, deadline: number): Promise<RawReply> {
    let reply = first;
    for (let redirects = 0; isPassing(reply) && Date.now() < deadline; redirects++) {
      const redirect = parseRedirect(reply.message);
      if (redirect === undefined || redirects > REDIRECTS) await sleep(50);
      if (redirect?.kind === "ask") {
        [, reply] = await ask(this.#at(redirect.port), [["ASKING"], command.words]);
        continue;
      }
      if (redirect?.kind === "moved") this.#owners.set(command.slot, this.#at(redirect.port));
      [reply] = await this.#send(await this.#owner(command.slot, deadline), [command], deadline);
    }
    return reply;
  }

  /** Sends commands to the owner of their slots; to another one if it does not run any more. */
  async #send(owner: Address, commands: readonly Routed[], deadline: number): Promise<RawReply[]> {
    for (let to = owner;;) {
      try {
        return await ask(to, commands.map(({ words }) => words));
      } catch (error) {
        // Any other error may come after the server has executed them.
        const refused = error instanceof Error && "code" in error && error.code === "ECONNREFUSED";
        if (!refused || Date.now() > deadline) throw error;
        await sleep(50);
        for (const { slot } of commands) this.#owners.delete(slot);
        to = await this.#owner(commands[0].slot, deadline);
      }
    }
  }

  async #owner(slot: number, deadline: number): Promise<Address> {
    for (;;) {
      const known = this.#owners.get(slot);
      if (known !== undefined) return known;
      try {
        await this.#learn(slot);
      } catch (error) {
        if (Date.now() > deadline) throw error;
        await sleep(50);
      }
    }
  }

  /** Looks up the owner of a slot, and takes note of those of all others that are not known. */
  async #learn(wanted: number): Promise<void> {
    const owner = await this.ownerOf(wanted);
    for (const { myself } of await this.views()) {
      if (myself.role !== "primary") continue;
      for (const [first, last] of myself.slots) {
        for (let slot = first; slot <= last; slot++) {
          if (!this.#owners.has(slot)) this.#owners.set(slot, this.#at(myself.port));
        }
      }
    }
    this.#owners.set(wanted, owner);
  }

  #at(port: number): Address {
    return this.nodes.find((node) => node.port === port) ?? { ...this.nodes[0], port };
  }
}

/** The slot of a command's keys; `undefined` if it has none. Throws if they are in different slots. */
export function slotOfCommand(words: readonly Word[]): number | undefined {
  const slots = new Set(keysOf(words.map(textOf)).map(slotOfKey));
  if (slots.size > 1) throw new Error(`Cannot send ${textOf(words[0])} to a cluster: its keys are in different slots`);
  const [slot] = slots;
  return slot;
}

/** A word as text. */
export function textOf(word: Word): string {
  return word instanceof Uint8Array ? new TextDecoder().decode(word) : String(word);
}

function isPassing(reply: RawReply): reply is Error {
  return reply instanceof Error && /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN) /.test(reply.message);
}
