// A node whose connections are wires that a test controls.

import { RedisNode } from "../../../resp/connection/node.ts";
import { DEFAULT_LIMITS } from "../../../resp/limits.ts";
import { FakeClock, FakeWire, settle } from "./fakes.ts";

/** A node, where it is, and the wires that were dialled so far. While `isDown`, dialling fails. */
export function fakeNode({ clock = new FakeClock(), path = "/fake" } = {}) {
  const wires: FakeWire[] = [];
  const state = { isDown: false };
  const node = new RedisNode({
    endpoint: { kind: "unix", path },
    dial: (_endpoint, { sink }) => {
      if (state.isDown) return Promise.reject(new Error("down"));
      const wire = new FakeWire(sink);
      wires.push(wire);
      return Promise.resolve(wire);
    },
    identification: { db: 0, libraryName: "library", libraryVersion: "1", protocol: 2, clientInfo: false },
    timeout: 60_000,
    reconnect: { initialDelay: 50, maxDelay: 2_000, maxAttempts: Infinity },
    limits: DEFAULT_LIMITS,
    clock,
    events: { connect() {}, disconnect() {}, reconnect() {}, waiting() {}, resumed() {} },
  });
  /** Answers the handshake of the latest wire. */
  const greet = async (): Promise<FakeWire> => {
    await settle();
    const wire = wires[wires.length - 1];
    wire.say("+PONG\r\n");
    await settle();
    return wire;
  };
  return { clock, node, destination: node, wires, greet, state };
}
