// Tests that aborting a producer's web stream does not wait, and loses no report of a failure.

import { assertEquals, assertNotStrictEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { entriesOf } from "../../support/producer/stream_checks.ts";
import { unseen, waiting } from "../../support/producer/waiting_place.ts";

const server = await sharedServer();

test("abort waits neither for capacity nor for replies: sent messages continue, and flush reports their failures", async () => {
  await using place = await waiting({ highWaterMark: 1 });
  const { producer, answer, redis } = place;
  const stream = producer.writable;
  const writer = stream.getWriter();
  await writer.write("bad 1");
  const late = writer.write("late");
  const reason = new Error("enough");
  const given = assertRejects(() => late);
  await writer.abort(reason);
  assertStrictEquals(await given, reason);
  assertEquals([producer.stats().sent, producer.stats().acked], [1, 0]);
  assertNotStrictEquals(producer.writable, stream);
  const flushing = producer.flush();
  flushing.catch(() => {});
  answer();
  await unseen(flushing, 1);
  assertEquals(redis.added.map(({ payload }) => payload), ["bad 1"]);
});

test("abort ends a close that waits: the close rejects with the reason, the abort resolves, and flush reports the failures", async () => {
  await using place = await waiting();
  const { producer, answer } = place;
  const writer = producer.writable.getWriter();
  await writer.write("bad 1");
  const closing = writer.close();
  const reason = new Error("enough");
  const closed = assertRejects(() => closing);
  await writer.abort(reason);
  assertStrictEquals(await closed, reason);
  const flushing = producer.flush();
  flushing.catch(() => {});
  answer();
  await unseen(flushing, 1);
});

test("while the server is away abort, of a writer, a stream or a pipe, does not wait for sendTimeout", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 10 } });
  const producer = await streamer.createProducer(uniqueKey(), { highWaterMark: 500 });
  await producer.send("before");
  proxy.refuse();
  await proxy.cut();
  const reason = new Error("enough");
  const writer = producer.writable.getWriter();
  const writes = Array.from({ length: 5 }, () => writer.write("x".repeat(300)).catch((error) => error));
  await writer.abort(reason);
  assertStrictEquals((await Promise.all(writes)).at(-1), reason);
  const controller = new AbortController();
  const endless = new ReadableStream<string>({ pull: (source) => source.enqueue("x".repeat(300)) });
  const piping = endless.pipeTo(producer.writable, { signal: controller.signal });
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => piping), reason);
  await producer.writable.abort(reason);
  proxy.refuse(false);
  await producer.send("after");
  assertEquals((await entriesOf(server, producer.streamKey)).at(-1)?.payload, "after");
  await producer.flush();
}, { oneServer: PROXIED });
