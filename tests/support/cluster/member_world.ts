// The nodes of a cluster as the router keeps them, over a network in memory.

import { DEFAULT_LIMITS } from "../../../resp/limits.ts";
import { ConnectionCounts } from "../../../streamer/cluster/connection_counts.ts";
import type { Member, SharedNodeOptions } from "../../../streamer/cluster/members/member.ts";
import { MemberTable } from "../../../streamer/cluster/members/member_table.ts";
import type { ReachRules } from "../../../streamer/cluster/reach.ts";
import type { FakeNet } from "./fake_net.ts";

/** What a table is made with. */
export interface MemberWorldOptions {
  /** `"host:port"`. */
  readonly seeds?: readonly string[];
  readonly reach?: ReachRules;
  readonly idOf?: (name: string) => string | undefined;
}

/** A table, and what it has reported. */
export interface MemberWorld {
  readonly table: MemberTable;
  readonly counts: ConnectionCounts;
  readonly troubled: string[];
}

/** What nodes over this network have in common. */
export function sharedOver(net: FakeNet): SharedNodeOptions {
  return {
    dial: net.dial,
    identification: { db: 0, libraryName: "library", libraryVersion: "1", protocol: "auto", clientInfo: false },
    timeout: 10_000,
    reconnect: { initialDelay: 50, maxDelay: 2_000, maxAttempts: Infinity },
    limits: DEFAULT_LIMITS,
    clock: net.clock,
    events: { connect() {}, disconnect() {}, reconnect() {}, waiting() {}, resumed() {} },
  };
}

/** Makes a table. */
export function memberWorld(net: FakeNet, options: MemberWorldOptions = {}): MemberWorld {
  const { seeds = ["seed:1"], reach = {}, idOf = () => undefined } = options;
  const shared = sharedOver(net);
  const troubled: string[] = [];
  const counts = new ConnectionCounts(shared.events, (node) => table.find(node)?.connected());
  const table: MemberTable = new MemberTable({
    seeds: seeds.map((seed) => {
      const [hostname, port] = seed.split(":");
      return { kind: "tcp", hostname, port: Number(port) };
    }),
    shared: { ...shared, events: counts.events },
    reach,
    idOf,
    onTrouble: ({ name }: Member) => troubled.push(name),
  });
  return { table, counts, troubled };
}
