// Tests the arguments of the commands for groups, and the results read from their replies, byte for byte.

import { assertEquals, assertThrows } from "@std/assert";
import { RespEncoder } from "../../../resp/encoder.ts";
import { type Command, readError } from "../../../resp/connection/command.ts";
import { StreamerError } from "../../../resp/errors.ts";
import { claimPending, listPending } from "../../../streamer/commands/claim_scripts.ts";
import { removeHoldingNothing } from "../../../streamer/commands/consumer_scripts.ts";
import { redeliver, setIdle } from "../../../streamer/commands/scripts.ts";
import { xack } from "../../../streamer/commands/xack.ts";
import { type EntryPage, xclaim, xclaimJustId, xrangeOne } from "../../../streamer/commands/xclaim.ts";
import { isGroupThere, isStreamMissing, xgroupCreate } from "../../../streamer/commands/xgroup.ts";
import { xinfoConsumers, xinfoGroups } from "../../../streamer/commands/xgroup.ts";
import { xpending } from "../../../streamer/commands/xpending.ts";
import { xreadgroup, xreadgroupPending } from "../../../streamer/commands/xreadgroup.ts";
import { unwire } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";
import { array, bulk, entry, standing } from "./frames.ts";

const member = { group: "g", consumer: "c" };

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

function entriesOf({ frame, entries, gone }: EntryPage): unknown {
  const list = [...entries].map((at) => {
    const found = [frame.textAt(at + 2)];
    for (let i = 0; i < frame.lengthAt(at + 4); i++) found.push(frame.textAt(at + 6 + i * 2));
    return found;
  });
  return { list, gone };
}

const OTHERS = ["+OK\r\n", ":1\r\n", "$2\r\nab\r\n", "#t\r\n", ",1\r\n", "(1\r\n", "~0\r\n"];

test("new entries are read from all keys at once, with NOACK only on request", () => {
  const options = { redisKeys: ["a", "b:3"], count: 10, block: 99.5 };
  assertEquals(
    xreadgroup(member, { ...options, noAck: false }).args.map(String),
    ["XREADGROUP", "GROUP", "g", "c", "COUNT", "10", "BLOCK", "100", "STREAMS", "a", "b:3", ">", ">"],
  );
  const noAck = xreadgroup(member, { ...options, noAck: true }).args.map(String);
  assertEquals(noAck.indexOf("NOACK"), 8);
  assertEquals(noAck.filter((word) => word !== "NOACK").length, 13);
});

const pending = xreadgroupPending(member, { redisKey: "s", after: "0-0", count: 5 });

test("pending entries are requested after an id, and the command never blocks", () => {
  assertEquals(
    words(pending),
    ["XREADGROUP", "GROUP", "g", "c", "COUNT", "5", "STREAMS", "s", "0-0"],
  );
  assertEquals(pending.repeatable, false, "each reading counts a delivery");
});

test("captured pages of pending entries have existing and deleted ones, in both protocols", () => {
  const two =
    "*1\r\n*2\r\n$1\r\ns\r\n*4\r\n*2\r\n$3\r\n1-0\r\n*-1\r\n*2\r\n$3\r\n2-0\r\n*2\r\n$3\r\nmsg\r\n$2\r\nm2\r\n" +
    "*2\r\n$3\r\n4-0\r\n*2\r\n$3\r\nmsg\r\n$2\r\nm4\r\n*2\r\n$3\r\n5-0\r\n*2\r\n$3\r\nmsg\r\n$2\r\nm5\r\n";
  const three = "%1\r\n$1\r\ns\r\n*4\r\n*2\r\n$3\r\n1-0\r\n_\r\n*2\r\n$3\r\n2-0\r\n*2\r\n$3\r\nmsg\r\n$2\r\nm2\r\n" +
    "*2\r\n$3\r\n4-0\r\n*2\r\n$3\r\nmsg\r\n$2\r\nm4\r\n*2\r\n$3\r\n5-0\r\n*2\r\n$3\r\nmsg\r\n$2\r\nm5\r\n";
  const expected = { list: [["2-0", "msg", "m2"], ["4-0", "msg", "m4"], ["5-0", "msg", "m5"]], gone: ["1-0"] };
  assertEquals(entriesOf(read(pending, two)), expected);
  assertEquals(entriesOf(read(pending, three)), expected);
});

test("without pending entries there are none, in any form", () => {
  const nothing = { list: [], gone: [] };
  for (const text of ["*1\r\n*2\r\n$1\r\ns\r\n*0\r\n", "%1\r\n$1\r\ns\r\n*0\r\n", "_\r\n", "*-1\r\n"]) {
    assertEquals(entriesOf(read(pending, text)), nothing, text);
  }
});

test("a page of deleted entries alone names them all, at any place", () => {
  for (const none of ["_\r\n", "*-1\r\n"]) {
    const dead = (id: string) => array(bulk(id), none);
    const page = `%1\r\n${bulk("s")}${array(dead("1-0"), dead("18446744073709551615-7"))}`;
    assertEquals(entriesOf(read(pending, page)), { list: [], gone: ["1-0", "18446744073709551615-7"] });
    const mixed = `%1\r\n${bulk("s")}${array(entry("1-0", "a", "b"), dead("2-0"), entry("3-0", "c", "d"))}`;
    assertEquals(entriesOf(read(pending, mixed)), { list: [["1-0", "a", "b"], ["3-0", "c", "d"]], gone: ["2-0"] });
  }
});

test("a reply for another key than the requested one is refused", () => {
  const good = array(entry("1-0", "msg", "a"));
  refused(pending, ...OTHERS, "%0\r\n", "*0\r\n");
  refused(pending, `%1\r\n${bulk("t")}${good}`, `%1\r\n+s\r\n${good}`, `%2\r\n${bulk("s")}${good}${bulk("t")}${good}`);
  refused(pending, array(bulk("s"), good), array(array(bulk("s"))), array(array(bulk("s"), good, good)));
  const page = (text: string) => `%1\r\n${bulk("s")}${text}`;
  refused(pending, page("_\r\n"), page(bulk("x")), page(array(bulk("1-0"))), page(array(array(bulk("1-0")))));
  refused(
    pending,
    page(array(entry("x", "a", "b"))),
    page(array(entry("1-0", "a"))),
    page(array(entry("01-0", "a", "b"))),
  );
  refused(pending, page(array(array(bulk("x"), "_\r\n"))), page(array(array(":1\r\n", "_\r\n"))));
  refused(pending, page(array(array(bulk("1-0"), array(bulk("a"), ":1\r\n")))));
  refused(pending, page(array(array(bulk("1-0"), array(bulk("a"), bulk("b")), bulk("c")))));
});

test("XPENDING lists by range, consumer and idle time, which is rounded up", () => {
  const listed = xpending({ redisKey: "s", group: "g", start: "-", count: 10 });
  assertEquals(words(listed), ["XPENDING", "s", "g", "-", "+", "10"]);
  const narrow = { redisKey: "s", group: "g", start: "1-0", end: "2-0", count: 7, consumer: "c", idle: 0.5 };
  assertEquals(words(xpending(narrow)), ["XPENDING", "s", "g", "IDLE", "1", "1-0", "2-0", "7", "c"]);
});

test("captured rows of XPENDING have id, consumer, idle time and deliveries", () => {
  const command = xpending({ redisKey: "s", group: "g", start: "-", count: 10 });
  const text = "*4\r\n*4\r\n$3\r\n1-0\r\n$1\r\nc\r\n:125\r\n:4\r\n*4\r\n$3\r\n2-0\r\n$1\r\nc\r\n:31\r\n:5\r\n" +
    "*4\r\n$3\r\n4-0\r\n$1\r\nc\r\n:31\r\n:2\r\n*4\r\n$3\r\n5-0\r\n$1\r\nc\r\n:31\r\n:2\r\n";
  const rows = [["1-0", 125, 4], ["2-0", 31, 5], ["4-0", 31, 2], ["5-0", 31, 2]] as const;
  assertEquals(read(command, text), rows.map(([id, idle, deliveries]) => ({ id, consumer: "c", idle, deliveries })));
  assertEquals(read(command, "*0\r\n"), []);
  const [unowned] = read(command, "*1\r\n*4\r\n$3\r\n2-0\r\n$0\r\n\r\n:-1\r\n:5\r\n");
  assertEquals(unowned, { id: "2-0", consumer: "", idle: -1, deliveries: 5 });
  const [fatal] = read(command, "*1\r\n*4\r\n$3\r\n2-0\r\n$0\r\n\r\n:-1\r\n:9223372036854775807\r\n");
  assertEquals(fatal.deliveries, 2 ** 63);
});

test("rows of XPENDING of another shape are refused", () => {
  const command = xpending({ redisKey: "s", group: "g", start: "-", count: 10 });
  refused(command, ...OTHERS, "_\r\n", "*-1\r\n", "*1\r\n_\r\n", "*1\r\n*0\r\n", "*1\r\n:1\r\n");
  const row = (...items: string[]) => array(array(...items));
  refused(command, row(bulk("x"), bulk("c"), ":1\r\n", ":1\r\n"), row(bulk("1-0"), "_\r\n", ":1\r\n", ":1\r\n"));
  refused(command, row(bulk("1-0"), bulk("c"), ":1\r\n"), row(bulk("1-0"), bulk("c"), bulk("a"), ":1\r\n"));
  refused(command, row(bulk("1-0"), bulk("c"), "_\r\n", ":1\r\n"), row(bulk("1-0"), bulk("c"), ":1\r\n", "_\r\n"));
  refused(command, row(bulk("1-0"), bulk("c"), ":1\r\n", array()));
});

test("unrequested rows of XPENDING are refused: too many, out of the range, or out of order", () => {
  const row = (id: string) => array(bulk(id), bulk("c"), ":1\r\n", ":1\r\n");
  const options = { redisKey: "s", group: "g", start: "2-0", end: "4-0", count: 2 };
  const command = xpending(options);
  assertEquals(read(command, array(row("2-0"), row("4-0"))).map(({ id }) => id), ["2-0", "4-0"]);
  refused(command, array(row("2-0"), row("3-0"), row("4-0")));
  refused(command, array(row("1-0")), array(row("4-1")), array(row("3-0"), row("2-0")), array(row("3-0"), row("3-0")));
});

test("unrequested entries are refused: of XCLAIM, of XRANGE for one, of a redelivery, of pending entries", () => {
  const [one, two, three] = ["1-0", "2-0", "3-0"].map((id) => entry(id, "m", "v"));
  const claim = xclaim(member, { redisKey: "q", ids: ["1-0", "2-0"], minIdle: 0 });
  assertEquals(read(claim, array(one, two)).entries.length, 2);
  refused(claim, array(three), array(one, three), array(one, one), array(one, two, three));
  refused(xclaimJustId(member, { redisKey: "q", ids: ["1-0"], idle: 0 }), array(bulk("1-0"), bulk("1-0")), "+OK\r\n");
  refused(xrangeOne("q", "1-0"), array(two), array(one, one));
  refused(redeliver(member, { redisKey: "q", id: "1-0", deliveries: 2 }), array(two), array(one, one));
  const page = (...entries: string[]) => `%1\r\n${bulk("s")}${array(...entries)}`;
  const history = xreadgroupPending(member, { redisKey: "s", after: "1-0", count: 2 });
  assertEquals(read(history, page(two, three)).entries.length, 2);
  refused(history, page(one), page(three, two), page(two, two), page(two, three, entry("4-0", "m", "v")));
});

test("a count of more acknowledgements than were sent is refused", () => {
  refused(xack("s", "g", new TextEncoder().encode(bulk("1-0")), 1), ":2\r\n", ":-1\r\n");
});

test("XACK sends the ids unchanged, and reads a number", () => {
  const command = xack("s", "g", new TextEncoder().encode(bulk("1-0") + bulk("18446744073709551615-0")), 2);
  const sent = command.encoded === undefined ? "" : unwire(command.encoded);
  const whole = new RespEncoder({ capacity: 256 }).command(["XACK", "s", "g", "1-0", "18446744073709551615-0"], 5)
    .take();
  assertEquals(sent, unwire(whole));
  assertEquals([read(command, ":0\r\n"), read(command, ":2\r\n")], [0, 2]);
  refused(command, "+OK\r\n", "_\r\n", "$1\r\n1\r\n", "*0\r\n", ",1\r\n");
});

test("XCLAIM and XRANGE return the captured entries, without deleted ones", () => {
  const command = xclaim({ group: "g", consumer: "me2" }, { redisKey: "q", ids: ["4-0", "5-0"], minIdle: 0.1 });
  assertEquals(words(command), ["XCLAIM", "q", "g", "me2", "1", "4-0", "5-0"]);
  const text =
    "*2\r\n*2\r\n$3\r\n4-0\r\n*2\r\n$3\r\nmsg\r\n$2\r\nm4\r\n*2\r\n$3\r\n5-0\r\n*2\r\n$3\r\nmsg\r\n$2\r\nm5\r\n";
  assertEquals(entriesOf(read(command, text)), { list: [["4-0", "msg", "m4"], ["5-0", "msg", "m5"]], gone: [] });
  assertEquals(entriesOf(read(command, "*0\r\n")), { list: [], gone: [] });
  const many = xclaim({ group: "g", consumer: "me2" }, {
    redisKey: "q",
    ids: ["3-0", "4-0", "5-0", "6-0"],
    minIdle: 0,
  });
  const old = array("*-1\r\n", entry("5-0", "msg", "m5"), "_\r\n", "$-1\r\n"); // Redis 6: deleted ones are null
  assertEquals(entriesOf(read(many, old)), { list: [["5-0", "msg", "m5"]], gone: [] });
  refused(command, ...OTHERS, "_\r\n", "*-1\r\n", "%0\r\n", array(bulk("4-0")), array(entry("4", "a", "b")));
  assertEquals(words(xclaimJustId(member, { redisKey: "q", ids: ["4-0"], idle: 7 })), [
    "XCLAIM",
    "q",
    "g",
    "c",
    "0",
    "4-0",
    "IDLE",
    "7",
    "JUSTID",
  ]);
  assertEquals(words(xrangeOne("q", "4-0")), ["XRANGE", "q", "4-0", "4-0"]);
  assertEquals(entriesOf(read(xrangeOne("q", "4-0"), array(entry("4-0", "m", "v")))), {
    list: [["4-0", "m", "v"]],
    gone: [],
  });
});

const GROUPS2 = "*1\r\n*12\r\n$4\r\nname\r\n$1\r\ng\r\n$9\r\nconsumers\r\n:3\r\n$7\r\npending\r\n:4\r\n" +
  "$17\r\nlast-delivered-id\r\n$3\r\n9-0\r\n$12\r\nentries-read\r\n:7\r\n$3\r\nlag\r\n:0\r\n";
const CONSUMERS2 = "*2\r\n*6\r\n$4\r\nname\r\n$4\r\ndead\r\n$7\r\npending\r\n:0\r\n$4\r\nidle\r\n:4\r\n" +
  "*6\r\n$4\r\nname\r\n$2\r\nme\r\n$7\r\npending\r\n:2\r\n$4\r\nidle\r\n:2\r\n";

test("captured groups and consumers read the same in both protocols, whatever fields servers add", () => {
  const groups = [{ name: "g", lastDeliveredId: "9-0", pending: 4 }];
  assertEquals(read(xinfoGroups("q"), GROUPS2), groups);
  assertEquals(read(xinfoGroups("q"), GROUPS2.replace("*12", "%6")), groups);
  assertEquals(read(xinfoGroups("q"), GROUPS2.replace("*12", "%6").replace(":7", "_").replace(":0", "_")), groups);
  const consumers = [{ name: "dead", pending: 0, idle: 4 }, { name: "me", pending: 2, idle: 2 }];
  assertEquals(read(xinfoConsumers("q", "g"), CONSUMERS2), consumers);
  assertEquals(read(xinfoConsumers("q", "g"), CONSUMERS2.replaceAll("*6", "%3")), consumers);
  const valkey = CONSUMERS2.replaceAll("*6", "%4").replaceAll(/(idle\r\n:\d\r\n)/g, "$1$8\r\ninactive\r\n:10\r\n");
  assertEquals(read(xinfoConsumers("q", "g"), valkey), consumers);
  assertEquals([read(xinfoGroups("q"), "*0\r\n"), read(xinfoConsumers("q", "g"), "*0\r\n")], [[], []]);
});

test("groups and consumers of another shape are refused", () => {
  for (const command of [xinfoGroups("q"), xinfoConsumers("q", "g")] as Command<unknown>[]) {
    refused(command, ...OTHERS, "_\r\n", "*1\r\n:1\r\n", "*1\r\n*0\r\n", "*1\r\n*1\r\n$4\r\nname\r\n");
  }
  refused(
    xinfoGroups("q"),
    GROUPS2.replace("9-0", "9.0"),
    GROUPS2.replace(":4", "+4"),
    GROUPS2.replace("pending", "pendinG"),
  );
  refused(xinfoConsumers("q", "g"), CONSUMERS2.replace(":2", "_"), CONSUMERS2.replace("$2\r\nme", ":1"));
});

test("a renewal has a result for each id, in order", () => {
  const command = setIdle(member, { redisKey: "s", ids: ["1-0", "2-0", "3-0"], idle: 0 });
  assertEquals(words(command).slice(2), ["1", "s", "g", "c", "0", "1-0", "2-0", "3-0"]);
  assertEquals(read(command, "*3\r\n:1\r\n:0\r\n:2\r\n"), ["kept", "not-ours", "gone"]);
  assertEquals(read(command, "*3\r\n:3\r\n:3\r\n:1\r\n"), ["nowhere", "nowhere", "kept"]);
  refused(
    command,
    ...OTHERS,
    "_\r\n",
    "*2\r\n:1\r\n:1\r\n",
    "*4\r\n:1\r\n:1\r\n:1\r\n:1\r\n",
    "*3\r\n:1\r\n:1\r\n:4\r\n",
  );
  refused(
    command,
    "*3\r\n:1\r\n:1\r\n_\r\n",
    "*3\r\n:1\r\n:1\r\n:-1\r\n",
    "*3\r\n:1\r\n:1\r\n*0\r\n",
    "*3\r\n:1\r\n:1\r\n$0\r\n\r\n",
  );
});

test("a redelivery returns the entry, none if it was deleted, and nothing if it is another consumer's", () => {
  const command = redeliver(member, { redisKey: "s", id: "4-0", deliveries: 3 });
  assertEquals(words(command).slice(2), ["1", "s", "g", "c", "4-0", "3"]);
  const page = read(command, array(entry("4-0", "msg", "m4")));
  assertEquals(page && entriesOf(page), { list: [["4-0", "msg", "m4"]], gone: [] });
  const none = read(command, "*0\r\n");
  assertEquals(none && entriesOf(none), { list: [], gone: [] });
  for (const nil of ["_\r\n", "$-1\r\n", "*-1\r\n"]) assertEquals(read(command, nil), undefined, nil);
  refused(command, "+OK\r\n", ":1\r\n", "#t\r\n", array(bulk("4-0")), array(entry("x", "a", "b")));
});

test("removing idle consumers names many at once and returns how many were removed", () => {
  const command = removeHoldingNothing({ redisKey: "s", group: "g" }, ["old", "o"]);
  assertEquals(words(command).slice(2), ["1", "s", "g", "old", "o"]);
  assertEquals([read(command, ":2\r\n"), read(command, ":0\r\n"), command.repeatable], [2, 0, true]);
  refused(command, "+OK\r\n", "_\r\n", "*0\r\n", ":-1\r\n");
});

test("a list of pending entries comes with the first id of its stream, and has no more rows than requested", () => {
  const command = listPending({ redisKey: "s", group: "g", start: "1-0", count: 1, consumer: "c", idle: 10.5 });
  assertEquals(words(command).slice(2), ["1", "s", "g", "IDLE", "11", "1-0", "+", "1", "c"]);
  const row = array(bulk("2-0"), bulk("c"), ":7\r\n", ":1\r\n");
  const rows = [{ id: "2-0", consumer: "c", idle: 7, deliveries: 1 }];
  assertEquals(read(command, array(bulk("5-0"), array(row))), { rows, firstId: "5-0" });
  assertEquals(read(command, array("$-1\r\n", array(row))), { rows, firstId: undefined });
  assertEquals(read(command, array("_\r\n", array())), { rows: [], firstId: undefined });
  refused(command, array(bulk("x"), array(row)), array(bulk("5-0"), array(row, row)), "*0\r\n", "_\r\n", ":1\r\n");
});

test("a claim in one step returns the state of each entry, and takes no unrequested one", () => {
  const command = claimPending(member, { redisKey: "s", from: "d", ids: ["1-0", "2-0", "3-0"], minIdle: 5 });
  assertEquals(words(command).slice(2), ["1", "s", "g", "c", "d", "5", "1-0", "2-0", "3-0"]);
  assertEquals(command.repeatable, false);
  const page = read(command, array(bulk("4:1 3:9.2233720368548e+18 0:0"), array(entry("1-0", "msg", "x"))));
  assertEquals(page.states.map(({ state, deliveries }) => `${state} ${deliveries}`), [
    "claimed 1",
    "gone 9223372036854800000",
    "nowhere 0",
  ]);
  assertEquals(page.entries.length, 1);
  const withNothing = read(command, array(bulk("3:1 1:1 2:1"), array("*-1\r\n", "_\r\n")));
  assertEquals(withNothing.states.map(({ state }) => state), ["gone", "not-ours", "ours"]);
  refused(
    command,
    array(bulk("4:1 0:0 0:0"), array(entry("9-0", "msg", "x"))),
    array(bulk("0:0 0:0 0:0"), array(entry("1-0", "msg", "x"))),
    array(bulk("4:1 0:0 0:0"), array()),
    array(bulk("5:1 0:0 0:0"), array()),
    array(bulk("0:0 0:0"), array()),
    array(bulk("0:-1 0:0 0:0"), array()),
    array(array(), array()),
    bulk("0:0 0:0 0:0"),
    ":1\r\n",
  );
});

test("a group is created with or without its stream, and the obstacles are distinguished", () => {
  assertEquals(words(xgroupCreate("s", "g", { position: "$", mkstream: false })), ["XGROUP", "CREATE", "s", "g", "$"]);
  const made = xgroupCreate("s", "g", { position: "0-0", mkstream: true });
  assertEquals(words(made), ["XGROUP", "CREATE", "s", "g", "0-0", "MKSTREAM"]);
  const error = (text: string) => readError(standing(text), made);
  const busy = error("-BUSYGROUP Consumer Group name already exists\r\n");
  const missing = error(
    "-ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option " +
      "to create an empty stream automatically.\r\n",
  );
  const wrong = error("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
  assertEquals([busy, missing, wrong].map(isGroupThere), [true, false, false]);
  assertEquals([busy, missing, wrong].map(isStreamMissing), [false, true, false]);
});
