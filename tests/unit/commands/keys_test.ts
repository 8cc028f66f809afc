// Tests the key of every command: a router sends a command to the node that owns its key.

import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { assertEquals } from "@std/assert";
import { RespDecoder } from "../../../resp/decoder.ts";
import { textOf } from "../../../resp/value.ts";
import type { RespArgument } from "../../../resp/encoder.ts";
import type { Command } from "../../../resp/connection/command.ts";
import { test } from "../../support/runner.ts";
import { claimPending, listPending } from "../../../streamer/commands/claim_scripts.ts";
import { clientTracking } from "../../../streamer/commands/client_tracking.ts";
import { clientUnblock } from "../../../streamer/commands/client_unblock.ts";
import { ownSlots } from "../../../streamer/commands/cluster_nodes.ts";
import { clusterSlots } from "../../../streamer/commands/cluster_slots.ts";
import { removeEmpty, removeHoldingNothing } from "../../../streamer/commands/consumer_scripts.ts";
import { deleteStreamScript, deletion, watch } from "../../../streamer/commands/delete_stream.ts";
import { entriesAdded } from "../../../streamer/commands/entries_added.ts";
import { idempotencyLimits } from "../../../streamer/commands/idempotency_window.ts";
import { endOfStream, lastEntryOfStream } from "../../../streamer/commands/last_id.ts";
import { roleByHello, roleOfServer } from "../../../streamer/commands/role.ts";
import { countKeys, scanStreams, typeOfKey } from "../../../streamer/commands/scan.ts";
import {
  countCommand,
  giveBack,
  redeliver,
  regain,
  setIdle,
  trimAcknowledged,
} from "../../../streamer/commands/scripts.ts";
import { modeByHello, modeByInfo } from "../../../streamer/commands/server_mode.ts";
import { sentinelEpoch } from "../../../streamer/commands/sentinel_epoch.ts";
import { sentinelPeers } from "../../../streamer/commands/sentinel_peers.ts";
import { sentinelPrimary } from "../../../streamer/commands/sentinel_primary.ts";
import { StoreBatch, type StoreCall, storeOutputs, tryStoring } from "../../../streamer/commands/store_outputs.ts";
import { serverTime } from "../../../streamer/commands/time.ts";
import { xack } from "../../../streamer/commands/xack.ts";
import { xaddAt } from "../../../streamer/commands/xadd_at.ts";
import { xaddFields } from "../../../streamer/commands/xadd_fields.ts";
import { xclaim, xclaimJustId, xrangeOne } from "../../../streamer/commands/xclaim.ts";
import {
  xgroupCreate,
  xgroupDelConsumer,
  xgroupDestroy,
  xgroupSetId,
  xinfoConsumers,
  xinfoGroups,
} from "../../../streamer/commands/xgroup.ts";
import { xinfoFull } from "../../../streamer/commands/xinfo_full.ts";
import { xdel } from "../../../streamer/commands/xdel.ts";
import { xlen } from "../../../streamer/commands/xlen.ts";
import { xpending, xpendingSummary } from "../../../streamer/commands/xpending.ts";
import { xrange } from "../../../streamer/commands/xrange.ts";
import { xread } from "../../../streamer/commands/xread.ts";
import { xreadgroup, xreadgroupPending } from "../../../streamer/commands/xreadgroup.ts";
import { xtrim } from "../../../streamer/commands/xtrim.ts";

const KEY = "orders:3";
const OTHER = "orders:4";
const member = { group: "workers", consumer: "one" };

/** A command of each builder, by the builder's name. Builders of several keys get {@linkcode OTHER} as the second. */
const COMMANDS: Record<string, Command<unknown>> = {
  claimPending: claimPending(member, { redisKey: KEY, from: "two", ids: ["1-0"], minIdle: 0 }),
  clientTracking: clientTracking(),
  clientUnblock: clientUnblock("7"),
  clusterSlots: clusterSlots(),
  countCommand: countCommand(["EVAL", "return 1", 1, KEY], KEY),
  countKeys: countKeys([KEY, OTHER]),
  deleteStreamScript: deleteStreamScript(KEY),
  deletion: deletion(KEY, "UNLINK"),
  entriesAdded: entriesAdded(KEY),
  giveBack: giveBack(member, { redisKey: KEY, ids: ["1-0"], idle: 0, deliveries: 1 }),
  listPending: listPending({ redisKey: KEY, group: "workers", start: "0-0", count: 1 }),
  modeByHello: modeByHello(),
  modeByInfo: modeByInfo(),
  ownSlots: ownSlots(),
  redeliver: redeliver(member, { redisKey: KEY, id: "1-0", deliveries: 1 }),
  regain: regain(member, { redisKey: KEY, id: "1-0", deliveries: 1 }),
  removeEmpty: removeEmpty({ redisKey: KEY, group: "workers" }, "one"),
  removeHoldingNothing: removeHoldingNothing({ redisKey: KEY, group: "workers" }, ["one"]),
  roleByHello: roleByHello(),
  roleOfServer: roleOfServer(),
  scanStreams: scanStreams("0", { match: "orders*" }),
  sentinelEpoch: sentinelEpoch("primary"),
  sentinelPeers: sentinelPeers("primary"),
  sentinelPrimary: sentinelPrimary("primary"),
  serverTime: serverTime(),
  setIdle: setIdle(member, { redisKey: KEY, ids: ["1-0"], idle: 0 }),
  storeOutputs: storeOutputs(storeCall(), { ...member, ungated: false }),
  trimAcknowledged: trimAcknowledged(KEY, { exact: true, groups: [] }),
  tryStoring: tryStoring(KEY, member),
  typeOfKey: typeOfKey(KEY),
  watch: watch(KEY),
  xack: xack(KEY, "workers", new TextEncoder().encode("$3\r\n1-0\r\n"), 1),
  xaddAt: xaddAt({ redisKey: KEY, id: "1-0", fields: ["name", "value"] }),
  xaddFields: xaddFields(KEY, ["name", "value"]),
  xclaim: xclaim(member, { redisKey: KEY, ids: ["1-0"], minIdle: 0 }),
  xclaimJustId: xclaimJustId(member, { redisKey: KEY, ids: ["1-0"], idle: 0 }),
  xdel: xdel(KEY, ["1-0"]),
  xgroupCreate: xgroupCreate(KEY, "workers", { position: "$", mkstream: true }),
  xgroupDelConsumer: xgroupDelConsumer(KEY, "workers", "one"),
  xgroupDestroy: xgroupDestroy(KEY, "workers"),
  xgroupSetId: xgroupSetId(KEY, "workers", { position: "$" }),
  xinfoConsumers: xinfoConsumers(KEY, "workers"),
  xinfoFull: xinfoFull(KEY),
  xinfoGroups: xinfoGroups(KEY),
  xinfoIdempotency: await firstRun((run) => idempotencyLimits(KEY, run)),
  xinfoLastId: await firstRun((run) => endOfStream(KEY, run)),
  xlen: xlen(KEY),
  xpending: xpending({ redisKey: KEY, group: "workers", start: "-", count: 1 }),
  xpendingSummary: xpendingSummary(KEY, "workers"),
  xrange: xrange({ redisKey: KEY, start: "0-0", end: "1-0", count: 1, reverse: false }),
  xrangeOne: xrangeOne(KEY, "1-0"),
  xread: xread({
    positions: [{ redisKey: KEY, position: "0-0" }, { redisKey: OTHER, position: "1-0" }],
    count: 1,
    block: 100,
  }),
  xreadgroup: xreadgroup(member, { redisKeys: [KEY, OTHER], count: 1, block: 100, noAck: true }),
  xreadgroupPending: xreadgroupPending(member, { redisKey: KEY, after: "0-0", count: 1 }),
  xrevrangeLastId: await firstRun((run) => lastEntryOfStream(KEY, run)),
  xtrim: xtrim(KEY, { maxLength: 1 }, true),
};

/** Two inputs and an output of the first one. */
function storeCall(): StoreCall {
  const batch = new StoreBatch();
  batch.add({ redisKey: KEY, id: "1-0", outputs: [{ redisKey: OTHER, args: ["*", "msg", "x"], raises: undefined }] });
  batch.add({ redisKey: KEY, id: "2-0", outputs: [] });
  return batch.close();
}

/** The first command that an operation runs. */
async function firstRun(ask: (run: <T>(command: Command<T>) => Promise<T>) => Promise<unknown>) {
  let first: Command<unknown> | undefined;
  await ask((command) => {
    first ??= command;
    return Promise.reject(new Error("no server"));
  }).catch(() => {});
  if (first === undefined) throw new Error("no command was run");
  return first;
}

/** The arguments as they are written, also of an encoded command. */
function written({ args, encoded }: Command<unknown>): readonly RespArgument[] {
  if (encoded === undefined) return args;
  const decoder = new RespDecoder();
  decoder.feed(encoded);
  const value = decoder.read()?.value;
  return Array.isArray(value) ? value.map((one) => textOf(one) ?? "") : [];
}

/** The keys among a command's arguments, by the grammar of Redis. */
function keysAmong(args: readonly RespArgument[]): readonly RespArgument[] {
  switch (args[0]) {
    case "TIME":
    case "SCAN":
    case "CLIENT":
    case "CLUSTER":
    case "HELLO":
    case "INFO":
    case "ROLE":
    case "SENTINEL":
      return [];
    case "EVAL":
      return args.slice(3, 3 + Number(args[2]));
    case "XGROUP":
    case "XINFO":
      return [args[2]];
    case "EXISTS":
      return args.slice(1);
    case "XREAD":
    case "XREADGROUP": {
      const rest = args.slice(args.indexOf("STREAMS") + 1);
      return rest.slice(0, rest.length / 2);
    }
    default:
      return [args[1]];
  }
}

for (const [name, command] of Object.entries(COMMANDS)) {
  test(`${name} names the keys that are among its arguments`, () => {
    const { key, keys = key === undefined ? [] : [key] } = command;
    const expected = keysAmong(written(command)).map(String);
    assertEquals(keys, expected);
    assertEquals(key, expected[0]);
    assertEquals(expected.filter((one) => one !== KEY && one !== OTHER), []);
  });
}

test("only reads, counts of keys, and outputs with their inputs have several keys", () => {
  const several = Object.entries(COMMANDS).filter(([, { keys = [] }]) => keys.length > 1);
  assertEquals(several.map(([name]) => name), ["countKeys", "storeOutputs", "xread", "xreadgroup"]);
});

test("every function that builds a command is in the table of this test", async () => {
  const folder = fileURLToPath(new URL("../../../streamer/commands/", import.meta.url));
  const builders: string[] = [];
  for (const file of await readdir(folder)) {
    const source = await readFile(folder + file, "utf8");
    for (const text of source.split(/^(?=(?:export )?(?:async )?function )/m)) {
      const [, name] = /^(?:export )?function (\w+)/.exec(text) ?? [];
      const head = /^(?:export function|function|\)).* \{$/m.exec(text)?.[0] ?? "";
      if (name !== undefined && head.includes("): Command<")) builders.push(name);
    }
  }
  const helpers = ["numberCommand", "rowsOf"]; // private, called by other functions of the table
  assertEquals(builders.filter((name) => !helpers.includes(name)).sort(), Object.keys(COMMANDS).sort());
});
