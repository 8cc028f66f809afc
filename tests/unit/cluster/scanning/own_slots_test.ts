// Tests how a node's word about its own slots is read.

import { assertEquals, assertThrows } from "@std/assert";
import { StreamerError } from "../../../../resp/errors.ts";
import { ownSlots } from "../../../../streamer/commands/cluster_nodes.ts";
import { bulk, standing } from "../../commands/frames.ts";
import { test } from "../../../support/runner.ts";

const [ONE, TWO] = ["a".repeat(40), "b".repeat(40)];
const other = `${TWO} 127.0.0.1:7001@17001 master - 0 1700000000000 9 connected 5461-10922`;
const read = (...lines: readonly string[]) => ownSlots().read(standing(bulk(lines.join("\n") + "\n")));

test("ranges, single slots, slots that come, and the epoch are those of the node itself", () => {
  const own =
    `${ONE} 127.0.0.1:7000@17000,host-a myself,master - 0 0 3 connected 0-5460 7000 [93-<-${TWO}] [7->-${TWO}]`;
  assertEquals(read(other, own), { owned: [[0, 5460], [7000, 7000]], importing: [93], epoch: "3" });
  const verbatim = `=${own.length + 4}\r\ntxt:${own}\r\n`;
  assertEquals(ownSlots().read(standing(verbatim)).importing, [93]);
});

test("a replica, a fresh node and a node that says nothing of itself have no slots", () => {
  const none = { owned: [], importing: [] };
  assertEquals(read(`${ONE} :7000@17000 myself,slave ${TWO} 0 0 9 connected`), { ...none, epoch: "9" });
  assertEquals(read(`${ONE} :0@0 myself,master - 0 0 0 connected`, other), { ...none, epoch: "0" });
  assertEquals(read(other), { ...none, epoch: "" });
  assertEquals(read(`${ONE} :0@0 myself,master - 0 0 0 connected 1-x [9-<-] what`), {
    owned: [],
    importing: [9],
    epoch: "0",
  });
});

test("a reply that is no text is malformed", () => {
  assertEquals(assertThrows(() => ownSlots().read(standing(":1\r\n")), StreamerError).code, "PROTOCOL");
});
