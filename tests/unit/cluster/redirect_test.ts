// Owns the proof that only well-formed redirects are understood.

import { assertEquals } from "@std/assert";
import { parseRedirect, type ServerRedirect } from "../../../streamer/cluster/topology/redirect.ts";
import { test } from "../../support/runner.ts";

const moved = (slot: number, host: string | undefined, port: number): ServerRedirect => ({
  kind: "moved",
  slot,
  host,
  port,
});

const understood: readonly (readonly [string, ServerRedirect])[] = [
  ["MOVED 3999 127.0.0.1:6381", moved(3999, "127.0.0.1", 6381)],
  ["MOVED 0 a:1", moved(0, "a", 1)],
  ["MOVED 16383 host-a.example.com:65535", moved(16383, "host-a.example.com", 65535)],
  ["MOVED 15891 :7612", moved(15891, undefined, 7612)],
  ["MOVED 15891 ?:7612", moved(15891, undefined, 7612)],
  ["MOVED 1 ::1:7612", moved(1, "::1", 7612)],
  ["MOVED 1 fe80::1%eth0:7612", moved(1, "fe80::1%eth0", 7612)],
  ["ASK 7 10.0.0.5:7000", { ...moved(7, "10.0.0.5", 7000), kind: "ask" }],
];

for (const [text, redirect] of understood) {
  test(`a redirect is understood: ${text}`, () => {
    assertEquals(parseRedirect(text), redirect);
  });
}

const malformed = [
  "",
  "MOVED",
  "MOVED 1",
  "MOVED 1 ",
  "MOVED 1 a",
  "MOVED 1 a:",
  "MOVED 1 a:0",
  "MOVED 1 a:65536",
  "MOVED 1 a:99999999999",
  "MOVED 1 a:-1",
  "MOVED 1 a:1.5",
  "MOVED 1 a:0x10",
  "MOVED 16384 a:1",
  "MOVED -1 a:1",
  "MOVED 2147483648 a:1",
  "MOVED 1e3 a:1",
  "MOVED  1 a:1",
  "MOVED 1 a:1 ",
  "MOVED 1 a:1\r\nX",
  "MOVED 1 a b:1",
  "MOVED 1 user@a:1",
  "MOVED 1 a/b:1",
  "MOVED 1 [::1]:1",
  `MOVED 1 ${"a".repeat(256)}:1`,
  "MOVED 1 a\u0000:1",
  "moved 1 a:1",
  "MOVEDX 1 a:1",
  "ERR MOVED 1 a:1",
  "ASKING 1 a:1",
];

for (const text of malformed) {
  test(`a malformed redirect is refused: ${JSON.stringify(text.slice(0, 40))}`, () => {
    assertEquals(parseRedirect(text), undefined);
  });
}
