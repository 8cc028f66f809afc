// Tests that the decoder returns every value of a plain writer, like the plain decoder that the fuzzer compares it
// with.

import { assertEquals } from "@std/assert";
import { DEFAULT_LIMITS } from "../../../resp/mod.ts";
import { test } from "../../support/runner.ts";
import { bytewise, decode, freshSeed, Random, shreds, wire } from "../../support/resp/drive.ts";
import { reference } from "../../support/resp/reference.ts";
import { VECTORS, VIOLATIONS } from "../../support/resp/vectors.ts";
import { randomReply } from "../../support/resp/writer.ts";

const seed = freshSeed();

test(`returns random replies, in any pieces (seed ${seed})`, () => {
  const random = new Random(seed);
  for (let round = 0; round < 3000; round++) {
    const written = Array.from({ length: 1 + random.below(4) }, () => randomReply(random));
    const bytes = wire(written.map((reply) => reply.wire).join(""));
    const expected = { replies: written.map((reply) => reply.value), left: 0 };
    const capacity = random.of([1, 5000, 65_536]);
    assertEquals(decode([bytes], { capacity }), expected, "whole");
    assertEquals(decode(shreds(bytes, random, 1 + random.below(300)), { capacity }), expected, "in pieces");
    if (round % 20 === 0) assertEquals(decode(bytewise(bytes), { capacity }), expected, "byte by byte");
    assertEquals(reference(bytes, DEFAULT_LIMITS), { ...expected, refused: false }, "the plain decoder");
  }
});

test("the plain decoder decodes the vectors", () => {
  for (const vector of VECTORS) {
    const expected = { replies: vector.replies, refused: false, left: 0 };
    assertEquals(reference(wire(vector.wire), DEFAULT_LIMITS), expected, vector.name);
  }
  for (const violation of VIOLATIONS) {
    const expected = { replies: [], refused: true, left: 0 };
    assertEquals(reference(wire(violation.wire), DEFAULT_LIMITS), expected, violation.name);
  }
});
