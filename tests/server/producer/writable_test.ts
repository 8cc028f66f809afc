// Tests that a producer's web stream reports no success while one of its sends has failed, and that each failure is
// reported at least once: by the stream to its reader, else by the producer's flush or end.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { entriesOf } from "../../support/producer/stream_checks.ts";
import { refusalOf, unseen, waiting } from "../../support/producer/waiting_place.ts";

const server = await sharedServer();

function sourceOf(payloads: readonly string[]): ReadableStream<string> {
  return new ReadableStream({
    start(controller) {
      for (const payload of payloads) controller.enqueue(payload);
      controller.close();
    },
  });
}

test("close rejects with the first of the failures that occur while it waits, which reports all of them", async () => {
  await using place = await waiting();
  const { producer, answer } = place;
  const writer = producer.writable.getWriter();
  for (const payload of ["a", "bad 1", "b", "bad 2"]) writer.write(payload);
  const closing = writer.close();
  closing.catch(() => {});
  answer();
  await refusalOf(closing, "OOM bad 1");
  assertEquals(producer.stats().failed, 2);
  await producer.flush();
  await producer.end();
});

test("a pipe whose last messages fail rejects, and waits for all of them", async () => {
  await using place = await waiting();
  const { producer, answer, redis } = place;
  const piping = sourceOf(["a", "bad 1", "bad 2", "b"]).pipeTo(producer.writable);
  piping.catch(() => {});
  await until(() => redis.added.length === 1 && producer.stats().sent === 4);
  answer();
  await refusalOf(piping, "OOM bad 1");
  assertEquals(producer.stats().inFlight, 0);
  await producer.flush();
});

test("a close after successful sends of the stream resolves, whatever failed beside them; flush reports that", async () => {
  await using place = await waiting();
  const { producer, answer } = place;
  producer.send("bad beside");
  const writer = producer.writable.getWriter();
  writer.write("a");
  const closing = writer.close();
  answer();
  await closing;
  await unseen(producer.flush(), 1);
});

test("each stream reports its own sends, and a new one starts without failures", async () => {
  await using place = await waiting();
  const { producer, answer } = place;
  const first = producer.writable.getWriter();
  await first.write("bad 1");
  const closing = first.close();
  closing.catch(() => {});
  const second = producer.writable.getWriter();
  second.write("a");
  const other = second.close();
  answer();
  await refusalOf(closing, "OOM bad 1");
  await other;
  const third = producer.writable.getWriter();
  await third.write("b");
  await third.close();
});

for (const verb of ["flush", "end"] as const) {
  test(`a failure of a stream without a reader is reported by ${verb}, once; the stream reports it all the same`, async () => {
    await using place = await waiting();
    const { producer, answer } = place;
    const writer = producer.writable.getWriter();
    await writer.write("bad 1");
    await writer.write("bad 2");
    const flushing = producer[verb]();
    flushing.catch(() => {});
    answer();
    await unseen(flushing, 2);
    if (verb === "flush") await producer.flush();
    await refusalOf(writer.closed, "OOM bad 1");
    await refusalOf(writer.close(), "OOM bad 1");
    await refusalOf(writer.write("c"), "OOM bad 1");
  });

  test(`${verb} during a close takes no failure from the close`, async () => {
    await using place = await waiting();
    const { producer, answer } = place;
    const writer = producer.writable.getWriter();
    await writer.write("bad 1");
    const before = producer[verb]().catch(({ code }) => code);
    const closing = writer.close();
    closing.catch(() => {});
    const after = producer.flush().catch(({ code }) => code);
    answer();
    await refusalOf(closing, "OOM bad 1");
    assert(["SEND_FAILED", undefined].includes(await before));
    await after;
  });
}

test("a failure that the stream reported is not reported by flush: by closed, by a write, by a close", async () => {
  for (const ask of ["closed", "write", "close", "ready", "early"] as const) {
    await using place = await waiting();
    const { producer, answer } = place;
    const writer = producer.writable.getWriter();
    const early = ask === "early" ? writer.closed : undefined;
    early?.catch(() => {});
    await writer.write("bad 1");
    answer();
    await until(() => producer.stats().failed === 1);
    const asked = early ??
      (ask === "write"
        ? writer.write("x")
        : ask === "close"
        ? writer.close()
        : writer[ask === "ready" ? "ready" : "closed"]);
    await refusalOf(asked, "OOM bad 1");
    await producer.flush();
  }
});

test("a promise of a released writer reports nothing: flush does", async () => {
  await using place = await waiting();
  const { producer, answer } = place;
  const stream = producer.writable;
  const writer = stream.getWriter();
  writer.closed.catch(() => {});
  await writer.write("bad 1");
  writer.releaseLock();
  answer();
  await unseen(producer.flush(), 1);
  await assertRejects(() => writer.write("x"), TypeError);
  await refusalOf(stream.getWriter().closed, "OOM bad 1");
});

test("a failure after a pipe that leaves the stream open is reported by flush", async () => {
  await using place = await waiting();
  const { producer, answer } = place;
  await sourceOf(["a", "bad 1"]).pipeTo(producer.writable, { preventClose: true });
  const flushing = producer.flush();
  flushing.catch(() => {});
  answer();
  await unseen(flushing, 1);
});

test("a message that is not accepted rejects its write, and errors the stream with the same error", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), { maxBuffered: 1_000, highWaterMark: 1_000 });
  // as: a value that a program without types may pass
  for (
    const [payload, code] of [["x".repeat(2_000), "BUFFER_FULL"], [7 as unknown as string, "INVALID_OPTION"]] as const
  ) {
    const writer = producer.writable.getWriter();
    await writer.write("a");
    const error = await assertRejects(() => writer.write(payload), StreamerError);
    assertEquals([error.code, error.outcome], [code, "not-written"]);
    assertStrictEquals(await assertRejects(() => writer.closed), error);
    await producer.flush();
  }
  const writer = producer.writable.getWriter();
  await producer.end();
  assertEquals((await assertRejects(() => writer.write("late"), StreamerError)).code, "PRODUCER_ENDED");
});

test("a write that waits for capacity is given up when an earlier send fails, and is not sent", async () => {
  await using place = await waiting({ highWaterMark: 1 });
  const { producer, answer, redis } = place;
  const writer = producer.writable.getWriter();
  await writer.write("bad 1");
  const late = writer.write("late");
  late.catch(() => {});
  await until(() => redis.added.length === 1);
  answer();
  await refusalOf(late, "OOM bad 1");
  await producer.flush();
  await producer.send("next");
  assertEquals(redis.added.map(({ payload }) => payload), ["bad 1", "next"]);
});

test("sends that end gives up make a close reject", async () => {
  await using place = await waiting();
  const { producer, redis } = place;
  const writer = producer.writable.getWriter();
  await writer.write("a");
  await until(() => redis.added.length === 1);
  const closing = writer.close();
  const closed = assertRejects(() => closing, StreamerError);
  await producer.end({ timeout: 10 }).catch(() => {});
  const error = await closed;
  assertEquals([error.code, error.outcome], ["DISCONNECTED", "unknown"]);
});

test("a stream is an ordinary web stream: it locks, pipes through transforms, and closes while the producer stays open", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  const stream = producer.writable;
  assertInstanceOf(stream, WritableStream);
  const writer = stream.getWriter();
  assertInstanceOf(writer, WritableStreamDefaultWriter);
  assert(stream.locked);
  await assertRejects(() => stream.abort(), TypeError);
  await writer.ready;
  await writer.write("a");
  writer.releaseLock();
  const upper = new TransformStream<string, string>({ transform: (chunk, out) => out.enqueue(chunk.toUpperCase()) });
  await sourceOf(["b", "c"]).pipeThrough(upper).pipeTo(stream);
  await producer.send("d");
  assertEquals((await entriesOf(server, producer.streamKey)).map(({ payload }) => payload), ["a", "B", "C", "d"]);
});
