// What `console.log` and `JSON.stringify` show of the messages of a file.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { FrameMessage } from "../../../streamer/file/message.ts";
import { printed } from "../../support/printing.ts";
import { test } from "../../support/runner.ts";

const TIME = "2026-11-25T08:00:00.000Z";

function message(payload: Uint8Array, shardId: number | bigint = 0): FrameMessage {
  const timestampMs = BigInt(Date.parse(TIME));
  return new FrameMessage({
    streamKey: "orders",
    shardId,
    sequence: 2n ** 64n - 1n,
    timestampMs,
    payload,
    offset: 128,
  });
}

test("a message of a file prints its stream, shard, sequence, time and payload", () => {
  const text = printed(message(new TextEncoder().encode("paid"))).replaceAll('"', "'").replace(/\s+/g, " ");
  assertStringIncludes(text, `FileMessage { streamKey: 'orders', shardId: 0, sequence: 18446744073709551615n,`);
  assertStringIncludes(text, `timestamp: ${TIME}, payload: 'paid', offset: 128`);
  assertStringIncludes(printed(message(new Uint8Array(10_000_000).fill(0xff))), "payload: <10000000 bytes>");
});

test("a message of a file serialises with bigints as text", () => {
  const shared = { streamKey: "orders", sequence: "18446744073709551615", timestamp: TIME, offset: 128 };
  assertEquals(
    JSON.parse(JSON.stringify(message(new TextEncoder().encode("paid"), 2n ** 60n))),
    { ...shared, shardId: String(2n ** 60n), payload: "paid" },
  );
  assertEquals(
    JSON.parse(JSON.stringify(message(Uint8Array.of(0xff)))),
    { ...shared, shardId: 0, payloadBase64: "/w==" },
  );
});
