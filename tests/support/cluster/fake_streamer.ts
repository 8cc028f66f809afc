// A streamer over a cluster in memory, whose clock the test advances.

import type { ConnectOptions } from "../../../mod.ts";
import { connectWith } from "../../../streamer/connect.ts";
import type { RedisStreamer } from "../../../streamer/streamer.ts";
import type { FakeNet } from "./fake_net.ts";

/** What has become of a promise so far. */
export interface Outcome<T> {
  value?: T;
  error?: unknown;
  /** Milliseconds from the start until it settled. */
  after?: number;
}

/** Connects. Resolves without any time passing. */
export function streamerOver(
  net: FakeNet,
  uri: string | readonly string[],
  options: ConnectOptions = {},
): Promise<RedisStreamer> {
  return connectWith({ dial: net.dial, clock: net.clock }, uri, options);
}

/** Follows a promise. */
export function follow<T>(net: FakeNet, promise: PromiseLike<T>): Outcome<T> {
  const outcome: Outcome<T> = {};
  const start = net.clock.now();
  promise.then(
    (value) => Object.assign(outcome, { value, after: net.clock.now() - start }),
    (error) => Object.assign(outcome, { error, after: net.clock.now() - start }),
  );
  return outcome;
}

/** Ends a streamer while time passes. */
export async function close(net: FakeNet, streamer: RedisStreamer): Promise<void> {
  const closing = follow(net, streamer.disconnect({ timeout: 100 }));
  await net.clock.pass(10_000);
  if (closing.after === undefined || closing.error !== undefined) throw new Error("The streamer did not end");
  if (net.open > 0 || net.clock.running > 0) {
    throw new Error(`${net.open} connections and ${net.clock.running} timers are left`);
  }
}
