// The nodes of a cluster that are known, and the addresses that the user gave.

import { endpointName } from "../../../resp/connection/node.ts";
import { checkSeed, type Endpoint, explained, reachable, type ReachRules } from "../reach.ts";
import type { NodeName } from "../router.ts";
import { Member, type SharedNodeOptions } from "./member.ts";

/** Maximum number of nodes that are remembered after they have left the cluster. */
const MOST_REMEMBERED = 256;
/** Milliseconds for which a node is remembered after it has left. */
const REMEMBERED_FOR = 2 * 60 * 60 * 1_000;

/** What the table works with. */
export interface MemberTableOptions {
  readonly seeds: readonly Endpoint[];
  readonly shared: SharedNodeOptions;
  readonly reach: ReachRules;
  /** The id of the node with this name, if the cluster has told it. */
  readonly idOf: (name: NodeName) => string | undefined;
  readonly onTrouble: (member: Member, cause: unknown) => void;
}

/** All nodes by name. Nodes that are learnt are created when they are first used. */
export class MemberTable {
  /** The addresses that the user gave: they can be asked for the map for ever. */
  readonly seeds: readonly Member[];
  readonly #options: MemberTableOptions;
  readonly #members = new Map<NodeName, Member>();
  readonly #left = new Map<Member, number>(); // when those were last seen that are not part of the cluster now
  #answeredBy = ""; // the seed that was asked first

  constructor(options: MemberTableOptions) {
    const { seeds, shared, reach, onTrouble } = options;
    this.#options = options;
    this.seeds = seeds.map((seed) =>
      new Member({
        name: endpointName(seed),
        host: seed.kind === "tcp" ? seed.hostname : "localhost",
        shared,
        endpoint: () => {
          checkSeed(seed, reach);
          return seed;
        },
        onTrouble,
      })
    );
  }

  /** The seed that has given the first map, for errors. */
  set answeredBy(seed: Member) {
    this.#answeredBy = seed.name;
  }

  /** The node with this name. */
  at(name: NodeName): Member {
    const known = this.#members.get(name);
    if (known !== undefined) return known;
    const { shared, reach, idOf, onTrouble } = this.#options;
    const { host, port } = addressOf(name);
    const member = new Member({
      name,
      host,
      shared,
      endpoint: () => reachable({ host, port }, reach),
      nodeId: () => idOf(name),
      explain: (failure, dialled) =>
        dialled.kind === "unix"
          ? failure
          : explained(failure, { announced: { host, port }, dialled, by: this.#answeredBy }),
      onTrouble,
    });
    this.#members.set(name, member);
    return member;
  }

  /** The node with this name, if it is known. */
  find(name: NodeName): Member | undefined {
    return this.#members.get(name);
  }

  /** All nodes that are known: those of the cluster, and those that have left it not long ago. */
  get known(): Iterable<Member> {
    return this.#members.values();
  }

  /**
   * Closes idle connections to nodes that are not needed, and forgets nodes that have left long ago. `isPart` tells whether a node is
   * part of the cluster, `isNeeded` whether its connections for commands stay open.
   */
  tidy(isPart: (name: NodeName) => boolean, isNeeded: (name: NodeName) => boolean): void {
    const now = this.#options.shared.clock.now();
    for (const seed of this.seeds) seed.rest(); // commands use the nodes that are learnt
    for (const member of this.#members.values()) if (!isNeeded(member.name)) member.rest();
    for (const member of this.#members.values()) {
      if (isPart(member.name)) this.#left.delete(member);
      else if (!this.#left.has(member)) this.#left.set(member, now);
    }
    for (const [member, since] of this.#left) {
      if (member.hasLanes || (now - since < REMEMBERED_FOR && this.#left.size <= MOST_REMEMBERED)) continue;
      this.#left.delete(member);
      this.#members.delete(member.name);
      member.close();
    }
  }

  /** Closes all connections for commands. A second call does nothing. */
  close(): void {
    for (const member of [...this.seeds, ...this.#members.values()]) member.close();
  }
}

/** The parts of a node's name. */
function addressOf(name: NodeName): { readonly host: string; readonly port: number } {
  const colon = name.lastIndexOf(":");
  return { host: name.slice(0, colon).replace(/^\[(.*)\]$/, "$1"), port: Number(name.slice(colon + 1)) };
}
