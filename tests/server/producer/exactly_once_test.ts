// Tests producers that choose the ids of their messages: delivery "exactly-once" with `singleWriter`.

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  connect,
  keyHashSharder,
  type ProducerOptions,
  RedisError,
  type SendReceipt,
  StreamerError,
} from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN } from "../../support/one_server.ts";
import { checkExactlyOnce, SINGLE_WRITER } from "../../support/producer/single_writer.ts";
import { endingsOf, entriesOf } from "../../support/producer/stream_checks.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const own = { ignore: !(await canStartServers()), oneServer: OWN };

async function failureOf(receipt: PromiseLike<unknown>): Promise<StreamerError> {
  return await assertRejects(() => Promise.resolve(receipt), StreamerError);
}

test("singleWriter needs exactly-once, and exactly-once needs singleWriter here", async () => {
  await using streamer = await connect(server.url);
  const codeOf = async (options: ProducerOptions) => (await failureOf(streamer.createProducer("k", options))).code;
  assertEquals(await codeOf({ singleWriter: true }), "INVALID_OPTION");
  assertEquals(await codeOf({ singleWriter: true, delivery: "at-most-once" }), "INVALID_OPTION");
  // @ts-expect-error no boolean
  assertEquals(await codeOf({ singleWriter: 1, delivery: "exactly-once" }), "INVALID_OPTION");
  await streamer.createProducer("k", { singleWriter: false }).then((producer) => producer.end());
});

test("ids begin above the end of the stream, rise, and are those of the receipts", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  await server.command("XADD", key, "9000000000000-7", "msg", "before");
  const producer = await streamer.createProducer(key, SINGLE_WRITER);
  const sends = Array.from({ length: 1_200 }, (_, i) => [`m${i}`, producer.send(`m${i}`)] as const);
  const endings = await endingsOf(sends);
  const entries = await entriesOf(server, key);
  checkExactlyOnce(entries.slice(1), endings);
  assertEquals([entries[1].id, entries[1_200].id], ["9000000000000-8", "9000000000000-1207"]);
  const { sent, acked, failed, resent, conflicts, buffered } = producer.stats();
  assertEquals([sent, acked, failed, resent, conflicts, buffered], [1_200, 1_200, 0, 0, 0, 0]);
  const other = await streamer.createProducer(uniqueKey(), SINGLE_WRITER);
  const before = Date.now();
  const { timestamp, id } = await other.send("now");
  assert(timestamp.getTime() >= before && timestamp.getTime() <= Date.now(), id);
  assert(id.endsWith("-0"), id);
  await server.command("DEL", key);
  await server.command("DEL", other.streamKey);
});

for (const timestampFormat of ["milliseconds", "nanoseconds"] as const) {
  test(`own timestamps in ${timestampFormat}: they may stay or rise, and an earlier one is refused before it is sent`, async () => {
    await using streamer = await connect(server.url, { timestampFormat });
    const producer = await streamer.createProducer(uniqueKey(), SINGLE_WRITER);
    const [past, later] = [new Date(1_000_000), new Date(2_000_000)];
    const unit = timestampFormat === "milliseconds" ? "" : "000000";
    const all: SendReceipt[] = [
      producer.send("a", { timestamp: past }), // while the end of the stream is not known
      producer.send("b", { timestamp: past }),
      producer.send("c", { timestamp: later, headers: { trace: "1" } }),
    ];
    const tooEarly = producer.send("no", { timestamp: past });
    assertEquals((await Promise.all(all)).map(({ id }) => id), [
      `1000000${unit}-0`,
      `1000000${unit}-1`,
      `2000000${unit}-0`,
    ]);
    for (const receipt of [tooEarly, producer.send("no", { timestamp: past })]) {
      const { code, outcome, message } = await failureOf(receipt);
      assertEquals([code, outcome], ["INVALID_OPTION", "not-written"], message);
    }
    await producer.send("d", { timestamp: later });
    await producer.send("now");
    const { code } = await failureOf(producer.send("no", { timestamp: later }));
    assertEquals(code, "INVALID_OPTION");
    const far = await producer.send("far", { timestamp: 18446744073709551000n });
    assertEquals(far.id, "18446744073709551000-0");
    assertEquals((await producer.send("after")).id, "18446744073709551000-1");
    const payloads = (await entriesOf(server, producer.streamKey)).map(({ payload }) => payload);
    assertEquals(payloads, ["a", "b", "c", "d", "now", "far", "after"]);
    await server.command("DEL", producer.streamKey);
  });
}

test("a call and a timestamp of the same moment do not contradict each other", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), SINGLE_WRITER);
  for (let i = 0; i < 30; i++) {
    const sends = [producer.send("plain"), producer.send("own", { timestamp: new Date() }), producer.send("plain")];
    await Promise.all(sends);
  }
  assertEquals(await server.command("XLEN", producer.streamKey), 90);
  await server.command("DEL", producer.streamKey);
});

test("headers, large messages, trimming, clones, generic producers and shards work as ever", async () => {
  await using streamer = await connect(server.url);
  const generic = await streamer.createGenericProducer({
    ...SINGLE_WRITER,
    sharder: keyHashSharder(4),
    highWaterMark: 1e7,
  });
  const clone = generic.clone();
  const key = uniqueKey();
  const large = "x".repeat(300_000);
  const receipts = await Promise.all(Array.from({ length: 400 }, (_, i) => {
    const options = { key: String(i % 7), ...(i % 3 === 0 ? { headers: { number: String(i) } } : {}) };
    return (i % 2 === 0 ? generic : clone).sendTo(key, i % 100 === 50 ? large : `m${i}`, options);
  }));
  let total = 0;
  for (let shard = 0; shard < 4; shard++) {
    const entries = await entriesOf(server, `${key}:${shard}`);
    total += entries.length;
    const ofShard = receipts.filter(({ shardId }) => shardId === shard);
    assertEquals(entries.map(({ id }) => id), ofShard.map(({ id }) => id));
    await server.command("DEL", `${key}:${shard}`);
  }
  assertEquals(total, 400);
  await Promise.all([clone.end(), generic.end()]);
  for (const trim of [{ maxLength: 100 }, { maxAge: 60_000 }]) {
    const producer = await streamer.createProducer(uniqueKey(), { ...SINGLE_WRITER, ...trim });
    await server.command("XADD", producer.streamKey, "1000-0", "msg", "old");
    for (let i = 0; i < 1_000; i++) producer.send(`m${i}`);
    await producer.flush();
    const entries = await entriesOf(server, producer.streamKey);
    assertEquals(entries.at(-1)?.payload, "m999");
    if ("maxLength" in trim) assert(entries.length < 400, `${entries.length}`);
    await server.command("DEL", producer.streamKey);
  }
});

test("a signal, sendTimeout and end settle messages that wait for the end of the stream", async () => {
  await using frozen = await startServer();
  const streamer = await connect(frozen.url, { timeout: 5_000 });
  const producer = await streamer.createProducer("k", { ...SINGLE_WRITER, sendTimeout: 150 });
  const other = await streamer.createProducer("other", SINGLE_WRITER);
  await frozen.kill("SIGSTOP");
  const abort = new AbortController();
  const aborted = producer.send("aborted", { signal: abort.signal });
  const late = producer.send("late");
  const left = other.send("left");
  abort.abort(new Error("stop"));
  assertEquals((await aborted.catch(String), aborted.outcome), "not-written");
  assertEquals((await late.catch(({ code }) => code), late.outcome), "not-written");
  const ended = other.end({ timeout: 50 }).catch(() => {});
  assertEquals([await left.catch(({ code }) => code), left.outcome], ["DISCONNECTED", "not-written"]);
  await ended;
  await frozen.kill("SIGCONT");
  await producer.send("stored");
  await streamer.disconnect();
  assertEquals((await entriesOf(frozen, "k")).map(({ payload }) => payload), ["stored"]);
  assertEquals(await frozen.command("EXISTS", "other"), 0);
}, own);

test(
  "what the server refuses at the question for the end rejects the messages, and later ones are tried again",
  async () => {
    await using guarded = await startServer();
    const args = ["on", "nopass", "~*", "&*", "+@all", "-xinfo", "-xrevrange"];
    await guarded.command("ACL", "SETUSER", "writer", ...args);
    await using streamer = await connect(guarded.url, { username: "writer", password: "x" });
    await guarded.command("SET", "text", "1");
    const generic = await streamer.createGenericProducer(SINGLE_WRITER);
    const refused = await failureOf(generic.sendTo("k", "1"));
    assert(refused instanceof RedisError);
    assertEquals([refused.code, refused.outcome], ["NOPERM", "not-written"]);
    await guarded.command("ACL", "SETUSER", "writer", "+xrevrange");
    const { id } = await generic.sendTo("k", "2");
    assertEquals((await entriesOf(guarded, "k")).map((entry) => entry.id), [id]);
    await guarded.command("ACL", "SETUSER", "writer", "+xinfo");
    const wrong = await failureOf(generic.sendTo("text", "1"));
    assertEquals([wrong.code, wrong.outcome], ["WRONGTYPE", "not-written"]);
    await guarded.command("DEL", "text");
    await generic.sendTo("text", "2");
    assertEquals(generic.stats().buffered, 0);
  },
  own,
);

test("messages that are refused for a while are stored later under the same ids, in order", async () => {
  await using guarded = await startServer();
  await using streamer = await connect(guarded.url);
  const producer = await streamer.createProducer("k", SINGLE_WRITER);
  await producer.send("first");
  await guarded.command("CONFIG", "SET", "busy-reply-threshold", "50");
  const script = guarded.command(
    "EVAL",
    "local t = redis.call('TIME'); repeat local n = redis.call('TIME') " +
      "until (n[1] - t[1]) * 1000000 + n[2] - t[2] > 600000",
    "0",
  );
  await new Promise((resolve) => setTimeout(resolve, 120));
  const sends = Array.from({ length: 300 }, (_, i) => [`m${i}`, producer.send(`m${i}`)] as const);
  await until(() => producer.stats().resent > 0);
  const sent = Date.now();
  const endings = await endingsOf(sends);
  await script;
  checkExactlyOnce((await entriesOf(guarded, "k")).slice(1), endings);
  for (const ending of endings) assert("receipt" in ending && ending.receipt.timestamp.getTime() <= sent);
}, own);

test("a writable stream and JSON show what they do for every producer", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), SINGLE_WRITER);
  const writer = producer.writable.getWriter();
  for (const payload of ["a", "b", "c"]) await writer.write(payload);
  await writer.close();
  assertEquals((await entriesOf(server, producer.streamKey)).map(({ payload }) => payload), ["a", "b", "c"]);
  const receipt = producer.send("d");
  assertEquals(Reflect.get(JSON.parse(JSON.stringify(receipt)), "outcome"), "pending");
  const { id } = await receipt;
  assertEquals(Reflect.get(JSON.parse(JSON.stringify(receipt)), "id"), id);
  assertEquals(producer.toJSON().conflicts, 0);
  await server.command("DEL", producer.streamKey);
});
