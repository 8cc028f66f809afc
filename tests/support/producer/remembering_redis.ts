// A scripted server that remembers the numbers of idempotent writes, as Redis 8.6 does. Must not use the library under test.

import { handshake, HELLO3 } from "../network/fake_server.ts";
import { FakeRedis, type Xadd } from "./fake_redis.ts";

/** Options of {@linkcode startRemembering}. */
export interface RememberingOptions {
  /** Numbers that are remembered for a producer and a stream. @default {100} */
  readonly maxSize?: number;
  /** Seconds. @default {100} */
  readonly duration?: number;
  /** Called with each XADD. It is stored before if it returns `"stored"`, and after that the connection is cut. */
  readonly judge?: (xadd: Xadd, count: number) => "cut" | "stored" | string | undefined;
}

/** A running server, and what it has seen. */
export interface Remembering {
  readonly redis: FakeRedis;
  /** Writes that were remembered, and not stored again. */
  duplicates: number;
  /** The producer and the number of each write. */
  readonly numbers: (readonly [producer: string, number: string])[];
}

/** What HELLO answers. */
export const HELLO86 = HELLO3.replace("$6\r\n7.0.15", "$5\r\n8.6.0");

/** Starts one. */
export async function startRemembering(options: RememberingOptions = {}): Promise<Remembering> {
  const { maxSize = 100, duration = 100, judge = () => undefined } = options;
  const memory = new Map<string, Map<string, string>>();
  const seen: { duplicates: number; readonly numbers: (readonly [string, string])[] } = { duplicates: 0, numbers: [] };
  let count = 0;
  const store = (xadd: Xadd, redis: FakeRedis): string => {
    const at = xadd.words.indexOf("IDMP");
    if (at < 0) return redis.store(xadd);
    const [producer, number] = [xadd.words[at + 1], xadd.words[at + 2]];
    seen.numbers.push([producer, number]);
    const key = `${xadd.key} ${producer}`;
    const known = memory.get(key) ?? new Map<string, string>();
    memory.set(key, known);
    const before = known.get(number);
    if (before !== undefined) {
      seen.duplicates++;
      return before;
    }
    const reply = redis.store(xadd);
    known.set(number, reply);
    for (const [oldest] of known) {
      if (known.size <= maxSize) break;
      known.delete(oldest);
    }
    return reply;
  };
  const fields = ["length", "0", "idmp-duration", String(duration), "idmp-maxsize", String(maxSize)];
  const info = fields.map((text, i) => i % 2 === 0 ? `$${text.length}\r\n${text}\r\n` : `:${text}\r\n`);
  const redis = await FakeRedis.start({
    answers: {
      HELLO: HELLO86,
      PING: handshake.PING,
      XINFO: `%${fields.length / 2}\r\n${info.join("")}`,
    },
    async judge(xadd, server) {
      const verdict = judge(xadd, count++);
      if (verdict === undefined) return store(xadd, server);
      if (verdict === "stored") store(xadd, server);
      return verdict === "cut" || verdict === "stored" ? await xadd.cut() : verdict;
    },
  });
  return Object.assign(seen, { redis });
}
