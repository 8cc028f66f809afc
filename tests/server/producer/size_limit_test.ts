// Tests that a message above a real server's limit fails alone, and that one just below it does not.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { connect, roundRobinSharder, StreamerError } from "../../../mod.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, startServer } from "../../support/servers/server.ts";
import { checkStream, type Ending, endingsOf, entriesOf } from "../../support/producer/stream_checks.ts";

const own = { ignore: !(await canStartServers()), timeout: 60_000 };
const MIB = 1024 * 1024;

/** Payloads with different beginnings, of that many bytes. */
function payloadOf(i: number, bytes: number): string {
  return `m${i} `.padEnd(bytes, "x");
}

function checkTooLarge(ending: Ending): void {
  assert("error" in ending, "it must fail");
  assertInstanceOf(ending.error, StreamerError);
  // The error text that a server sends before it closes may be lost with the connection.
  const told = ending.error.message.startsWith("ERR Protocol error: invalid bulk length");
  assert(told || ending.error.code === "DISCONNECTED", String(ending.error));
}

for (
  const [limit, below, above] of [
    ["proto-max-bulk-len", MIB, MIB + 1],
    ["client-query-buffer-limit", MIB - 20_000, MIB + 100_000],
  ] as const
) {
  for (const delivery of ["at-least-once", "at-most-once"] as const) {
    test(`${limit}, ${delivery}: a message above it fails alone, one below it is stored, and order holds`, async () => {
      await using server = await startServer({ args: [`--${limit}`, "1mb"] });
      await using streamer = await connect(server.url, { reconnect: { initialDelay: 10 } });
      const producer = await streamer.createProducer(uniqueKey(), { delivery, sendTimeout: 30_000 });
      const sends = [];
      for (let i = 0; i < 60; i++) {
        const size = i === 20 ? above : i % 15 === 3 ? below : 300;
        sends.push([payloadOf(i, size), producer.send(payloadOf(i, size))] as const);
        // With at-most-once all messages in flight at the cut are ambiguous: here only the large one is.
        if (delivery === "at-most-once") await sends[i][1].catch(() => {});
      }
      let cuts = 0;
      streamer.addEventListener("disconnect", () => cuts++);
      const endings = await endingsOf(sends);
      const [large] = endings.splice(20, 1);
      if (delivery === "at-least-once") checkTooLarge(large);
      else assert("error" in large);
      assert(endings.every((ending) => "receipt" in ending));
      const entries = await entriesOf(server, producer.streamKey);
      checkStream(entries, endings, { delivery, cuts: 11 });
      assert(entries.length < 59 * 3, `${entries.length} entries for 59 messages`);
      assert(cuts <= 11, `${cuts} cuts`);
    }, { ...own, oneServer: OWN });
  }
}

test("a shard with too large a message delays the others, and takes nothing from them", async () => {
  await using server = await startServer({ args: ["--client-query-buffer-limit", "1mb"] });
  await using streamer = await connect(server.url, { reconnect: { initialDelay: 10 } });
  const producer = await streamer.createProducer(uniqueKey(), { sharder: roundRobinSharder(3), sendTimeout: 30_000 });
  const sends = Array.from({ length: 90 }, (_, i) => {
    const payload = payloadOf(i, i === 31 || i === 32 ? 2 * MIB : 200);
    return [payload, producer.send(payload, { headers: { i: `${i}` } })] as const;
  });
  const endings = await endingsOf(sends);
  for (const ending of endings.splice(31, 2)) checkTooLarge(ending);
  assert(endings.every((ending) => "receipt" in ending));
  for (const shard of [0, 1, 2]) {
    const mine = endings.filter((ending) => "receipt" in ending && ending.receipt.shardId === shard);
    const entries = await entriesOf(server, `${producer.streamKey}:${shard}`);
    assertEquals(new Set(entries.map(({ payload }) => payload)).size, mine.length);
    checkStream(entries, mine, { delivery: "at-least-once", cuts: 22 });
  }
}, { ...own, oneServer: OWN });
