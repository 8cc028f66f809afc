// Tests that the tape is correct for replies of any size, in sequence.

import { assert, assertEquals } from "@std/assert";
import { RespDecoder } from "../../../resp/mod.ts";
import { test } from "../../support/runner.ts";

const utf8 = new TextEncoder();

function list(values: number): Uint8Array {
  return utf8.encode(`*${values}\r\n` + `$40\r\n${"x".repeat(40)}\r\n`.repeat(values));
}

test("a tape that was detached with a page of any size is followed by one that can grow", () => {
  for (let values = 1300; values < 1400; values++) {
    const decoder = new RespDecoder();
    decoder.feed(list(values));
    assert(decoder.advance());
    assertEquals(decoder.detach().tapeLength, (values + 1) * 2);
    decoder.feed(list(3000));
    assert(decoder.advance());
    const frame = decoder.detach();
    assertEquals(frame.tapeLength, 6002);
    assert(frame.tape.length >= frame.tapeLength);
    for (let at = 2; at < frame.tapeLength; at += 2) assert(frame.isBulk(at) && frame.lengthAt(at) === 40);
  }
});
