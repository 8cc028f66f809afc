// Tests what repeated cuts mean for the command in flight, by tables.

import { assertEquals } from "@std/assert";
import { Pipeline } from "../../../resp/connection/pipeline/pipeline.ts";
import { Suspicion } from "../../../resp/connection/retry/suspicion.ts";
import { test } from "../../support/runner.ts";
import { FakeClock, FakeWire, settle } from "./fakes.ts";

/** Calls over a connection that answers PING, and INFO with these numbers. */
async function ask(suspicion: Suspicion, evicted?: number, answer = "+PONG\r\n"): Promise<string> {
  const pipeline = new Pipeline({ timeout: 1_000, clock: new FakeClock() });
  const wire = new FakeWire(pipeline.sink);
  pipeline.open(wire);
  const asked = suspicion.ask(pipeline, { key: "k", losses: 0 });
  await settle();
  wire.say(answer);
  await settle();
  if (wire.written.includes("INFO")) {
    const text = `# Stats\r\ntotal_reads_processed:3\r\nevicted_clients:${evicted}\r\nevicted_keys:9\r\n`;
    wire.say(evicted === undefined ? "-NOPERM no\r\n" : `$${text.length}\r\n${text}\r\n`);
  }
  await asked;
  return wire.written.includes("INFO") ? "PING INFO" : "PING";
}

const NOTHING = { alone: true, heard: 0 };
const PART = { alone: true, heard: 20_000 };

test("a command is suspected from the second cut in a row on, and no longer once it was answered", () => {
  const suspicion = new Suspicion();
  assertEquals([suspicion.cuts, suspicion.isSuspect], [0, false]);
  suspicion.cut({ alone: false, heard: 0 });
  assertEquals([suspicion.cuts, suspicion.isSuspect], [1, false]);
  suspicion.cut({ alone: false, heard: undefined });
  assertEquals([suspicion.cuts, suspicion.isSuspect, suspicion.isCertain], [2, true, false]);
  suspicion.clear();
  assertEquals([suspicion.cuts, suspicion.isSuspect], [0, false]);
});

test("three cuts in a row, each after an answered PING, alone and with nothing received, are a refusal", async () => {
  const suspicion = new Suspicion();
  const certain: boolean[] = [];
  for (let i = 0; i < 3; i++) {
    assertEquals(await ask(suspicion), "PING");
    suspicion.cut(NOTHING);
    certain.push(suspicion.isCertain);
  }
  assertEquals(certain, [false, false, true]);
});

test("a refused PING is a reply, too", async () => {
  const suspicion = new Suspicion();
  for (let i = 0; i < 3; i++) {
    await ask(suspicion, undefined, "-NOPERM this user has no permissions\r\n");
    suspicion.cut(NOTHING);
  }
  assertEquals(suspicion.isCertain, true);
});

const innocent = {
  "no PING was answered before": { signs: NOTHING, asks: false },
  "another command was in flight": { signs: { alone: false, heard: 0 }, asks: true },
  "some bytes of the reply had arrived": { signs: { alone: true, heard: 1 }, asks: true },
  "the other side has not closed": { signs: { alone: true, heard: undefined }, asks: true },
};

for (const [name, { signs, asks }] of Object.entries(innocent)) {
  test(`if ${name}, no number of cuts is a refusal`, async () => {
    const suspicion = new Suspicion();
    for (let i = 0; i < 20; i++) {
      if (asks) await ask(suspicion);
      suspicion.cut(signs);
      assertEquals(suspicion.isCertain, false);
    }
  });

  test(`a cut after which ${name} restarts the count of refusals`, async () => {
    const suspicion = new Suspicion();
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 2; i++) {
        await ask(suspicion);
        suspicion.cut(NOTHING);
      }
      if (asks) await ask(suspicion);
      suspicion.cut(signs);
      assertEquals(suspicion.isCertain, false);
    }
  });
}

test("if a part of a reply had arrived each time, the server's own count of evicted clients decides", async () => {
  const suspicion = new Suspicion();
  await ask(suspicion);
  suspicion.cut(PART);
  const certain: boolean[] = [];
  for (const evicted of [5, 6, 8, 9]) {
    assertEquals(await ask(suspicion, evicted), "PING INFO");
    certain.push(suspicion.isCertain);
    suspicion.cut(PART);
  }
  assertEquals(certain, [false, false, false, true]);
});

test("a count that stays, falls or is absent makes a part of a reply no refusal", async () => {
  for (const counts of [[5, 5, 5, 5, 5, 5], [9, 8, 7, 6, 5, 4], Array(6).fill(undefined), [1, 2, 2, 3, 3, 4, 5]]) {
    const suspicion = new Suspicion();
    await ask(suspicion);
    suspicion.cut(PART);
    for (const evicted of counts) {
      await ask(suspicion, evicted);
      assertEquals(suspicion.isCertain, false, `${counts}`);
      suspicion.cut(PART);
    }
  }
});

test("a connection that ends before the PING is answered has no result", async () => {
  const suspicion = new Suspicion();
  const pipeline = new Pipeline({ timeout: 1_000, clock: new FakeClock() });
  const wire = new FakeWire(pipeline.sink);
  pipeline.open(wire);
  const asked = suspicion.ask(pipeline, { key: "k", losses: 0 });
  await settle();
  pipeline.sink.closed(undefined);
  assertEquals(await asked, false);
});
