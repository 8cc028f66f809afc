// XINFO STREAM FULL: a stream, its groups and their consumers at one moment. Redis 6.0; lag 7.0, the time of the last
// delivery 7.2.

import { pairsOf, type RespValue, textOf } from "../../resp/value.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { STATE_REPLY } from "../../resp/reply_limits.ts";
import { type MessageId, parseId } from "../model/id.ts";
import { nameOf, type WireName } from "../model/name.ts";

/** A consumer of a group. */
export interface FullConsumer {
  readonly name: WireName;
  /** Entries delivered to it and not acknowledged. */
  readonly pending: number;
  /** When it last asked for something, in milliseconds of the server's clock; before Redis 7.2, when it last got something. */
  readonly seenTime: number;
  /** When it last got something; `undefined` before Redis 7.2, and if that never happened. */
  readonly activeTime: number | undefined;
}

/** A group of a stream. */
export interface FullGroup {
  readonly name: WireName;
  readonly lastDeliveredId: MessageId;
  /** What the server takes for the number of entries not yet delivered; `undefined` where it does not say. */
  readonly lag: number | undefined;
  /** Entries delivered and not acknowledged, including those of no consumer. */
  readonly pending: number;
  /** The lowest id of those. */
  readonly oldestPendingId: MessageId | undefined;
  readonly consumers: readonly FullConsumer[];
}

/** A stream at one moment. */
export interface FullInfo {
  readonly length: number;
  /** The id of its first entry; `undefined` where it has none. */
  readonly firstId: MessageId | undefined;
  /** The id given last, deleted entries included. */
  readonly lastGeneratedId: MessageId;
  /** Entries ever added; `undefined` before Redis 7.0. */
  readonly entriesAdded: number | bigint | undefined;
  readonly groups: readonly FullGroup[];
}

/** Everything about a stream. The reply includes one of its entries. */
export function xinfoFull(redisKey: string): Command<FullInfo> {
  return {
    args: ["XINFO", "STREAM", redisKey, "FULL", "COUNT", 1],
    key: redisKey,
    repeatable: true,
    limits: STATE_REPLY,
    read(decoder) {
      const row = rowOf(decoder.value());
      const [first] = listOf(row.get("entries"));
      return {
        length: numberOf(row.get("length")),
        firstId: first === undefined ? undefined : idOf(listOf(first)[0]),
        lastGeneratedId: idOf(row.get("last-generated-id")),
        entriesAdded: counterOf(row.get("entries-added")),
        groups: listOf(row.get("groups")).map(readGroup),
      };
    },
  };
}

type Row = ReadonlyMap<string | undefined, RespValue>;

function readGroup(value: RespValue): FullGroup {
  const row = rowOf(value);
  const [oldest] = listOf(row.get("pending"));
  return {
    name: checkedName(row.get("name")),
    lastDeliveredId: idOf(row.get("last-delivered-id")),
    lag: lagOf(row.get("lag")),
    pending: numberOf(row.get("pel-count")),
    oldestPendingId: oldest === undefined ? undefined : idOf(listOf(oldest)[0]),
    consumers: listOf(row.get("consumers")).map(readConsumer),
  };
}

function readConsumer(value: RespValue): FullConsumer {
  const row = rowOf(value);
  const active = optionalNumber(row.get("active-time"));
  return {
    name: checkedName(row.get("name")),
    pending: numberOf(row.get("pel-count")),
    seenTime: numberOf(row.get("seen-time")),
    activeTime: active === undefined || active < 0 ? undefined : active,
  };
}

function rowOf(value: RespValue): Row {
  const pairs = pairsOf(value);
  if (pairs === undefined) throw unexpected();
  return new Map(pairs.map(([key, entry]) => [textOf(key), entry]));
}

function listOf(value: RespValue | undefined): readonly RespValue[] {
  if (!Array.isArray(value)) throw unexpected();
  return value;
}

function numberOf(value: RespValue | undefined): number {
  if (typeof value !== "number") throw unexpected();
  return value;
}

function optionalNumber(value: RespValue | undefined): number | undefined {
  return value === undefined || value === null ? undefined : numberOf(value);
}

/** A counter that can start at any value, up to 64 bits. */
function counterOf(value: RespValue | undefined): number | bigint | undefined {
  return typeof value === "bigint" ? value : optionalNumber(value);
}

/** Of so many entries as are no number any more, none can be there. */
function lagOf(value: RespValue | undefined): number | undefined {
  return typeof value === "bigint" ? undefined : optionalNumber(value);
}

function checkedName(value: RespValue | undefined): WireName {
  const name = nameOf(value);
  if (name === undefined) throw unexpected();
  return name;
}

function idOf(value: RespValue | undefined): MessageId {
  const id = textOf(value);
  if (id === undefined || parseId(id) === undefined) throw unexpected();
  return id;
}

function unexpected(): Error {
  return wrongShape("XINFO STREAM", "a stream with its groups and their consumers");
}
