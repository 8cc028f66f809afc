// Tests that a dump contains all entries and a restore recreates them, also after failures.

import { assert, assertEquals, assertGreater, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { platform, tmpdir } from "node:os";
import { join } from "node:path";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { afterAll, test } from "../../support/runner.ts";
import { type RawReply, sharedServer, type Word } from "../../support/servers/server.ts";
import { run, Running } from "../../support/cli/running.ts";

const server = await sharedServer();
const env = { REDIS_URL: server.url };
const folder = await mkdtemp(join(tmpdir(), "sea-cli-"));
afterAll(() => rm(folder, { recursive: true }));
const file = (name: string) => join(folder, `${uniqueKey()}.${name}`);

function entriesOf(key: string): Promise<RawReply> {
  return server.commandBytes("XRANGE", key, "-", "+");
}

/** Numbers that a seed decides. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9 >>> 0;
    return Math.floor((state ^ (state >>> 13)) / 2 ** 32 * 4096 * 1024 % below + below) % below;
  };
}

const NAMES = ["msg", "a", "msg", "trace", "", "ü", new Uint8Array([255, 1])];

function randomEntry(pick: (below: number) => number): Word[] {
  const fields: Word[] = [];
  for (let i = 0; i <= pick(4); i++) {
    fields.push(NAMES[pick(NAMES.length)]);
    const bytes = new Uint8Array(pick(8) === 0 ? pick(3_000) : pick(20)).map(() =>
      pick(3) === 0 ? pick(256) : 32 + pick(95)
    );
    fields.push(bytes);
  }
  return fields;
}

async function fillRandom(key: string, count: number, pick: (below: number) => number): Promise<void> {
  let first = BigInt(Date.now());
  let second = 0n;
  const commands: Word[][] = [];
  for (let i = 0; i < count; i++) {
    if (pick(3) === 0) [first, second] = [first + BigInt(pick(5) === 0 ? 1_000_000_000 * pick(1_000) + 1 : 1), 0n];
    else second += pick(20) === 0 ? 70_000n : 1n;
    commands.push(["XADD", key, `${first}-${second}`, ...randomEntry(pick)]);
  }
  const replies = await server.commands(commands);
  assert(replies.every((reply) => !(reply instanceof Error)), String(replies.find((reply) => reply instanceof Error)));
}

async function fill(key: string, count: number, size = 200): Promise<void> {
  for (let at = 0; at < count; at += 2_000) {
    const value = "x".repeat(size);
    await server.commands(
      Array.from({ length: Math.min(2_000, count - at) }, (_, i) => ["XADD", key, `${at + i + 1}-0`, "msg", value]),
    );
  }
}

test(
  "as ndjson, dump and restore give the same ids, fields and bytes, of streams with shards and without",
  async () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    console.log(`seed ${seed}`);
    const pick = random(seed);
    const [plain, sharded] = [uniqueKey("plain"), uniqueKey("sharded")];
    await fillRandom(plain, 400, pick);
    for (const shard of [0, 2, 10]) await fillRandom(`${sharded}:${shard}`, 150, pick);
    const path = file("ndjson");
    const dumped = await run(["dump", `${plain},${sharded}`, "--output", path], { env });
    assertEquals(dumped.code, 0, dumped.stderr);
    assertMatch(dumped.stderr, /^Dumped 850 entries, /);
    const lines = (await readFile(path, "utf8")).trimEnd().split("\n").map((line) => JSON.parse(line));
    assertEquals(lines.length, 850);
    const ids = lines.filter(({ stream }) => stream === sharded).map(({ id }) => id.split("-").map(BigInt));
    assert(
      ids.every(([a, b], i) => i === 0 || a > ids[i - 1][0] || (a === ids[i - 1][0] && b >= ids[i - 1][1])),
      "the order of ids",
    );
    const words = ["restore", path, "--as", `${plain}=${plain}-2`, "--as", `${sharded}=${sharded}-2`];
    const restored = await run(words, { env });
    assertEquals(restored.code, 0, restored.stderr);
    assertMatch(restored.stderr, /^Restored 850 entries, /);
    assertEquals(await entriesOf(`${plain}-2`), await entriesOf(plain));
    for (const shard of [0, 2, 10]) {
      assertEquals(
        await entriesOf(`${sharded}-2:${shard}`),
        await entriesOf(`${sharded}:${shard}`),
      );
    }
    // Dumped from there it is the same file, but for the names; and a pipe does as well as a file.
    const again = await run(["dump", `${plain}-2,${sharded}-2`], { env });
    assertEquals(
      again.stdout.replaceAll(`${plain}-2`, plain).replaceAll(`${sharded}-2`, sharded),
      await readFile(path, "utf8"),
    );
    await server.command("DEL", `${plain}-2`);
    const piped = await run(["restore", "-", `${plain}-2`], {
      env,
      input: (await run(["dump", plain], { env })).bytes,
    });
    assertEquals(piped.code, 0, piped.stderr);
    assertEquals(await entriesOf(`${plain}-2`), await entriesOf(plain));
  },
  { timeout: 60_000 },
);

test("nanosecond ids are kept as they are", async () => {
  const key = uniqueKey();
  await server.command("XADD", key, "1700000000123456789-3", "msg", "a");
  const out = await run(["dump", key, "--timestamp-format", "nanoseconds", "--since", "2023-11-14"], { env });
  assertEquals(out.code, 0, out.stderr);
  const back = await run(["restore", "-", `${key}-2`], { env, input: out.bytes });
  assertEquals(back.code, 0, back.stderr);
  assertEquals(await entriesOf(`${key}-2`), await entriesOf(key));
});

test("a dump ends at the end of each shard at its start, and includes its bounds", async () => {
  const key = uniqueKey();
  await fill(key, 100, 1);
  const bounded = await run(["dump", key, "--since", "10-0", "--until", "20"], { env });
  assertEquals(
    bounded.stdout.trimEnd().split("\n").map((line) => JSON.parse(line).id),
    Array.from({ length: 11 }, (_, i) => `${10 + i}-0`),
  );
  const empty = await run(["dump", key, "--since", "1000-0"], { env });
  assertEquals([empty.code, empty.stdout], [0, ""]);
  const missing = await run(["dump", uniqueKey()], { env });
  assertEquals(missing.code, 1);
  assertStringIncludes(missing.stderr, "does not exist");
});

test("a dump of shards does not exceed the recorded end of any, though others end later", async () => {
  const key = uniqueKey();
  await fill(`${key}:0`, 6_000, 1_000);
  await fill(`${key}:1`, 6_000, 1_000);
  await server.command("XADD", `${key}:1`, "1000000-0", "msg", "the end");
  await using proxy = await startProxy(server);
  proxy.toClient.limit(1_000_000);
  await using dumping = new Running(["dump", `redis://${proxy.host}:${proxy.port}/${key}`]);
  while (dumping.stdout.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await server.command("XADD", `${key}:0`, "500000-0", "msg", "late"); // between the ends of both
  await server.command("XADD", `${key}:1`, "2000000-0", "msg", "late");
  proxy.toClient.limit(Infinity);
  const { code, stdout, stderr } = await dumping.ended;
  assertEquals(code, 0, stderr);
  const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  const idsOf = (shard: number) => lines.filter((line) => line.shard === shard).map(({ id }) => id);
  const both = Array.from({ length: 6_000 }, (_, i) => `${i + 1}-0`);
  assertEquals([idsOf(0), idsOf(1)], [both, [...both, "1000000-0"]]);
}, { oneServer: PROXIED, timeout: 60_000 });

test("as ss, dump and restore give the same ids and payloads, also of shards", async () => {
  const [plain, sharded] = [uniqueKey(), uniqueKey()];
  await fill(plain, 300, 1_000);
  for (const shard of [0, 1]) await fill(`${sharded}:${shard}`, 50, 10);
  const path = file("ss");
  const dumped = await run(["dump", `${plain},${sharded}`, "-o", path, "--end-of-stream"], { env });
  assertEquals(dumped.code, 0, dumped.stderr);
  const restored = await run(["restore", path, "--as", `${plain}=${plain}-2`, "--as", `${sharded}=${sharded}-2`], {
    env,
  });
  assertEquals(restored.code, 0, restored.stderr);
  assertEquals(await entriesOf(`${plain}-2`), await entriesOf(plain));
  for (const shard of [0, 1]) {
    assertEquals(await entriesOf(`${sharded}-2:${shard}`), await entriesOf(`${sharded}:${shard}`));
  }
  const decoded = await run(["decode", path, "--format", "ndjson"]);
  assertEquals([decoded.code, decoded.stdout.split("\n").length], [0, 401]);
  assertStringIncludes(decoded.stderr, "the stream is complete");
});

const unfit: Record<
  string,
  {
    readonly entry: readonly Word[];
    readonly key?: string;
    readonly words?: readonly string[];
    readonly lost: string;
    readonly kept: number;
  }
> = {
  "further fields": { entry: ["msg", "a", "h", "1"], lost: "1 entry lost other fields", kept: 3 },
  "no payload": { entry: ["other", "a"], lost: "1 entry without a payload skipped", kept: 2 },
  "a second half above 65535": { entry: ["msg", "a"], lost: "1 entry with an id above 64 bits skipped", kept: 2 },
  "nanoseconds": {
    entry: ["msg", "a"],
    words: ["--timestamp-format", "nanoseconds"],
    lost: "3 entries with nanoseconds in the id skipped",
    kept: 0,
  },
  "a key with other characters": {
    entry: ["msg", "a"],
    key: "a:b",
    lost: "3 entries with the stream key",
    kept: 0,
  },
};

for (const [name, { entry, key: prefix, words = [], lost, kept }] of Object.entries(unfit)) {
  test(`data that does not fit into ss ends the dump with its id and exit code 3, or is counted: ${name}`, async () => {
    const key = uniqueKey(prefix);
    const all = words.length > 0 || prefix !== undefined;
    const id = name.startsWith("a second") ? "2-65536" : "2-0";
    await server.command("XADD", key, "1-0", "msg", "first");
    await server.command("XADD", key, id, ...entry);
    await server.command("XADD", key, "3-0", "msg", "last");
    const path = file("ss");
    const strict = await run(["dump", key, "-o", path, ...words], { env });
    assertEquals(strict.code, 3, strict.stderr);
    assertStringIncludes(strict.stderr, `sea-streamer: Entry ${all ? "1-0" : id} does not fit into a .ss file`);
    assertEquals((await readdir(folder)).filter((one) => path.endsWith(one) || one.endsWith(".part")), []);
    const lossy = await run(["dump", key, "-o", path, "--lossy", ...words], { env });
    assertEquals(lossy.code, 0, lossy.stderr);
    assertStringIncludes(lossy.stderr, lost);
    const decoded = await run(["decode", path, "--format", "ndjson"]);
    assertEquals(decoded.stdout.split("\n").length - 1, kept);
  });
}

test("a refused entry ends a restore with its id and a count; existing entries are compared on request", async () => {
  const key = uniqueKey();
  await fill(key, 100, 1);
  const { bytes } = await run(["dump", key], { env });
  const into = `${key}-2`;
  await fill(into, 40, 1);
  const refused = await run(["restore", "-", into], { env, input: bytes });
  assertEquals(refused.code, 1);
  assertMatch(refused.stderr, /^Restored 0 entries/);
  assertStringIncludes(refused.stderr, `Cannot restore 1-0 of ${into}: the stream has entries up to 40-0`);
  const skipped = await run(["restore", "-", into, "--skip-existing"], { env, input: bytes });
  assertEquals(skipped.code, 0, skipped.stderr);
  assertMatch(skipped.stderr, /^Restored 60 entries, .*; 40 entries skipped\n$/);
  assertEquals(await entriesOf(into), await entriesOf(key));
  const other = `${key}-3`;
  await server.command("XADD", other, "1-0", "msg", "other");
  const different = await run(["restore", "-", other, "--skip-existing"], { env, input: bytes });
  assertEquals(different.code, 1);
  assertStringIncludes(different.stderr, `Cannot restore 1-0 of ${other}: another entry has this id`);
});

const broken: Record<string, { readonly line: string; readonly says: string }> = {
  "no JSON": { line: "{", says: "Invalid line 2: it must be JSON" },
  "no id": { line: `{"stream":"a","shard":0,"id":"1","fields":[["a","b"]]}`, says: "Invalid line 2: the id" },
  "no fields": { line: `{"stream":"a","shard":0,"id":"1-1","fields":[]}`, says: "Invalid line 2: the fields" },
  "no base64": {
    line: `{"stream":"a","shard":0,"id":"1-1","fields":[["a",{"base64":"?"}]]}`,
    says: "Invalid line 2: the fields",
  },
  "another's key": {
    line: `{"stream":"a","shard":0,"key":"b","id":"1-1","fields":[["a","b"]]}`,
    says: "Invalid line 2: the key",
  },
};

for (const [name, { line, says }] of Object.entries(broken)) {
  test(`an invalid line ends a restore after the lines before it: ${name}`, async () => {
    const key = uniqueKey();
    const input = `{"stream":"a","shard":0,"key":"a","id":"1-0","fields":[["msg","b"]]}\n${line}\n`;
    const { code, stderr } = await run(["restore", "-", key], { env, input });
    assertEquals(code, 1);
    assertMatch(stderr, /^Restored 1 entry, /);
    assertStringIncludes(stderr, says);
    assertEquals(await server.command("XLEN", key), 1);
  });
}

test("a dump and a restore survive a connection that is cut several times", async () => {
  const key = uniqueKey();
  await fill(key, 20_000, 200);
  await using proxy = await startProxy(server);
  const url = `redis://${proxy.host}:${proxy.port}`;
  const cutting = async (running: Running, way: "toClient" | "toServer") => {
    for (let cuts = 0; cuts < 3; cuts++) {
      const before = proxy.connections;
      proxy[way].cutAfter(700_000);
      while (proxy.connections === before) {
        if (
          await Promise.race([
            running.ended.then(() => true),
            new Promise((resolve) => setTimeout(resolve, 5, false)),
          ])
        ) return;
      }
    }
  };
  const path = file("ndjson");
  {
    await using dumping = new Running(["dump", `${url}/${key}`, "-o", path]);
    await cutting(dumping, "toClient");
    const { code, stderr } = await dumping.ended;
    assertEquals(code, 0, stderr);
    assertStringIncludes(stderr, " lost, reconnecting: ");
    assertEquals((await readFile(path, "utf8")).split("\n").length, 20_001);
  }
  await using restoring = new Running(["restore", path, `${url}/${key}-2`]);
  await cutting(restoring, "toServer");
  const { code, stderr } = await restoring.ended;
  assertEquals(code, 0, stderr);
  assertStringIncludes(stderr, " lost, reconnecting: ");
  assertEquals(await entriesOf(`${key}-2`), await entriesOf(key));
}, { oneServer: PROXIED, timeout: 90_000 });

test("a dump that is stopped leaves no file, and an existing file unchanged", async () => {
  const key = uniqueKey();
  await fill(key, 30_000, 1_000);
  await using proxy = await startProxy(server);
  proxy.toClient.limit(2_000_000);
  const path = file("ndjson");
  await writeFile(path, "old");
  await using dumping = new Running(["dump", `redis://${proxy.host}:${proxy.port}/${key}`, "-o", path]);
  while (!(await readdir(folder)).some((name) => name.endsWith(".part"))) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  dumping.signal("SIGINT");
  assertEquals((await dumping.ended).code, 130);
  assertEquals(await readFile(path, "utf8"), "old");
  assertEquals((await readdir(folder)).filter((name) => name.endsWith(".part")), []);
}, { oneServer: PROXIED });

test("memory stays flat, whatever the number of entries", async () => {
  const [few, many] = [uniqueKey(), uniqueKey()];
  await fill(few, 50_000);
  await fill(many, 200_000);
  const peaks: number[] = [];
  for (const key of [few, many]) {
    const path = file("ndjson");
    for (const words of [["dump", key, "-o", path], ["restore", path, `${key}-2`]]) {
      await using running = new Running(words, { env });
      await running.watchMemory();
      const { code, stderr } = await running.ended;
      assertEquals(code, 0, stderr);
      peaks.push(running.peak);
    }
    await server.command("DEL", key, `${key}-2`);
  }
  console.log(`peaks in kB: ${peaks.join(", ")}`);
  assertGreater(peaks[0], 10_000);
  assertLess(peaks[2] - peaks[0], 40_000, "dump");
  assertLess(peaks[3] - peaks[1], 130_000, "restore"); // V8 lets its heap grow to about 260 MB, also with a million, and no further
}, { timeout: 120_000, ignore: platform() !== "linux" });
