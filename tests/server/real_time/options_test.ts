// Tests the options that createConsumer refuses, and its errors.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, type ConsumerOptions, type ReadingOptions, StreamerError } from "../../../mod.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

async function refusal(keys: unknown, options: unknown): Promise<StreamerError> {
  await using streamer = await connect(server.url);
  // A checked border: a call that the types forbid must be refused at run time too.
  const making = () => streamer.createConsumer(keys as string, options as ConsumerOptions);
  const error = await assertRejects(making, StreamerError);
  assertEquals(streamer.stats().consumers, 0);
  return error;
}

const BAD: readonly [string, unknown][] = [
  ["mode", undefined],
  ["mode", "realtime"],
  ["mode", null],
  ["mode", 1],
  ["mode", "constructor"],
  ["autoStreamReset", "newest"],
  ["autoStreamReset", null],
  ["autoStreamReset", 0],
  ["autoStreamReset", "toString"],
  ["batchSize", 0],
  ["batchSize", -1],
  ["batchSize", 1.5],
  ["batchSize", NaN],
  ["batchSize", Infinity],
  ["batchSize", "10"],
  ["batchSize", null],
  ["batchSize", 10n],
  ["shards", 0],
  ["shards", -1],
  ["shards", 1.5],
  ["shards", 1_025],
  ["shards", "all"],
  ["shards", "3"],
  ["shards", null],
  ["shards", []],
  ["shards", [-1]],
  ["shards", [0.5]],
  ["shards", [0, 0]],
  ["shards", ["0"]],
  ["shards", [NaN]],
  ["shards", Array.from({ length: 1_025 }, (_, i) => i)],
  ["shards", {}],
  ["shardDiscoveryInterval", 0],
  ["shardDiscoveryInterval", -1],
  ["shardDiscoveryInterval", NaN],
  ["shardDiscoveryInterval", "5"],
  ["shardDiscoveryInterval", false],
  ["prefetch", -1],
  ["prefetch", 0.5],
  ["prefetch", NaN],
  ["prefetch", "1"],
  ["prefetch", null],
  ["maxBufferedBytes", 0],
  ["maxBufferedBytes", -5],
  ["maxBufferedBytes", NaN],
  ["maxBufferedBytes", "64MiB"],
  ["onStreamReset", "restart"],
  ["onStreamReset", null],
  ["onStreamReset", true],
];

for (const [name, value] of BAD) {
  const shown = typeof value === "bigint" ? "10n" : String(JSON.stringify(value) ?? value).slice(0, 40);
  test(`${name} ${shown}${typeof value === "number" ? ` (${value})` : ""} is refused by name`, async () => {
    const error = await refusal(uniqueKey(), { mode: "real-time", [name]: value });
    assertEquals(error.code, "INVALID_OPTION");
    assert(error.message.includes(name), error.message);
    assert(error.message.length < 400, error.message);
  });
}

test("an interval of discovery is refused with explicit shards", async () => {
  for (const shardDiscoveryInterval of [5, null]) {
    for (const shards of [2, [0]]) {
      const error = await refusal(uniqueKey(), { mode: "real-time", shards, shardDiscoveryInterval });
      assertEquals(error.code, "INVALID_OPTION");
      assert(error.message.includes("shardDiscoveryInterval") && error.message.includes("shards"), error.message);
    }
  }
});

test("options of group modes and misspelt ones are refused in real time", async () => {
  const others = {
    ...{ group: "g", consumerId: "c", mkstream: true, autoCommit: "delayed", onGroupLost: "resume", keepAlive: true },
    ...{ maxUnacked: 5, maxDeliveries: 3, deadLetter: "d", autoClaimInterval: 5, autoClaimIdle: 5, batchsize: 5 },
  };
  for (const [name, value] of Object.entries(others)) {
    const error = await refusal(uniqueKey(), { mode: "real-time", [name]: value });
    assertEquals(error.code, "INVALID_OPTION", name);
    assert(error.message.includes(name), error.message);
  }
});

test("options that are not an object are refused", async () => {
  for (const options of [undefined, null, "real-time", 5]) {
    assertEquals((await refusal(uniqueKey(), options)).code, "INVALID_OPTION", String(options));
  }
});

test("owned shards are not supported yet", async () => {
  const owned = { mode: "load-balanced", shardOwnership: "owned" };
  assertEquals((await refusal(uniqueKey(), owned)).code, "UNSUPPORTED");
});

test("an invalid stream key is refused, at any position", async () => {
  const realTime = { mode: "real-time" };
  for (const key of ["", "a b", "ä", "a*", "a\n", "x".repeat(250), "SEA_STREAMER_INTERNAL"]) {
    assertEquals((await refusal(key, realTime)).code, "INVALID_STREAM_KEY", key);
    assertEquals((await refusal(["good", key], realTime)).code, "INVALID_STREAM_KEY", key);
  }
  for (const key of [5, null, {}]) assertEquals((await refusal([key], realTime)).code, "INVALID_STREAM_KEY");
  for (const keys of [undefined, null, 5, {}]) {
    const { code } = await refusal(keys, realTime);
    assert(code === "INVALID_OPTION" || code === "INVALID_STREAM_KEY", code);
  }
  assertEquals((await refusal([], realTime)).code, "STREAM_KEY_EMPTY");
});

test("every valid value is accepted", async () => {
  await using streamer = await connect(server.url);
  const good: ReadingOptions[] = [
    { autoStreamReset: "latest" },
    { autoStreamReset: "earliest" },
    { batchSize: 1 },
    { batchSize: 100_000 },
    { shards: "discover" },
    { shards: 1 },
    { shards: 1_024 },
    { shards: [7] },
    { shardDiscoveryInterval: 1 },
    { shardDiscoveryInterval: null },
    { shardDiscoveryInterval: Infinity, shards: "discover" },
    { shardDiscoveryInterval: undefined, shards: 2 },
    { prefetch: 0 },
    { prefetch: 16 },
    { maxBufferedBytes: 1 },
    { maxBufferedBytes: Infinity },
    { onStreamReset: "earliest" },
    { onStreamReset: "latest" },
    { onStreamReset: "fail" },
    { batchSize: undefined, prefetch: undefined, shards: undefined, autoStreamReset: undefined },
  ];
  for (const options of good) {
    await using consumer = await streamer.createConsumer(uniqueKey(), { mode: "real-time", ...options });
    assert(consumer.streamShards.length > 0);
  }
});

test("a stream that is listed twice is read once", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([key, key], { mode: "real-time" });
  assertEquals(consumer.streamShards, [{ streamKey: key, shardId: 0 }]);
});

test("keys with every allowed character work", async () => {
  const key = `${uniqueKey()}.A-z_0:9/{tag}`;
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  await server.command("XADD", key, "*", "msg", "x");
  const message = await consumer.next();
  assertEquals([message.streamKey, message.shardId, message.text()], [key, 0, "x"]);
});

test("invalid positions are refused, and the consumer continues", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const positions = [
    "",
    "5",
    "5-",
    "-5",
    "a-b",
    "1-1-1",
    "$",
    "+",
    "-",
    ">",
    "(1-1",
    "18446744073709551616-0",
    -1n,
    2n ** 80n,
  ];
  for (const position of [...positions, 5, null, undefined, {}, new Date(0)]) {
    // A checked border: a call that the types forbid must be refused at run time too.
    const error = await assertRejects(
      () => consumer.rewind(position as string),
      StreamerError,
      undefined,
      String(position),
    );
    assertEquals(error.code, "INVALID_OPTION", String(position));
  }
  for (const time of [new Date(NaN), -1n, 2n ** 64n, 5, "2024", null, undefined]) {
    const error = await assertRejects(() => consumer.seek(time as Date), StreamerError, undefined, String(time));
    assertEquals(error.code, "INVALID_OPTION", String(time));
  }
  await server.command("XADD", key, "*", "msg", "x");
  assertEquals((await consumer.next()).text(), "x");
});
