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

/** Sends commands to the nodes of a cluster that runs on one host. */
export class RoutedClient {
  /** One address per node. */
  readonly nodes: readonly Address[];
  /** The node that served a slot last. */
  readonly #owners = new Map<number, Address>();

  constructor(nodes: readonly Address[]) {
    this.nodes = nodes;
  }

  /** The slot of a command's keys; `undefined` if it has none. */
  static slotOf(words: readonly Word[]): number | undefined {
    const slots = new Set(keysOf(words.map(textOf)).map(slotOfKey));
    if (slots.size > 1) {
      throw new Error(`Cannot send ${textOf(words[0])} to a cluster: its keys are in different slots`);
    }
    const [slot] = slots;
    return slot;
  }

  /** What each node says that answers. */
  async views(): Promise<NodeView[]> {
    return (await Promise.all(this.nodes.map(viewFrom))).filter((view) => view !== undefined);
  }

  /** The addresses of the primaries that own slots, in the order of their slots. */
  async primaries(): Promise<Address[]> {
    const owners = (await this.views()).map(({ myself }) => myself).filter(({ slots }) => slots.length > 0);
    return owners.sort((a, b) => a.slots[0][0] - b.slots[0][0]).map(({ port }) => this.#at(port));
  }

  /** The node that owns a slot by its own word; with several, the one of the latest configuration. */
  async ownerOf(slot: number): Promise<Address> {
    const claims = (await this.views()).map(({ myself }) => myself)
      .filter(({ role, slots }) => role === "primary" && includesSlot(slots, slot));
    const [owner] = claims.sort((a, b) => b.epoch - a.epoch);
    if (owner === undefined) throw new Error(`No node that answers owns slot ${slot}`);
    return this.#at(owner.port);
  }

  /** Runs commands of one slot at its owner, in one write. Error replies are values; redirects are followed. */
  async runIn(slot: number, commands: readonly (readonly Word[])[]): Promise<RawReply[]> {
    const deadline = Date.now() + PATIENCE;
    const owner = await this.#knownOwner(slot, deadline);
    const replies = await ask(owner, commands);
    const final: RawReply[] = [];
    // One by one: after the first redirect the others of this slot have been redirected too.
    for (const [at, reply] of replies.entries()) {
      final.push(isPassing(reply) ? await this.#runOne(slot, commands[at], reply, deadline) : reply);
    }
    return final;
  }

  async #runOne(slot: number, words: readonly Word[], refusal: Error, deadline: number): Promise<RawReply> {
    let reply: RawReply = refusal;
    for (let redirects = 0; isPassing(reply); redirects++) {
      if (Date.now() > deadline) return reply;
      const redirect = parseRedirect(reply.message);
      if (redirect === undefined || redirects > REDIRECTS) await sleep(50);
      if (redirect?.kind === "moved") this.#owners.set(slot, this.#at(redirect.port));
      reply = redirect?.kind === "ask"
        ? (await ask(this.#at(redirect.port), [["ASKING"], words]))[1]
        : (await ask(await this.#knownOwner(slot, deadline), [words]))[0];
    }
    return reply;
  }

  /** The owner as far as it is known and can be reached. */
  async #knownOwner(slot: number, deadline: number): Promise<Address> {
    for (;;) {
      try {
        const owner = this.#owners.get(slot) ?? await this.ownerOf(slot);
        await ask(owner, [["PING"]]);
        this.#owners.set(slot, owner);
        return owner;
      } catch (error) {
        this.#owners.delete(slot);
        if (Date.now() > deadline) throw error;
        await sleep(50);
      }
    }
  }

  #at(port: number): Address {
    const address = this.nodes.find((node) => node.port === port);
    return address ?? { ...this.nodes[0], port };
  }
}

function isPassing(reply: RawReply): reply is Error {
  return reply instanceof Error && /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN) /.test(reply.message);
}

function textOf(word: Word): string {
  return word instanceof Uint8Array ? new TextDecoder().decode(word) : String(word);
}
