// Tests what pushes say about changed keys, byte for byte, and refused pushes.

import { assertEquals, assertThrows } from "@std/assert";
import { StreamerError } from "../../../resp/errors.ts";
import { changedKeys } from "../../../streamer/commands/client_tracking.ts";
import { test } from "../../support/runner.ts";
import { array, bulk, standing } from "./frames.ts";

const push = (...items: readonly string[]) => `>${items.length}\r\n${items.join("")}`;
const read = (text: string) => changedKeys(standing(text));

test("a push names the keys that have changed", () => {
  assertEquals(read(push(bulk("invalidate"), array(bulk("orders:1")))), ["orders:1"]);
  assertEquals(read(push(bulk("invalidate"), array(bulk("a"), "+b\r\n", bulk("")))), ["a", "b", ""]);
  assertEquals(read(push(bulk("invalidate"), array())), []);
});

test("after a flush all keys have changed", () => {
  assertEquals(read(push(bulk("invalidate"), "_\r\n")), "all");
});

test("pushes of other kinds say nothing", () => {
  for (const text of [push(bulk("message"), bulk("a"), bulk("b")), push(":1\r\n"), push("_\r\n", "_\r\n")]) {
    assertEquals(read(text), undefined, text);
  }
});

test("a malformed push is a violation of the protocol", () => {
  const name = bulk("invalidate");
  const malformed = [
    push(name),
    push(name, bulk("a")),
    push(name, ":1\r\n"),
    push(name, array(":1\r\n")),
    push(name, array(array(bulk("a")))),
    push(name, array(bulk("a")), array(bulk("b"))),
  ];
  for (const text of malformed) {
    const error = assertThrows(() => read(text), StreamerError);
    assertEquals(error.code, "PROTOCOL", text);
  }
});
