// Tests names that are not UTF-8: how they are shown, and how the shown text is read.

import { assertEquals } from "@std/assert";
import { bytesShownAs, nameKey, nameOf, shownName, wireName } from "../../../streamer/model/name.ts";
import { Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";

const SEED = Math.floor(Math.random() * 1e9);

test("names in UTF-8 are text and shown unchanged, others are bytes and shown escaped", () => {
  const utf8 = ["", "worker", "ütf-\u{1f980}", "a\\xff", "line\r\nbreak", "\ufeffmark", "\ufffd"];
  for (const text of utf8) {
    const name = wireName(new TextEncoder().encode(text));
    assertEquals([name, shownName(name)], [text, text]);
    assertEquals(bytesShownAs(shownName(name)) === undefined, text !== "a\\xff");
  }
  const bytes = Uint8Array.of(0x9f, 0x00, 0xff, 0x41, 0x5c, 0x20, 0xc3, 0x28, 0x7f, 0x0d, 0x0a);
  assertEquals(nameOf(bytes), bytes);
  assertEquals(shownName(bytes), "\\x9f\\x00\\xffA\\x5c \\xc3(\\x7f\\x0d\\x0a");
  assertEquals([nameOf("simple"), nameOf(7), nameOf(null), nameOf(undefined)], [
    "simple",
    undefined,
    undefined,
    undefined,
  ]);
});

test(`the shown text of a name that is not UTF-8 gives its bytes again, and no two are the same (seed ${SEED})`, () => {
  const random = new Random(SEED);
  const seen = new Map<string, string>();
  for (let i = 0; i < 2_000; i++) {
    const bytes = Uint8Array.from(
      { length: 1 + random.below(6) },
      () => [0x5c, 0x78, 0x66, 0xff, 0xc3][random.below(5)],
    );
    const name = wireName(bytes);
    if (typeof name === "string") continue;
    const shown = shownName(name);
    assertEquals(bytesShownAs(shown), bytes);
    assertEquals(seen.get(shown) ?? bytes.join(), bytes.join());
    seen.set(shown, bytes.join());
  }
});

test("text that is not such an escaped name is recognized", () => {
  for (const text of ["", "plain", "a\\x41", "\\xFF", "\\xf", "\\\\xff", "\\xffé", "\\xff\n", "\\x5c", "\\xc3\\xa9"]) {
    assertEquals(bytesShownAs(text), undefined, text);
  }
  assertEquals(nameKey("\\xff") === nameKey(Uint8Array.of(0xff)), false);
});
