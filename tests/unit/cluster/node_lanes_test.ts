// Tests the connections of a router to one node: when they are opened, and for which commands.

import { assertEquals, assertRejects } from "@std/assert";
import { valueCommand } from "../../../resp/connection/command.ts";
import { StreamerError } from "../../../resp/errors.ts";
import { NodeLanes } from "../../../streamer/cluster/node_lanes.ts";
import { fakeNode } from "../connection/fake_node.ts";
import { settle } from "../connection/fakes.ts";
import { test } from "../../support/runner.ts";

const get = (key: string) => valueCommand(["GET", key], { key, repeatable: true });

test("each connection is opened when it is first needed, and serves all commands of its kind", async () => {
  const { destination, wires, greet } = fakeNode();
  const lanes = new NodeLanes(destination);
  await settle();
  assertEquals(wires.length, 0);
  const usual = lanes.run(get("a"));
  const first = await greet();
  first.say("+A\r\n");
  const large = lanes.run(get("b"), { large: true });
  const second = await greet();
  second.say("+B\r\n");
  const [again, more] = [lanes.run(get("c")), lanes.run(get("d"), { large: true })];
  await settle();
  first.say("+C\r\n");
  second.say("+D\r\n");
  assertEquals(await Promise.all([usual, large, again, more]), ["A", "B", "C", "D"]);
  assertEquals(wires.length, 2);
  lanes.close();
  await settle();
  assertEquals([first.closed, second.closed], [true, true]);
});

test("a connection that was already open is used", async () => {
  const { node, destination, wires, greet } = fakeNode();
  const opening = node.open({ signal: new AbortController().signal });
  const wire = await greet();
  const opened = await opening;
  const lanes = new NodeLanes(destination, opened);
  assertEquals(await lanes.connection({ signal: new AbortController().signal }), opened);
  const asked = lanes.run(get("a"));
  await settle();
  wire.say("+A\r\n");
  assertEquals([await asked, wires.length], ["A", 1]);
  lanes.close();
  await settle();
});

test("after the close no connection is opened any more", async () => {
  const { destination, wires } = fakeNode();
  const lanes = new NodeLanes(destination);
  lanes.close();
  lanes.close();
  const asks = [
    () => lanes.run(get("a")),
    () => lanes.run(get("a"), { large: true }),
    () => lanes.connection({ signal: new AbortController().signal }),
  ];
  for (const ask of asks) assertEquals((await assertRejects(ask, StreamerError)).code, "DISCONNECTED");
  await settle();
  assertEquals(wires.length, 0);
});
