// Tests that the page of options agrees with the code: names, defaults, and settings in effect.

import { readFile } from "node:fs/promises";
import { assert, assertEquals } from "@std/assert";
import { connectSettings } from "../../../streamer/connect_options.ts";
import { groupSettings } from "../../../streamer/consumer/group_options.ts";
import { realTimeSettings } from "../../../streamer/consumer/options.ts";
import { appendSettings, createSettings } from "../../../streamer/file/sink_options.ts";
import { sourceSettings } from "../../../streamer/file/source_options.ts";
import { processSettings } from "../../../streamer/process/options.ts";
import { producerSettings } from "../../../streamer/producer/options.ts";
import { root } from "../../support/prose/paths.ts";
import { publishedTrees } from "../../support/prose/project.ts";
import { DeclaredTypes } from "../../support/structure/members.ts";
import { codeIn, type Table, tablesOf } from "../../support/structure/tables.ts";
import { test } from "../../support/runner.ts";

/** The page's tables, by their headings, and the types whose members they list. */
const TYPES: Readonly<Record<string, readonly string[]>> = {
  "connect": ["ConnectOptions"],
  "tls": ["TlsOptions"],
  "sentinel": ["SentinelOptions"],
  "reconnect": ["ReconnectOptions"],
  "createProducer and createGenericProducer": ["ProducerOptions"],
  "send and sendTo": ["SendOptions"],
  "trim, flush and end of a producer": ["TrimOptions", "EndOptions"],
  "createConsumer, every mode": ["ReadingOptions", "RealTimeOptions"],
  "With a codec": ["DecodingOptions"],
  "createConsumer, both group modes": ["GroupReadingOptions"],
  "Acknowledgement": ["DelayedCommit", "ImmediateCommit", "RollingCommit", "DisabledCommit", "DeadLetterOptions"],
  "Methods of a consumer": [
    "WaitOptions",
    "MessagesOptions",
    "BatchesOptions",
    "MoveOptions",
    "NackOptions",
    "ConsumerEndOptions",
  ],
  "process": ["ProcessOptions"],
  "exponentialDelay": ["ExponentialDelayOptions"],
  "jsonCodec": ["JsonCodecOptions"],
  "Manager": [
    "ShardChoice",
    "SignalOptions",
    "ScanStreamsOptions",
    "StreamsOptions",
    "RangeOptions",
    "RangeAllOptions",
    "ManagerTrimOptions",
    "CreateGroupOptions",
    "DeleteConsumerOptions",
  ],
  "MessageSink.create and MessageSink.append": ["MessageSinkOptions", "CreateSinkOptions", "AppendSinkOptions"],
  "MessageSource.open and seek": ["MessageSourceOptions", "FileSeekOptions"],
};

const page = once(async () => tablesOf(await readFile(`${root}docs/options.md`, "utf8")));
const types = once(async () => new DeclaredTypes((await publishedTrees()).values()));

function once<T>(read: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => result ??= read();
}

async function tableOf(heading: string): Promise<Table> {
  const found = (await page()).find((table) => table.heading === heading);
  assert(found, `the page has no table under ${heading}`);
  return found;
}

async function optionsOn(heading: string): Promise<string[]> {
  return (await tableOf(heading)).rows.flatMap((row) => codeIn(row.get("Option") ?? ""));
}

async function defaultOn(heading: string, option: string): Promise<string> {
  const row = (await tableOf(heading)).rows.find((row) => row.get("Option") === `\`${option}\``);
  assert(row, `${heading}: ${option} is not listed`);
  return row.get("Default") ?? "";
}

const UNITS: Readonly<Record<string, number>> = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** The values in a text about a default: numbers, words in quotes, `true`, `false`, `null`, `Infinity`. */
function valuesIn(text: string): string[] {
  const values = [...text.matchAll(/"[^"]*"|\b(?:true|false|null|Infinity)\b|\b(\d[\d,_]*)(?: (KiB|MiB|GiB))?/g)].map(
    ([whole, number, unit]) =>
      number === undefined ? whole : String(Number(number.replaceAll(/[,_]/g, "")) * (UNITS[unit] ?? 1)),
  );
  return [...new Set(values)].sort();
}

for (const [heading, names] of Object.entries(TYPES)) {
  test(`the page lists the options of ${heading} with their defaults`, async () => {
    const all = await types();
    const declared = names.flatMap((name) => all.membersOf(name));
    const listed = await optionsOn(heading);
    assertEquals([...new Set(listed)].sort(), [...new Set(declared.map(({ name }) => name))].sort());
    assertEquals(listed.length, new Set(listed).size, "an option is listed twice");
    for (const name of listed) {
      const fallbacks = declared.flatMap((member) => member.name === name ? member.fallback ?? [] : []);
      const expected = [...new Set(fallbacks.flatMap(valuesIn))].sort();
      assertEquals(valuesIn(await defaultOn(heading, name)), expected, `${heading}: the default of ${name}`);
    }
  });
}

test("the page lists the limits that connect takes, with their defaults", async () => {
  const listed = await optionsOn("limits");
  assertEquals(listed, ["bulk", "elements", "depth", "reply"]);
  const declared = (await types()).membersOf("RespLimits");
  for (const name of listed) {
    const fallback = declared.find((member) => member.name === name)?.fallback ?? "";
    assertEquals(valuesIn(await defaultOn("limits", name)), valuesIn(fallback), name);
  }
});

test("the page lists the options of load-balanced consumers with their defaults", async () => {
  const declared = (await types()).membersOf("LoadBalanced").filter(({ name }) => name !== "mode");
  const listed = await optionsOn("Load-balanced only");
  assertEquals([...listed].sort(), declared.map(({ name }) => name).sort());
  for (const { name, fallback } of declared) {
    assertEquals(valuesIn(await defaultOn("Load-balanced only", name)), valuesIn(fallback ?? ""), name);
  }
});

/** Exported types whose members are listed under a heading of other types, or are no options of a program. */
const ELSEWHERE: readonly string[] = [
  "ConsumerOptions", // a union of the types of all modes
  "DelayedOptions",
  "DisabledOptions",
  "GroupOptions",
  "ImmediateOptions",
  "RollingOptions",
  "RealTimeDecodingOptions",
  "RedisErrorOptions", // of errors
  "StreamerErrorOptions",
  "FileErrorOptions",
];

test("the page covers every exported type of options", async () => {
  const entries = await Promise.all(["mod.ts", "streamer/file/mod.ts"].map((path) => readFile(root + path, "utf8")));
  const exported = entries.flatMap((source) => source.match(/(?<=^export [^*]*\b)\w+Options\b/gm) ?? []);
  const listed = new Set([...Object.values(TYPES).flat(), ...ELSEWHERE]);
  assertEquals([...new Set(exported)].filter((name) => !listed.has(name)), []);
});

/** Settings that the code uses if no option is given, each with its place on the page. */
function settingsInEffect(): [heading: string, option: string, value: unknown][] {
  const connect = connectSettings("redis://localhost", {});
  const producer = producerSettings({});
  const reading = realTimeSettings({ mode: "real-time" });
  const group = groupSettings({ mode: "load-balanced" });
  const process = processSettings({}, { orderBy: "shard" });
  const sink = { ...appendSettings("a.ss", {}), overwrite: createSettings("a.ss", {}).overwrite };
  const source = sourceSettings({});
  return [
    ...pairs("connect", connect, ["wait", "timeout", "cluster", "timestampFormat", "messageField"]),
    ...pairs("connect", connect.identification, ["db", "protocol", "clientInfo"]),
    ...pairs("reconnect", connect.reconnect, ["initialDelay", "maxDelay", "maxAttempts"]),
    ...pairs("limits", connect.limits, ["bulk", "elements", "depth", "reply"]),
    ...pairs("createProducer and createGenericProducer", producer, [
      "delivery",
      "sendTimeout",
      "highWaterMark",
      "maxBuffered",
    ]),
    ...pairs("createConsumer, every mode", reading, [
      "autoStreamReset",
      "shardDiscoveryInterval",
      "prefetch",
      "maxBufferedBytes",
      "onStreamReset",
    ]),
    ...pairs("With a codec", reading, ["onDecodeError"]),
    ...pairs("createConsumer, both group modes", group, ["mkstream", "onGroupLost", "keepAlive"]),
    ...pairs("Acknowledgement", group.commit, ["autoCommit"]),
    ["Acknowledgement", "autoCommitDelay", group.commit.delay],
    ["Acknowledgement", "autoCommitInterval", group.commit.interval],
    ...pairs("Load-balanced only", group, ["autoClaimInterval", "autoClaimIdle", "consumerExpiry"]),
    ["Load-balanced only", "maxHold", groupSettings({ mode: "load-balanced", autoCommit: "rolling" }).maxHold],
    ...pairs("process", process, ["concurrency"]),
    ...pairs("MessageSink.create and MessageSink.append", sink, [
      "beaconInterval",
      "maxBytes",
      "endOfStream",
      "highWaterMark",
      "maxBuffered",
      "overwrite",
      "onTorn",
    ]),
    ...pairs("MessageSource.open and seek", source, ["onCorrupt", "maxPayload", "follow", "pollInterval"]),
  ];
}

function pairs<T extends object>(heading: string, settings: T, names: readonly (keyof T & string)[]) {
  return names.map((name): [string, string, unknown] => [heading, name, settings[name]]);
}

test("the defaults on the page are the ones in effect", async () => {
  for (const [heading, option, value] of settingsInEffect()) {
    const shown = typeof value === "string" ? JSON.stringify(value) : String(value);
    assertEquals(valuesIn(await defaultOn(heading, option)), [shown], `${heading}: ${option}`);
  }
});

test("maxUnacked and batchSize depend on the mode as the page says", async () => {
  const unacked = ["delayed", "rolling"] as const;
  const values = unacked.map((autoCommit) => String(groupSettings({ mode: "resumable", autoCommit }).maxUnacked));
  assertEquals(
    valuesIn(await defaultOn("createConsumer, both group modes", "maxUnacked")),
    [...values, `"delayed"`].sort(),
  );
  const batch = valuesIn(await defaultOn("createConsumer, every mode", "batchSize"));
  assert(batch.includes(String(groupSettings({ mode: "load-balanced" }).batchSize)));
});
