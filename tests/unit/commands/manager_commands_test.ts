// Tests the arguments of a manager's commands, and the results read from their replies, byte for byte.

import { assertEquals, assertThrows } from "@std/assert";
import { type Command, readError } from "../../../resp/connection/command.ts";
import { StreamerError } from "../../../resp/errors.ts";
import { removeEmpty } from "../../../streamer/commands/consumer_scripts.ts";
import { areScriptsForbidden, trimAcknowledged } from "../../../streamer/commands/scripts.ts";
import { serverTime } from "../../../streamer/commands/time.ts";
import { xgroupDelConsumer, xgroupDestroy, xgroupSetId } from "../../../streamer/commands/xgroup.ts";
import { xinfoFull } from "../../../streamer/commands/xinfo_full.ts";
import { xlen } from "../../../streamer/commands/xlen.ts";
import { type RangePage, xrange } from "../../../streamer/commands/xrange.ts";
import { test } from "../../support/runner.ts";
import { array, bulk, entry, standing } from "./frames.ts";

function read<T>(command: Command<T>, text: string): T {
  return command.read(standing(text));
}

function refused<T>(command: Command<T>, ...texts: readonly string[]): void {
  for (const text of texts) {
    const error = assertThrows(() => read(command, text), StreamerError, undefined, JSON.stringify(text));
    assertEquals(error.code, "PROTOCOL", JSON.stringify(text));
  }
}

function words(command: Command<unknown>): string[] {
  return command.args.map(String);
}

function idsOf({ frame, entries }: RangePage): string[] {
  return [...entries].map((at) => frame.textAt(at + 2));
}

const OTHERS = ["+OK\r\n", "$2\r\nab\r\n", "#t\r\n", ",1\r\n", "(1\r\n", "~0\r\n", "_\r\n", "$-1\r\n", "*-1\r\n"];
const plain = { redisKey: "s", start: "1-0", end: "9-9", count: 10, reverse: false };

test("a range is requested from its start, or from its end", () => {
  assertEquals(words(xrange(plain)), ["XRANGE", "s", "1-0", "9-9", "COUNT", "10"]);
  assertEquals(words(xrange({ ...plain, reverse: true })), ["XREVRANGE", "s", "9-9", "1-0", "COUNT", "10"]);
});

test("a captured range has its entries and the last id", () => {
  const text =
    "*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$3\r\nmsg\r\n$2\r\nm1\r\n*2\r\n$3\r\n2-0\r\n*4\r\n$3\r\nmsg\r\n$2\r\nm2\r\n$0\r\n\r\n$0\r\n\r\n";
  const page = read(xrange(plain), text);
  assertEquals([idsOf(page), page.lastId], [["1-0", "2-0"], "2-0"]);
  const none = read(xrange(plain), "*0\r\n");
  assertEquals([idsOf(none), none.lastId], [[], undefined]);
});

test("a range of another shape, outside of the request, or of too many entries, is refused", () => {
  refused(xrange(plain), ...OTHERS, ":1\r\n", "%0\r\n", array(bulk("1-0")), array(array(bulk("1-0"), "*-1\r\n")));
  refused(xrange(plain), array(entry("1", "a", "b")), array(entry("1-0", "a")), array("_\r\n"), array(array()));
  refused(xrange(plain), array(array(":1\r\n", array())), array(array(bulk("1-0"), array(bulk("a"), "_\r\n"))));
  refused(xrange(plain), array(entry("0-9", "a", "b")), array(entry("10-0", "a", "b")));
  const two = array(entry("2-0", "a", "b"), entry("3-0", "a", "b"));
  refused(xrange({ ...plain, count: 1 }), two);
  assertEquals(read(xrange({ ...plain, count: 2 }), two).lastId, "3-0");
});

test("a length and a time are read", () => {
  assertEquals([words(xlen("s")), read(xlen("s"), ":17\r\n")], [["XLEN", "s"], 17]);
  refused(xlen("s"), ...OTHERS, "*0\r\n");
  assertEquals(words(serverTime()), ["TIME"]);
  assertEquals(read(serverTime(), array(bulk("1795383254"), bulk("339999"))), 1_795_383_254_339);
  refused(serverTime(), ...OTHERS, ":1\r\n", array(bulk("1")), array(bulk("1"), bulk("x")), array(":1\r\n", ":2\r\n"));
  refused(serverTime(), array(bulk("-1"), bulk("0")), array(bulk("1"), bulk("2"), bulk("3")));
});

const FULL_3 = "%9\r\n$6\r\nlength\r\n:4\r\n$15\r\nradix-tree-keys\r\n:1\r\n$16\r\nradix-tree-nodes\r\n:2\r\n" +
  "$17\r\nlast-generated-id\r\n$3\r\n7-0\r\n$20\r\nmax-deleted-entry-id\r\n$3\r\n4-0\r\n$13\r\nentries-added\r\n:7\r\n" +
  "$23\r\nrecorded-first-entry-id\r\n$3\r\n1-0\r\n$7\r\nentries\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$3\r\nmsg\r\n$2\r\nm1\r\n" +
  "$6\r\ngroups\r\n*1\r\n%7\r\n$4\r\nname\r\n$1\r\ng\r\n$17\r\nlast-delivered-id\r\n$3\r\n9-0\r\n$12\r\nentries-read\r\n:7\r\n" +
  "$3\r\nlag\r\n:0\r\n$9\r\npel-count\r\n:4\r\n$7\r\npending\r\n*1\r\n*4\r\n$3\r\n1-0\r\n$3\r\nme2\r\n:1795383253849\r\n:9\r\n" +
  "$9\r\nconsumers\r\n*2\r\n%4\r\n$4\r\nname\r\n$4\r\ndead\r\n$9\r\nseen-time\r\n:1795383254339\r\n$9\r\npel-count\r\n:0\r\n" +
  "$7\r\npending\r\n*0\r\n%4\r\n$4\r\nname\r\n$2\r\nme\r\n$9\r\nseen-time\r\n:1795383254346\r\n$9\r\npel-count\r\n:2\r\n" +
  "$7\r\npending\r\n*1\r\n*3\r\n$3\r\n6-0\r\n:1795383254344\r\n:1\r\n";

test("a captured stream reads the same in both protocols, whatever fields servers add", () => {
  const command = xinfoFull("q");
  assertEquals(words(command), ["XINFO", "STREAM", "q", "FULL", "COUNT", "1"]);
  const dead = { name: "dead", pending: 0, seenTime: 1795383254339, activeTime: undefined };
  const me = { name: "me", pending: 2, seenTime: 1795383254346, activeTime: undefined };
  const group = { name: "g", lastDeliveredId: "9-0", lag: 0, pending: 4, oldestPendingId: "1-0" };
  const stream = { length: 4, firstId: "1-0", lastGeneratedId: "7-0", entriesAdded: 7 };
  const expected = { ...stream, groups: [{ ...group, consumers: [dead, me] }] };
  assertEquals(read(command, FULL_3), expected);
  assertEquals(read(command, FULL_3.replace(/%(\d+)/g, (_, pairs) => `*${Number(pairs) * 2}`)), expected);
  const active = (time: number) =>
    FULL_3.replaceAll("%4", "%5").replaceAll(
      /seen-time\r\n:\d+\r\n/g,
      (seen) => `${seen}$11\r\nactive-time\r\n:${time}\r\n`,
    );
  const withTime = (activeTime: number | undefined) => ({
    ...stream,
    groups: [{ ...group, consumers: [{ ...dead, activeTime }, { ...me, activeTime }] }],
  });
  assertEquals(read(command, active(1795383254000)), withTime(1795383254000));
  assertEquals(read(command, active(-1)), withTime(undefined));
});

test("fields that an old server lacks or does not know are omitted, and an empty stream has no first id", () => {
  const unknown = FULL_3.replace("$3\r\nlag\r\n:0", "$3\r\nlag\r\n_").replace("entries-added", "entries-addeD");
  const { entriesAdded, groups: [{ lag }] } = read(xinfoFull("q"), unknown);
  assertEquals([entriesAdded, lag], [undefined, undefined]);
  const empty = FULL_3.replace("*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$3\r\nmsg\r\n$2\r\nm1\r\n", "*0\r\n")
    .replace("*1\r\n*4\r\n$3\r\n1-0\r\n$3\r\nme2\r\n:1795383253849\r\n:9\r\n", "*0\r\n");
  const { firstId, groups: [{ oldestPendingId }] } = read(xinfoFull("q"), empty);
  assertEquals([firstId, oldestPendingId], [undefined, undefined]);
});

test("a stream of another shape is refused", () => {
  refused(xinfoFull("q"), ...OTHERS, ":1\r\n", "*0\r\n", "%0\r\n", "*1\r\n:1\r\n");
  for (
    const name of ["length", "last-generated-id", "entries\r\n", "groups", "name", "last-delivered-id", "pel-count"]
  ) {
    refused(xinfoFull("q"), FULL_3.replace(name, name.toUpperCase()));
  }
  for (const [from, to] of [["7-0", "7.0"], [":4", "+4"], ["$3\r\n9-0", ":900"], ["$1\r\ng", ":1"]]) {
    refused(xinfoFull("q"), FULL_3.replace(from, to));
  }
});

test("a group is moved, with its number of read entries if known, and deleted; a consumer is deleted", () => {
  assertEquals(words(xgroupSetId("s", "g", { position: "$" })), ["XGROUP", "SETID", "s", "g", "$"]);
  const known = xgroupSetId("s", "g", { position: "5-0", entriesRead: 7 });
  assertEquals(words(known), ["XGROUP", "SETID", "s", "g", "5-0", "ENTRIESREAD", "7"]);
  const commands = [xgroupDestroy("s", "g"), xgroupDelConsumer("s", "g", "c")];
  assertEquals(commands.map(words), [["XGROUP", "DESTROY", "s", "g"], ["XGROUP", "DELCONSUMER", "s", "g", "c"]]);
  for (const command of commands) {
    assertEquals(read(command, ":3\r\n"), 3);
    refused(command, ...OTHERS, "*0\r\n");
  }
  assertEquals([known, ...commands].map(({ repeatable }) => repeatable), [false, false, false]);
});

test("scripts name their key, and return a count", () => {
  const remove = removeEmpty({ redisKey: "s", group: "g" }, "c");
  assertEquals([words(remove).slice(2), remove.key, remove.repeatable], [["1", "s", "g", "c"], "s", false]);
  const [exact, about] = [
    trimAcknowledged("s", { exact: true, groups: ["g"] }),
    trimAcknowledged("s", { exact: false, groups: [] }),
  ];
  assertEquals([words(exact).slice(2), words(about).slice(2)], [["1", "s", "=", "g"], ["1", "s", "~"]]);
  assertEquals([exact.key, exact.repeatable], ["s", true]);
  for (const command of [remove, exact]) {
    assertEquals([read(command, ":0\r\n"), read(command, ":7\r\n")], [0, 7]);
    refused(command, ...OTHERS, ":-1\r\n", "*0\r\n");
  }
});

test("a forbidden script, and a forbidden command within one, are distinguished from a failure", () => {
  const error = (text: string) =>
    readError(standing(`-${text}\r\n`), trimAcknowledged("s", { exact: true, groups: ["g"] }));
  const forbidden = [
    "NOPERM User u has no permissions to run the 'eval' command",
    "ERR unknown command 'EVAL', with args beginning with: ",
    "ERR The user executing the script can't run this command or subcommand script: 7eab, on @user_script:25.",
    "ERR ACL failure in script: User u has no permissions to run the 'xtrim' command",
  ];
  for (const text of forbidden) assertEquals(areScriptsForbidden(error(text)), true, text);
  const failed = ["WRONGTYPE Operation against a key", "NOGROUP No such consumer group", "OOM command not allowed"];
  for (const text of failed) assertEquals(areScriptsForbidden(error(text)), false, text);
});
