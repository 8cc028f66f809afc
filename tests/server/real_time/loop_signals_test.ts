// Tests the signals of `messages` and `batches`: a loop finishes quietly on its signal, and takes no message any more.

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { connect, type Consumer, type Message, type RedisStreamer, StreamerError } from "../../../mod.ts";
import { addMany, restUpToMark, takeTexts, texts } from "../../support/consumer/reading.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const done = { value: undefined, done: true } as const;

/** The two ways of looping, each as a loop over single messages. */
const LOOPS = {
  async *messages(consumer: Consumer, signal: AbortSignal): AsyncGenerator<Message> {
    yield* consumer.messages({ signal });
  },
  async *batches(consumer: Consumer, signal: AbortSignal): AsyncGenerator<Message> {
    for await (const batch of consumer.batches({ max: 1, signal })) yield* batch;
  },
};

/** One consumer of each kind, of a stream with these entries. */
async function* consumersOf(
  streamer: RedisStreamer,
  count: number,
): AsyncGenerator<{ consumer: Consumer; key: string }> {
  for (const mode of ["real-time", "resumable"] as const) {
    const key = uniqueKey();
    if (count > 0) await addMany(server, key, count);
    const options = mode === "real-time" ? { mode } : { mode, group: "g", autoCommit: "rolling" as const };
    yield { consumer: await streamer.createConsumer(key, { ...options, autoStreamReset: "earliest" }), key };
  }
}

test("messages() is the same loop as over the consumer itself", async () => {
  await using streamer = await connect(server.url);
  for await (const { consumer } of consumersOf(streamer, 10)) {
    const got: string[] = [];
    for await (const message of consumer.messages()) {
      got.push(message.text());
      if (got.length === 6) break;
    }
    for await (const message of consumer.messages({})) {
      got.push(message.text());
      if (got.length === 10) break;
    }
    assertEquals(got, texts(10));
    const last = consumer.messages();
    const waiting = last.next();
    await consumer.end();
    assertEquals([await waiting, await last.next()], [done, done]);
  }
});

for (const [name, loopOver] of Object.entries(LOOPS)) {
  test(`a loop over ${name} that waits finishes quietly on its signal, and takes no message`, async () => {
    await using streamer = await connect(server.url);
    for await (const { consumer, key } of consumersOf(streamer, 2)) {
      const stop = new AbortController();
      const got: string[] = [];
      const both = Promise.withResolvers<void>();
      const loop = (async () => {
        for await (const message of loopOver(consumer, stop.signal)) {
          if (got.push(message.text()) === 2) both.resolve();
        }
      })();
      await both.promise;
      stop.abort(new Error("not to be seen"));
      await loop;
      await addMany(server, key, 2, "later");
      assertEquals([got, await takeTexts(consumer, 2)], [texts(2), texts(2, "later")]);
      await consumer.end();
    }
  });

  test(`a loop over ${name} whose signal is aborted in its body stops there, and leaves the rest`, async () => {
    await using streamer = await connect(server.url);
    for await (const { consumer } of consumersOf(streamer, 10)) {
      const stop = new AbortController();
      const got: string[] = [];
      for await (const message of loopOver(consumer, stop.signal)) {
        if (got.push(message.text()) === 4) stop.abort();
      }
      assertEquals([got, consumer.stats().delivered], [texts(4), 4]);
      assertEquals(await takeTexts(consumer, 6), texts(6, "", 4));
      await consumer.end();
    }
  });

  test(`a loop over ${name} whose signal is aborted already takes nothing`, async () => {
    await using streamer = await connect(server.url);
    for await (const { consumer } of consumersOf(streamer, 3)) {
      assertEquals(await takeTexts(consumer, 1), ["0"]); // the others are queued
      for await (const _ of loopOver(consumer, AbortSignal.abort())) assert(false);
      assertEquals(consumer.stats().delivered, 1);
      assertEquals(await takeTexts(consumer, 2), ["1", "2"]);
      await consumer.end();
    }
  });
}

test("an iterator whose signal was aborted is done for good, and several calls that wait are all answered", async () => {
  await using streamer = await connect(server.url);
  for await (const { consumer, key } of consumersOf(streamer, 0)) {
    const stop = new AbortController();
    const iterators = [consumer.messages({ signal: stop.signal }), consumer.batches({ signal: stop.signal })];
    const waiting = iterators.flatMap((iterator) => [iterator.next(), iterator.next()]);
    const other = consumer.messages();
    const asked = other.next();
    stop.abort();
    assertEquals(await Promise.all(waiting), [done, done, done, done]);
    for (const iterator of iterators) assertEquals([await iterator.next(), await iterator.return?.()], [done, done]);
    await addMany(server, key, 1);
    assertEquals((await asked).value?.text(), "0", "another loop continues");
    await consumer.end();
  }
});

test("a message that arrives during the abort is yielded or left, never lost", async () => {
  await using streamer = await connect(server.url);
  for await (const { consumer, key } of consumersOf(streamer, 0)) {
    const got: string[] = [];
    for (let round = 0; round < 60; round++) {
      const stop = new AbortController();
      const loop = (async () => {
        for await (const message of consumer.messages({ signal: stop.signal })) got.push(message.text());
      })();
      const added = addMany(server, key, 2, `${round}-`);
      if (round % 3 === 0) await Promise.resolve();
      if (round % 3 === 1) await added;
      if (round % 3 === 2) await new Promise((resolve) => setTimeout(resolve, round / 60));
      stop.abort();
      await Promise.all([loop, added]);
    }
    got.push(...await restUpToMark(server, consumer, key));
    assertEquals(got, Array.from({ length: 60 }, (_, round) => texts(2, `${round}-`)).flat());
    await consumer.end();
  }
});

test("a fatal error is thrown by a loop with a signal, too, unless that was aborted before", async () => {
  const key = uniqueKey();
  await server.command("SET", key, "text");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "resumable", group: "g" });
  const { signal } = new AbortController();
  const error = await assertRejects(() => consumer.next(), StreamerError);
  assertStrictEquals(await assertRejects(() => consumer.messages({ signal }).next()), error);
  assertStrictEquals(await assertRejects(() => consumer.batches({ signal }).next()), error);
  assertEquals(await consumer.messages({ signal: AbortSignal.abort() }).next(), done);
  assertEquals(await consumer.batches({ signal: AbortSignal.abort() }).next(), done);
});

test("an invalid signal is refused, and a finished loop does not listen to its signal", async () => {
  await using streamer = await connect(server.url);
  for await (const { consumer } of consumersOf(streamer, 2)) {
    for (const bad of [null, 1, "stop", {}]) {
      const signal = bad as unknown as AbortSignal; // as: from a program without types
      for (const call of [() => consumer.messages({ signal }), () => consumer.batches({ signal })]) {
        assertEquals(assertThrows(call, StreamerError, "signal").code, "INVALID_OPTION");
      }
    }
    const typo = { sginal: AbortSignal.abort() };
    assertThrows(() => consumer.messages(typo as object), StreamerError, "sginal"); // as: a misspelt option
    assertThrows(() => consumer.batches(typo as object), StreamerError, "sginal"); // as: the same
    const { signal } = new AbortController();
    let listening = 0;
    const [add, remove] = [signal.addEventListener, signal.removeEventListener];
    signal.addEventListener = (...args: Parameters<typeof add>) => (listening++, add.apply(signal, args));
    signal.removeEventListener = (...args: Parameters<typeof remove>) => (listening--, remove.apply(signal, args));
    const iterator = consumer.messages({ signal });
    await iterator.next();
    await iterator.next();
    const waiting = iterator.next();
    await iterator.return?.();
    assertEquals(await waiting, done);
    assertEquals(listening, 0);
    await consumer.end();
  }
});
