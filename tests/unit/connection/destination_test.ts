// Tests connections whose destination leads to another node after a failover.

import { assertEquals } from "@std/assert";
import { Connection } from "../../../resp/connection/connection.ts";
import type { Destination } from "../../../resp/connection/destination.ts";
import { StreamerError } from "../../../resp/errors.ts";
import { test } from "../../support/runner.ts";
import { fakeNode } from "./fake_node.ts";
import { FakeClock, settle } from "./fakes.ts";

/** Answers the handshakes of all wires of a node, which have just been dialled. */
async function greetAll({ wires }: ReturnType<typeof fakeNode>): Promise<void> {
  await settle();
  for (const wire of wires) wire.say("+PONG\r\n");
  await settle();
}

/** Two nodes, a destination that leads to one of them, and connections to it. */
function world() {
  const clock = new FakeClock();
  const [a, b] = [fakeNode({ clock, path: "/a" }), fakeNode({ clock, path: "/b" })];
  let leadsTo = a;
  let resolutions = 0;
  const destination: Destination = {
    name: "name",
    clock,
    timeout: 60_000,
    limits: a.node.limits,
    waits: a.node.waits,
    losses: 0,
    failure: undefined,
    resolve: () => {
      resolutions++;
      return Promise.resolve(leadsTo.node);
    },
    report: () => {},
  };
  const connect = (drains = false) => {
    const happened: string[] = [];
    const connection = new Connection(destination, {
      up: (open) => happened.push(`up ${open.node.name}`),
      down: () => happened.push("down"),
      failed: () => happened.push("failed"),
      writable: () => {},
    }, { drains });
    connection.start();
    return { connection, happened };
  };
  return { clock, a, b, connect, move: (to: typeof a) => leadsTo = to, resolutions: () => resolutions };
}

test("a connection that waited is resolved again right before it is dialled", async () => {
  const { clock, a, b, connect, move, resolutions } = world();
  const { connection, happened } = connect();
  const wire = await a.greet();
  assertEquals(resolutions(), 1, "without a wait, once");
  a.state.isDown = true;
  wire.end();
  await clock.pass(120);
  a.state.isDown = false;
  move(b); // while it waits at the gate
  await clock.pass(2_000);
  await b.greet();
  assertEquals([happened, a.wires.length], [["up /a", "down", "up /b"], 1]);
  connection.close();
  await settle();
  assertEquals(clock.running, 0);
});

test("connections that wait for a node they no longer lead to are dialled at once", async () => {
  const { clock, a, b, connect, move } = world();
  const all = [connect(), connect(), connect()];
  await greetAll(a);
  a.state.isDown = true;
  for (const wire of a.wires) wire.end();
  await clock.pass(5_000); // the outage lasts, and one at a time tries
  const before = a.wires.length;
  move(b);
  a.node.replaced(new StreamerError("DISCONNECTED", "it was demoted"));
  await greetAll(b);
  assertEquals(all.map(({ happened }) => happened.at(-1)), ["up /b", "up /b", "up /b"]);
  assertEquals(a.wires.length, before);
  for (const { connection } of all) connection.close();
  await settle();
});

test("open connections to a node that was replaced are closed at once, also while they wait for replies", async () => {
  const { clock, a, b, connect, move } = world();
  const [reader, lane] = [connect(), connect(true)];
  await greetAll(a);
  move(b);
  lane.connection.demoted(new Error("READONLY")); // it waits for the reply to a PING
  await clock.pass(0);
  assertEquals(a.wires.map(({ closed }) => closed), [true, false]);
  a.node.replaced(new StreamerError("DISCONNECTED", "it was replaced"));
  await clock.pass(0);
  assertEquals(a.wires.map(({ closed }) => closed), [true, true]);
  await greetAll(b);
  assertEquals([reader, lane].map(({ happened }) => happened.at(-1)), ["up /b", "up /b"]);
  reader.connection.close();
  lane.connection.close();
  await settle();
});

test("an attempt to connect to a node that was replaced ends at once, and goes to the other node", async () => {
  const { a, b, connect, move } = world();
  const { connection, happened } = connect();
  await settle();
  assertEquals([a.wires.length, happened], [1, []]); // the handshake is not answered
  move(b);
  a.node.replaced(new StreamerError("DISCONNECTED", "it was replaced"));
  await greetAll(b);
  assertEquals([a.wires[0].closed, happened], [true, ["up /b"]]);
  connection.close();
  await settle();
});
