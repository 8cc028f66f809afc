// Tests the commands of a new connection before a suspected command.

import { assertEquals } from "@std/assert";
import { StreamerError } from "../../../resp/errors.ts";
import { Pipeline } from "../../../resp/connection/pipeline/pipeline.ts";
import { ConnectionProof } from "../../../resp/connection/retry/proof.ts";
import { test } from "../../support/runner.ts";
import { FakeClock, FakeWire, settle } from "./fakes.ts";

/** Runs over a new connection that gives these replies, or ends. Returns the commands, and whether it works. */
async function ask(proof: ConnectionProof, losses: number, answers: string | undefined): Promise<[string, boolean]> {
  const pipeline = new Pipeline({ timeout: 1_000, clock: new FakeClock() });
  const wire = new FakeWire(pipeline.sink);
  pipeline.open(wire);
  const asked = proof.ask(pipeline, { key: "k", losses });
  await settle();
  if (answers === undefined) pipeline.end(new StreamerError("DISCONNECTED", "cut"));
  else wire.say(answers);
  const works = await asked;
  return [wire.written.includes("TYPE") ? "PING TYPE" : "PING", works];
}

test("a connection is tested with PING, and an error reply is a reply", async () => {
  const proof = new ConnectionProof();
  assertEquals(await ask(proof, 1, "+PONG\r\n"), ["PING", true]);
  assertEquals(await ask(proof, 2, "-NOPERM no\r\n"), ["PING", true]);
  assertEquals(await ask(proof, 3, undefined), ["PING", false]);
});

test("once connections of others are lost as well, the type of the key is queried, until the proof starts again", async () => {
  const proof = new ConnectionProof();
  assertEquals(await ask(proof, 5, "+PONG\r\n"), ["PING", true], "losses of before say nothing");
  assertEquals(await ask(proof, 7, "+PONG\r\n-WRONGPASS no\r\n"), ["PING TYPE", true]);
  assertEquals(await ask(proof, 8, undefined), ["PING TYPE", false]);
  proof.reset();
  assertEquals(await ask(proof, 20, "+PONG\r\n"), ["PING", true]);
});
