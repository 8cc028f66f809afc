// Owns the proof that announced nodes are dialled where `mapNode` says, only if `allowNode` allows it, and that errors name the remedy.

import { assertEquals, assertStrictEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { ConnectError } from "../../../resp/connection/handshake/connect_error.ts";
import { type Endpoint, TransportError } from "../../../resp/transport/transport.ts";
import { checkSeed, explained, reachable, type ReachRules } from "../../../streamer/cluster/reach.ts";
import { test } from "../../support/runner.ts";

const announced = { host: "10.0.0.5", port: 6379 };
const to = (hostname: string, port: number) => () => ({ hostname, port });

const reached: readonly (readonly [string, ReachRules, Endpoint])[] = [
  ["as announced", {}, { kind: "tcp", hostname: "10.0.0.5", port: 6379 }],
  ["as announced if mapNode returns undefined", { mapNode: () => undefined }, {
    kind: "tcp",
    hostname: "10.0.0.5",
    port: 6379,
  }],
  ["where mapNode says", { mapNode: to("gate.example", 7000) }, { kind: "tcp", hostname: "gate.example", port: 7000 }],
  ["at an IPv6 address", { mapNode: to("::1", 1) }, { kind: "tcp", hostname: "::1", port: 1 }],
  ["with the announced host as the name that TLS verifies", { tls: {} }, {
    kind: "tcp",
    hostname: "10.0.0.5",
    port: 6379,
    tls: { serverName: "10.0.0.5" },
  }],
  ["with the host before mapNode as the name that TLS verifies", { tls: { caCerts: ["x"] }, mapNode: to("g", 1) }, {
    kind: "tcp",
    hostname: "g",
    port: 1,
    tls: { caCerts: ["x"], serverName: "10.0.0.5" },
  }],
  ["with tls.serverName as the name that TLS verifies", { tls: { serverName: "redis" }, mapNode: to("g", 1) }, {
    kind: "tcp",
    hostname: "g",
    port: 1,
    tls: { serverName: "redis" },
  }],
  ["if allowNode allows it", { allowNode: () => true }, { kind: "tcp", hostname: "10.0.0.5", port: 6379 }],
];

for (const [how, rules, endpoint] of reached) {
  test(`a node is reached ${how}`, () => assertEquals<Endpoint>(reachable(announced, rules), endpoint));
}

const thrown = new Error("thrown by the program");
const broken = () => {
  throw thrown;
};
/** A result that a program without types may return. */
// deno-lint-ignore no-explicit-any -- it is of the wrong type on purpose
const returns = (value: unknown) => () => value as any;

const refused: readonly (readonly [string, ReachRules, text: string])[] = [
  ["mapNode throws", { mapNode: broken }, "'mapNode' failed"],
  ["allowNode throws", { allowNode: broken }, "'allowNode' failed"],
  ["allowNode refuses", { allowNode: () => false }, "'allowNode' does not allow this node"],
  [
    "allowNode returns a promise",
    { allowNode: returns(Promise.resolve(true)) },
    "'allowNode' must return true or false",
  ],
  ["allowNode returns nothing", { allowNode: returns(undefined) }, "'allowNode' must return true or false"],
  ["mapNode returns null", { mapNode: returns(null) }, "'mapNode' must return"],
  ["mapNode returns a promise", { mapNode: returns(Promise.resolve({ hostname: "a", port: 1 })) }, "'mapNode' must"],
  ["mapNode returns a text", { mapNode: returns("a:1") }, "'mapNode' must return"],
  ["mapNode returns no port", { mapNode: returns({ hostname: "a" }) }, "'mapNode' must return"],
  ["mapNode returns a port as text", { mapNode: returns({ hostname: "a", port: "1" }) }, "'mapNode' must return"],
  ["mapNode returns port 0", { mapNode: to("a", 0) }, "'mapNode' must return"],
  ["mapNode returns port 65536", { mapNode: to("a", 65_536) }, "'mapNode' must return"],
  ["mapNode returns a fraction", { mapNode: to("a", 1.5) }, "'mapNode' must return"],
  ["mapNode returns an empty host", { mapNode: to("", 1) }, "'mapNode' must return"],
  ["mapNode returns brackets", { mapNode: to("[::1]", 1) }, "'mapNode' must return"],
  ["mapNode returns a host and a user", { mapNode: to("user@a", 1) }, "'mapNode' must return"],
];

for (const [when, rules, text] of refused) {
  test(`a node is not dialled if ${when}: a final CONNECT`, () => {
    const error = assertThrows(() => reachable(announced, rules), ConnectError);
    assertEquals([error.code, error.final], ["CONNECT", true]);
    assertStringIncludes(error.message, text);
    assertStringIncludes(error.message, "10.0.0.5:6379");
    assertEquals(error.cause, text.includes("failed") ? thrown : undefined);
  });
}

test("an announced address that is none is not dialled, and no function is called", () => {
  const rules = { mapNode: broken, allowNode: broken };
  for (
    const address of [{ host: "a b", port: 1 }, { host: "", port: 1 }, { host: "a", port: 0 }, { host: "a", port: NaN }]
  ) {
    assertStringIncludes(assertThrows(() => reachable(address, rules), ConnectError).message, "address is invalid");
  }
});

test("allowNode is asked about the address that would be dialled, and the refusal names both", () => {
  const asked: unknown[] = [];
  const allowNode = (...address: unknown[]) => {
    asked.push(address);
    return false;
  };
  const error = assertThrows(() => reachable(announced, { mapNode: to("gate", 7000), allowNode }), ConnectError);
  assertEquals(asked, [["gate", 7000]]);
  assertEquals(
    error.message,
    "Cannot connect to gate:7000: the option 'allowNode' does not allow this node, which is announced as 10.0.0.5:6379",
  );
});

test("a seed is not mapped, and allowNode is asked about it", () => {
  const seed = { kind: "tcp", hostname: "::1", port: 7 } as const;
  const asked: unknown[] = [];
  checkSeed(seed, { mapNode: broken, allowNode: (...address) => asked.push(address) === 1 });
  assertEquals(asked, [["::1", 7]]);
  const error = assertThrows(() => checkSeed(seed, { allowNode: () => false }), ConnectError);
  assertEquals([error.code, error.final], ["CONNECT", true]);
  assertEquals(error.message, "Cannot connect to [::1]:7: the option 'allowNode' does not allow this node");
  checkSeed({ kind: "unix", path: "/s" }, { allowNode: broken });
});

const failed = (kind: "connect" | "certificate" | "denied", code = "CONNECT") =>
  new ConnectError(code, "it failed", { final: false, place: "g:1", cause: new TransportError(kind, "it failed") });
const dialled = { kind: "tcp", hostname: "g", port: 1 } as const;
const names = { announced, dialled, by: "seed:6379" };

test("an announced node that cannot be reached: the error names both addresses, who announces it, and mapNode", () => {
  for (const failure of [failed("connect"), new ConnectError("TIMEOUT", "it failed", { final: false, place: "g:1" })]) {
    const error = explained(failure, names);
    assertEquals(
      error.message,
      "Cannot connect to g:1: it failed. seed:6379 answered, and announces this node as 10.0.0.5:6379. If clients reach it elsewhere, see mapNode",
    );
    assertEquals([error.code, error.final, error.cause], [failure.code, false, failure.cause]);
  }
  const same = explained(failed("connect"), { ...names, announced: { host: "g", port: 1 } });
  assertStringIncludes(same.message, "seed:6379 answered, and announces this node. If clients");
});

test("a certificate of another name: the error names the announced host, tls.serverName and mapNode", () => {
  assertStringIncludes(
    explained(failed("certificate"), names).message,
    "it failed. seed:6379 announces this node as 10.0.0.5: see tls.serverName and mapNode",
  );
});

test("failures for which another address is no remedy stay as they are", () => {
  const denied = failed("denied");
  const auth = new ConnectError("AUTH", "the server requires a password", { final: true });
  const refusedConnection = new ConnectError("CONNECT", "the server answered LOADING", { final: false });
  for (const failure of [denied, auth, refusedConnection]) assertStrictEquals(explained(failure, names), failure);
});
