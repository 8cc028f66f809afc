// Sends many numbered messages with ids of the producer's own, and checks that each is stored once.

import { assert, assertEquals } from "@std/assert";
import type { Producer, ProducerOptions, SendReceipt } from "../../../mod.ts";
import { checkStream, type Ending, endingsOf, type Entry } from "./stream_checks.ts";

/** The options under test. */
export const SINGLE_WRITER: ProducerOptions = { delivery: "exactly-once", singleWriter: true, highWaterMark: 200_000 };

/** Sends so many messages, a few at a time, and resolves to how they ended. */
export async function sendMany(producer: Producer, count: number, first = 0): Promise<Ending[]> {
  const sends: (readonly [string, SendReceipt])[] = [];
  const endings: Promise<Ending[]>[] = [];
  for (let i = 0; i < count; i++) {
    const payload = `m${first + i}`;
    sends.push([payload, producer.send(payload)]);
    if (sends.length < 40 && i < count - 1) continue;
    const ending = endingsOf(sends.splice(0));
    ending.catch(() => {}); // checked at the end
    endings.push(ending);
    await producer.ready;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return (await Promise.all(endings)).flat();
}

/** Checks that every message is stored once, in order, under the id of its receipt, and that nothing else is stored. */
export function checkExactlyOnce(entries: readonly Entry[], endings: readonly Ending[]): void {
  for (const ending of endings) assert("receipt" in ending, `${ending.payload}: ${"error" in ending && ending.error}`);
  checkStream(entries, endings, { delivery: "exactly-once" });
  assertEquals(entries.length, endings.length);
}
