// CLUSTER SLOTS: which node owns which slots. Redis 3.0; node ids 4.0, metadata 7.0.

import { pairsOf, type RespValue, textOf } from "../../resp/value.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { LISTING_REPLY } from "../../resp/reply_limits.ts";

/** A node, as a cluster announces it. */
export interface AnnouncedNode {
  /** What clients shall dial; `undefined` if the cluster leaves that to the client. */
  readonly endpoint: string | undefined;
  readonly port: number;
  /** `undefined` before Redis 4.0. */
  readonly id: string | undefined;
  /** Further names of it, `ip` and `hostname`. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** Consecutive slots and the nodes that have them. */
export interface SlotRange {
  readonly first: number;
  readonly last: number;
  /** The primary comes first. */
  readonly nodes: readonly AnnouncedNode[];
}

/** Most nodes of a cluster. Redis recommends 1,000 at most. */
export const MAX_NODES = 4_096;
/** Most ranges: one for each slot. */
const MAX_RANGES = 16_384;

/**
 * The slots that have an owner. Numbers are those of the reply: nothing is checked but the shape. A list that no cluster can give is
 * refused before it is read.
 */
export function clusterSlots(): Command<readonly SlotRange[]> {
  return {
    args: ["CLUSTER", "SLOTS"],
    repeatable: true,
    limits: LISTING_REPLY,
    read(decoder) {
      const rows = decoder.value();
      if (!Array.isArray(rows) || rows.length > MAX_RANGES) throw wrongShape("CLUSTER SLOTS", "a list of ranges");
      return rows.map(readRange);
    },
  };
}

function readRange(row: RespValue): SlotRange {
  const [first, last, ...nodes] = Array.isArray(row) ? row : [];
  if (typeof first !== "number" || typeof last !== "number" || nodes.length === 0 || nodes.length > MAX_NODES) {
    throw wrongShape("CLUSTER SLOTS", "ranges with nodes");
  }
  return { first, last, nodes: nodes.map(readNode) };
}

function readNode(value: RespValue): AnnouncedNode {
  const [host, port, id, metadata = null] = Array.isArray(value) ? value : [];
  const endpoint = host === null ? undefined : textOf(host);
  if ((host !== null && endpoint === undefined) || typeof port !== "number") {
    throw wrongShape("CLUSTER SLOTS", "nodes with a host and a port");
  }
  return { endpoint, port, id: textOf(id), metadata: namesIn(metadata) };
}

const NONE: ReadonlyMap<string, string> = new Map();

function namesIn(metadata: RespValue): ReadonlyMap<string, string> {
  const names: (readonly [string, string])[] = [];
  for (const [name, value] of pairsOf(metadata) ?? []) {
    const [key, text] = [textOf(name), textOf(value)];
    if (key !== undefined && text !== undefined) names.push([key, text]);
  }
  return names.length === 0 ? NONE : new Map(names);
}
