// What a node of a cluster says about it, and when several nodes say the same. Must not use the library under test.

import { type Address, ask, toText } from "./raw_client.ts";

/** A node as another one, or itself, describes it. */
export interface KnownNode {
  readonly id: string;
  readonly port: number;
  readonly role: "primary" | "replica";
  /** The id of a replica's primary. */
  readonly primary: string | undefined;
  /** `handshake`, `fail`, `fail?`, `noaddr` and others. */
  readonly flags: readonly string[];
  readonly epoch: number;
  readonly connected: boolean;
  /** First and last slot of each range that it owns. */
  readonly slots: readonly (readonly [number, number])[];
}

/** What one node says. */
export interface NodeView {
  readonly myself: KnownNode;
  /** All that it knows, itself included. */
  readonly nodes: readonly KnownNode[];
  /** `cluster_state:ok`, and a replica has its primary's data. */
  readonly ok: boolean;
}

/** Milliseconds in which a node must answer; a suspended one accepts connections and says nothing. */
const SILENCE = 1_000;

/** Asks a node for its view; `undefined` if it does not answer. */
export async function viewFrom(address: Address): Promise<NodeView | undefined> {
  try {
    const questions = [["CLUSTER", "NODES"], ["CLUSTER", "INFO"], ["INFO", "replication"]];
    const [nodes, info, replication] = (await ask(address, questions, { silence: SILENCE })).map(toText).map(String);
    const known = nodes.trim().split("\n").map(parseNode);
    const myself = known.find(({ flags }) => flags.includes("myself"));
    if (myself === undefined) return undefined;
    const ok = /^cluster_state:ok\r?$/m.test(info) && !/^master_link_status:down/m.test(replication);
    return { myself, nodes: known, ok };
  } catch {
    return undefined;
  }
}

/** One line of CLUSTER NODES. Slots that are being moved stand in brackets and are left out. */
export function parseNode(line: string): KnownNode {
  const [id, address, flagText, primary, , , epoch, link, ...slots] = line.trim().split(" ");
  const flags = flagText.split(",");
  return {
    id,
    port: Number(/:(\d+)(?:@|$)/.exec(address.split(",")[0])?.[1]),
    role: flags.includes("slave") ? "replica" : "primary",
    primary: primary === "-" ? undefined : primary,
    flags,
    epoch: Number(epoch),
    connected: link === "connected",
    slots: slots.filter((text) => !text.startsWith("[")).map((text) => {
      const [first, last = first] = text.split("-").map(Number);
      return [first, last] as const;
    }),
  };
}

/** The members of a cluster, as its settled state must show them. */
export interface Expected {
  /** How many nodes each must know, those that do not run included. */
  readonly count: number;
  /** The ids of those that run. */
  readonly running: readonly string[];
}

/** Why the views of the running nodes do not yet show one settled cluster; `undefined` if they do. */
export function whyUnsettled(views: readonly (NodeView | undefined)[], expected: Expected): string | undefined {
  const pictures = new Set<string>();
  for (const view of views) {
    if (view === undefined) return "a node does not answer";
    const { myself, nodes, ok } = view;
    if (!ok) return `${myself.port} is not ok`;
    if (nodes.length !== expected.count) return `${myself.port} knows ${nodes.length} of ${expected.count} nodes`;
    const running = nodes.filter(({ id }) => expected.running.includes(id));
    if (running.length !== expected.running.length) return `${myself.port} does not know all by their ids`;
    const odd = running.find(({ flags, connected }) => !connected || flags.some((flag) => TRANSIENT.has(flag)));
    if (odd !== undefined) {
      return `${myself.port} sees ${odd.port} as ${odd.flags}, ${odd.connected ? "" : "not "}connected`;
    }
    pictures.add(pictureOf(running));
  }
  return pictures.size > 1 ? "the nodes disagree about roles and slots" : undefined;
}

const TRANSIENT: ReadonlySet<string> = new Set(["handshake", "fail", "fail?", "noaddr"]);

function pictureOf(nodes: readonly KnownNode[]): string {
  return nodes.map(({ id, role, primary, slots }) => [id, role, primary, slots.join(" ")].join(" ")).sort().join("\n");
}

/** Whether a slot is in one of the ranges. */
export function includesSlot(ranges: KnownNode["slots"], slot: number): boolean {
  return ranges.some(([first, last]) => slot >= first && slot <= last);
}
