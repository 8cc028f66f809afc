// A scripted server that closes the connection for some messages, and the expected fate of those.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { connect, type ProducerOptions, StreamerError } from "../../../mod.ts";
import { type FakeEntry, FakeRedis, type FakeRedisOptions } from "./fake_redis.ts";
import { uniqueKey } from "../keys.ts";
import { type Ending, endingsOf } from "./stream_checks.ts";

/** Its stream: a client of another test may come to a port that was its own server's before. */
export const KEY = uniqueKey();
/** Reconnects without waiting. */
export const RECONNECT = { initialDelay: 1, maxDelay: 5 };

/** A server that closes for poison. */
export function poisonable(options: Omit<FakeRedisOptions, "judge"> = {}): Promise<FakeRedis> {
  return FakeRedis.start({
    ...options,
    judge: (xadd, redis) => xadd.payload.startsWith("poison") ? xadd.cut() : redis.store(xadd),
  });
}

/** The error of a send that must fail. */
export function failureOf(ending: Ending): StreamerError {
  assert("error" in ending, `${ending.payload} must fail`);
  assertInstanceOf(ending.error, StreamerError);
  return ending.error;
}

/** Checks that a message was given up as one that the connection is closed for. */
export function checkUndeliverable(ending: Ending): void {
  const error = failureOf(ending);
  assertEquals([error.code, error.outcome], ["DISCONNECTED", "unknown"], ending.payload);
  assertInstanceOf(error.cause, StreamerError);
}

/** First occurrences. */
export function once(entries: readonly FakeEntry[] | undefined): string[] {
  return [...new Set(entries?.map(({ payload }) => payload))];
}

/** Sends one, then all of these in one go, then one more; gives how those in the middle ended. */
export async function sendAll(
  redis: FakeRedis,
  payloads: readonly string[],
  options: ProducerOptions = {},
): Promise<Ending[]> {
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer(KEY, options);
  await producer.send("first");
  const endings = await endingsOf(payloads.map((payload) => [payload, producer.send(payload)] as const));
  const stats = producer.stats();
  await producer.send("last");
  assertEquals([stats.buffered, stats.inFlight], [0, 0]);
  return endings;
}
