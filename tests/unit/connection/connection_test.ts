// Tests pushes on a connection that reconnects.

import { assertEquals } from "@std/assert";
import { Connection, type ConnectionOwner } from "../../../resp/connection/connection.ts";
import { test } from "../../support/runner.ts";
import { fakeNode } from "./fake_node.ts";
import { settle } from "./fakes.ts";

function owner(happened: string[], pushes: Pick<ConnectionOwner, "push">): ConnectionOwner {
  return {
    up: () => happened.push("up"),
    down: ({ code }) => happened.push(`down ${code}`),
    failed: () => happened.push("failed"),
    writable: () => {},
    ...pushes,
  };
}

test("pushes reach the owner of a connection, with the connection that received them", async () => {
  const { destination, node, greet, clock } = fakeNode();
  const happened: string[] = [];
  const connection = new Connection(
    destination,
    owner(happened, {
      push: (decoder, open) =>
        happened.push(`${decoder.value()} of ${open.node === node && open === connection.current}`),
    }),
  );
  connection.start();
  const wire = await greet();
  wire.say(">2\r\n+invalidate\r\n+a\r\n");
  assertEquals(happened, ["up", "invalidate,a of true"]);
  wire.end();
  await clock.pass(100);
  const second = await greet();
  second.say(">1\r\n+again\r\n");
  assertEquals(happened.slice(2), ["down DISCONNECTED", "up", "again of true"]);
  connection.close();
  await settle();
});

test("without an owner who wants pushes they are dropped", async () => {
  const { destination, greet } = fakeNode();
  const happened: string[] = [];
  const connection = new Connection(destination, owner(happened, {}));
  connection.start();
  const wire = await greet();
  wire.say(">2\r\n+invalidate\r\n+a\r\n");
  await settle();
  assertEquals([happened, wire.closed], [["up"], false]);
  connection.close();
  await settle();
});

test("a push that the owner cannot read ends the connection, which is opened again", async () => {
  const { destination, greet, clock } = fakeNode();
  const happened: string[] = [];
  const push = () => {
    throw new TypeError("bug");
  };
  const connection = new Connection(destination, owner(happened, { push }));
  connection.start();
  const wire = await greet();
  wire.say(">1\r\n+x\r\n");
  await clock.pass(100);
  await greet();
  assertEquals([happened, wire.closed], [["up", "down PROTOCOL", "up"], true]);
  connection.close();
  await settle();
});
