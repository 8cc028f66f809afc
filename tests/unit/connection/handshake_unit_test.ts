// Tests the handshake with credentials that `connect` already refuses.

import { assertEquals } from "@std/assert";
import { ConnectError } from "../../../resp/connection/handshake/connect_error.ts";
import { type Credentials, handshake } from "../../../resp/connection/handshake/handshake.ts";
import { Pipeline } from "../../../resp/connection/pipeline/pipeline.ts";
import { StreamerError } from "../../../resp/errors.ts";
import { test } from "../../support/runner.ts";
import { FakeClock, FakeWire, settle } from "./fakes.ts";

const plain: Credentials = {
  db: 0,
  libraryName: "library",
  libraryVersion: "1",
  protocol: "auto",
  clientInfo: false,
};

/** The first command. The pipeline ends then. */
async function firstWords(credentials: Credentials): Promise<string> {
  const pipeline = new Pipeline({ timeout: 60_000, clock: new FakeClock() });
  const wire = new FakeWire(pipeline.sink);
  pipeline.open(wire);
  const greeting = handshake(pipeline, credentials).catch(() => {});
  await settle();
  pipeline.end(new StreamerError("DISCONNECTED", "The test is over"));
  await greeting;
  return wire.written.split("\r\n").filter((line) => line !== "" && !/^[*$]/.test(line)).join(" ");
}

test("a user name without a password is authenticated all the same, and never skipped", async () => {
  assertEquals(await firstWords({ ...plain, username: "app" }), "HELLO 3 AUTH app");
  assertEquals(await firstWords({ ...plain, username: "app", protocol: 2 }), "AUTH app");
  assertEquals(await firstWords({ ...plain, username: "app", protocol: 3 }), "HELLO 3 AUTH app");
});

test("a password without a user name is the default user's", async () => {
  assertEquals(await firstWords({ ...plain, password: "secret" }), "HELLO 3 AUTH default secret");
  assertEquals(await firstWords({ ...plain, password: "secret", protocol: 2 }), "AUTH secret");
});

test("without credentials no AUTH is sent, and a command is sent all the same", async () => {
  assertEquals(await firstWords(plain), "HELLO 3");
  assertEquals(await firstWords({ ...plain, protocol: 2 }), "PING");
  assertEquals(await firstWords({ ...plain, protocol: 2, db: 3 }), "SELECT 3");
});

/** A handshake that expects a primary, and the server's replies to ROLE, and to a HELLO after it. */
async function greeted(role: string, credentials: Partial<Credentials> = {}, hello?: string) {
  const pipeline = new Pipeline({ timeout: 60_000, clock: new FakeClock() });
  const wire = new FakeWire(pipeline.sink);
  pipeline.open(wire);
  const outcome = handshake(pipeline, { ...plain, ...credentials, expectedRole: "primary" }).then(
    ({ protocol }) => `ready in ${protocol}`,
    (error) => error instanceof ConnectError ? `${error.code} ${error.final}` : `${error.code}`,
  );
  await settle();
  wire.say(credentials.protocol === 2 ? "+PONG\r\n" : "%2\r\n+proto\r\n:3\r\n+mode\r\n+standalone\r\n");
  await settle();
  wire.say(role);
  await settle();
  if (hello !== undefined) wire.say(hello);
  return { outcome: await outcome, asked: wire.written.includes("ROLE") };
}

test("a server that must be the primary is queried for its role, and refused if it is not", async () => {
  const replica = "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:6379\r\n$9\r\nconnected\r\n:14\r\n";
  for (const protocol of [2, 3, "auto"] as const) {
    const ready = `ready in ${protocol === 2 ? 2 : 3}`;
    assertEquals(await greeted("*3\r\n$6\r\nmaster\r\n:14\r\n*0\r\n", { protocol }), { outcome: ready, asked: true });
    assertEquals((await greeted(replica, { protocol })).outcome, "CONNECT false");
  }
  assertEquals((await greeted("*2\r\n$8\r\nsentinel\r\n*0\r\n")).outcome, "CONNECT false");
});

test("a role that cannot be queried, or read, fails the attempt", async () => {
  assertEquals((await greeted("-NOPERM no\r\n", {}, "-NOPERM no\r\n")).outcome, "CONNECT true");
  assertEquals((await greeted("-NOPERM no\r\n", {}, "%1\r\n+proto\r\n:3\r\n")).outcome, "CONNECT true");
  assertEquals((await greeted("-LOADING wait\r\n")).outcome, "CONNECT false");
  assertEquals((await greeted("+master\r\n")).outcome, "PROTOCOL");
});

test("where ROLE is not allowed, HELLO says whether it is the primary", async () => {
  for (const protocol of [2, 3, "auto"] as const) {
    for (const refusal of ["-NOPERM no\r\n", "-ERR unknown command 'ROLE'\r\n"]) {
      const outcome = async (role: string) =>
        (await greeted(refusal, { protocol }, `*4\r\n+proto\r\n:2\r\n+role\r\n+${role}\r\n`)).outcome;
      assertEquals(await outcome("master"), `ready in ${protocol === 2 ? 2 : 3}`);
      assertEquals(await outcome("replica"), "CONNECT false");
    }
  }
});
