// The Sentinels of one primary: those that the user has given, and those that others announce.

import { endpointName, type RedisNodeOptions } from "../../../resp/connection/node.ts";
import type { SentinelAddress } from "../../commands/sentinel_primary.ts";
import type { SharedNodeOptions } from "../members/member.ts";
import { checkSeed, type Endpoint, reachable, type ReachRules } from "../reach.ts";
import { Sentinel, SENTINEL_LIMIT, type SentinelPorts } from "./sentinel.ts";
import { askingOrder, type Standing } from "./standing.ts";

/** Maximum number of Sentinels that are remembered in addition to those in the URL. */
const MAX_LEARNT = 16;

/** Options of {@linkcode KnownSentinels}. */
export interface KnownSentinelsOptions {
  /** The name of the primary. */
  readonly primary: string;
  /** Those in the URL. */
  readonly seeds: readonly Endpoint[];
  /** The credentials of Sentinels. */
  readonly identification: RedisNodeOptions["identification"];
  readonly reach: ReachRules;
  /** What connections to servers have in common. */
  readonly shared: SharedNodeOptions;
  /** A Sentinel has announced that the primary has another address. */
  readonly onSwitch: () => void;
}

/** Remembers Sentinels. */
export class KnownSentinels {
  readonly #ports: Pick<SentinelPorts, "primary" | "shared" | "onSwitch">;
  readonly #reach: ReachRules;
  readonly #seeds: readonly Sentinel[];
  #learnt: readonly Sentinel[] = [];
  #changes = 0;
  #closed = false;

  constructor({ primary, seeds, identification, reach, shared, onSwitch }: KnownSentinelsOptions) {
    const timeout = Math.min(SENTINEL_LIMIT, shared.timeout);
    this.#ports = { primary, shared: { ...shared, identification, timeout, events: NO_EVENTS }, onSwitch };
    this.#reach = reach;
    this.#seeds = seeds.map((endpoint) => this.#create(endpointName(endpoint), () => seedAt(endpoint, reach)));
  }

  /** All of them, in the order in which they are asked. */
  inOrder(): readonly Sentinel[] {
    return askingOrder([...this.#seeds, ...this.#learnt]);
  }

  /** Whether `onSwitch` is called. */
  get announce(): boolean {
    return this.inOrder().some((sentinel) => sentinel.announces);
  }

  /** Notes what came of asking one. */
  note(sentinel: Sentinel, kind: Standing["kind"]): void {
    sentinel.standing = { kind, at: ++this.#changes };
  }

  /** Remembers the other Sentinels that one has announced, and forgets those that were learnt before and are not announced any more. */
  learn(announced: readonly SentinelAddress[], by: Sentinel): void {
    if (this.#closed) return;
    const kept = new Map(this.#learnt.map((sentinel) => [sentinel.name, sentinel]));
    const seeds = new Set(this.#seeds.map(({ name }) => name));
    const learnt = this.#learnt.includes(by) ? new Set([by]) : new Set<Sentinel>();
    for (const { host, port } of announced) {
      const name = endpointName({ kind: "tcp", hostname: host, port });
      if (seeds.has(name)) continue;
      if (learnt.size >= MAX_LEARNT) break;
      learnt.add(kept.get(name) ?? this.#create(name, () => reachable({ host, port }, this.#reach)));
    }
    for (const sentinel of this.#learnt) if (!learnt.has(sentinel)) sentinel.close();
    this.#learnt = [...learnt];
  }

  /** Closes their connections. A second call does nothing. */
  close(): void {
    this.#closed = true;
    for (const sentinel of this.inOrder()) sentinel.close();
  }

  #create(name: string, endpoint: () => Endpoint): Sentinel {
    return new Sentinel({ ...this.#ports, name, endpoint });
  }
}

function seedAt(endpoint: Endpoint, reach: ReachRules): Endpoint {
  checkSeed(endpoint, reach);
  return endpoint;
}

/** Connections to Sentinels are no business of the user. */
const NO_EVENTS: SharedNodeOptions["events"] = {
  connect: () => {},
  disconnect: () => {},
  reconnect: () => {},
  waiting: () => {},
  resumed: () => {},
};
