// The fuzzer's part of the ordinary test run. `deno task fuzz` runs any number of inputs.

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import type { RespLimits } from "../../../resp/mod.ts";
import { test } from "../../support/runner.ts";
import { fuzzCorpus } from "../../support/resp/corpus.ts";
import { decode, freshSeed, wire } from "../../support/resp/drive.ts";
import { fuzz, same } from "../../support/resp/fuzz.ts";
import { reference } from "../../support/resp/reference.ts";

const seed = freshSeed();
const corpus = fuzzCorpus();

/** One half is the same in each run, so that a new failure is reproducible. */
for (const [what, from] of [["a fixed seed", 1], ["a fresh seed", seed]] as const) {
  test(`takes 100,000 mutated inputs like a plain decoder, in any pieces (${what}, ${from})`, () => {
    const report = fuzz({ inputs: 100_000, seed: from, corpus });
    assertEquals(report.whole + report.unfinished + report.refused, 100_000);
    // A fuzzer whose inputs all have the same result would find nothing.
    for (const share of [report.whole, report.unfinished, report.refused]) {
      assert(share > 5_000, JSON.stringify(report));
    }
  }, { timeout: 120_000 });
}

test("the fuzzer repeats itself from its seed", () => {
  assertEquals(fuzz({ inputs: 2000, seed, corpus }), fuzz({ inputs: 2000, seed, corpus }));
});

test("the fuzzer reports seed and input of a difference", () => {
  const wrongs = [
    () => ({ replies: [], refused: false, left: 0 }),
    () => ({ replies: [], refused: true, left: 0 }),
    (input: Uint8Array, limits: Required<RespLimits>) => reference(input, { ...limits, depth: limits.depth - 1 }),
    (input: Uint8Array, limits: Required<RespLimits>) => {
      const reading = reference(input, limits);
      return { ...reading, replies: reading.replies.map((reply) => ({ ...reply, kind: "reply" as const })) };
    },
  ];
  for (const plain of wrongs) {
    const error = assertThrows(() => fuzz({ inputs: 20_000, seed, corpus, plain }), Error, `of seed ${seed}`);
    assertMatch(error.message, /plain decoder.*; input \d+ .*: ".*"$/);
  }
});

test("the comparison finds each difference", () => {
  const texts = [
    "+a\r\n",
    "+b\r\n",
    "$1\r\na\r\n",
    "$1\r\nb\r\n",
    "-a\r\n",
    "=5\r\ntxt:a\r\n",
    "=5\r\nmkd:a\r\n",
    ":1\r\n",
    ",-0\r\n",
    ":0\r\n",
  ];
  texts.push(
    "(1\r\n",
    "*0\r\n",
    "~0\r\n",
    "%0\r\n",
    "*1\r\n+a\r\n",
    "~1\r\n+a\r\n",
    "%1\r\n+a\r\n+a\r\n",
    "%1\r\n+a\r\n+b\r\n",
    "_\r\n",
  );
  texts.push(">1\r\n+a\r\n", "|1\r\n+a\r\n+b\r\n+a\r\n", "|1\r\n+a\r\n+c\r\n+a\r\n", "#t\r\n", "#f\r\n", ",nan\r\n");
  const values = texts.map((text) => decode([wire(text)]).replies);
  const again = texts.map((text) => decode([wire(text)]).replies);
  for (let i = 0; i < texts.length; i++) {
    for (let j = 0; j < texts.length; j++) assertEquals(same(values[i], again[j]), i === j, `${texts[i]} ${texts[j]}`);
  }
});
