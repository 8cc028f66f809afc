// A producer on a scripted server that answers on command, and checks of its failures.

import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { connect, type ProducerOptions, RedisError, StreamerError } from "../../../mod.ts";
import { uniqueKey } from "../keys.ts";
import { FakeRedis } from "./fake_redis.ts";

const KEY = uniqueKey();

/** A server that replies to nothing until the test calls `answer`, and refuses payloads that start with "bad". */
export async function waiting(options: ProducerOptions = {}) {
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  const redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      await promise;
      return xadd.payload.startsWith("bad") ? `-OOM ${xadd.payload}\r\n` : fake.store(xadd);
    },
  });
  const streamer = await connect(redis.url);
  const producer = await streamer.createProducer(KEY, options);
  return {
    redis,
    producer,
    answer,
    async [Symbol.asyncDispose]() {
      answer();
      await streamer.disconnect();
      await redis[Symbol.asyncDispose]();
    },
  };
}

/** Checks that the promise rejects with the server's refusal. */
export async function refusalOf(promise: Promise<unknown>, message: string): Promise<void> {
  const error = await assertRejects(() => promise, RedisError);
  assertEquals([error.code, error.message, error.outcome], ["OOM", message, "not-written"]);
}

/** Checks that the promise rejects because of so many failed sends that were never awaited. */
export async function unseen(promise: Promise<unknown>, count: number): Promise<void> {
  const error = await assertRejects(() => promise, StreamerError);
  assertEquals([error.code, error.count], ["SEND_FAILED", count]);
  assertInstanceOf(error.cause, StreamerError);
  assertEquals(error.cause.outcome, "not-written");
}
