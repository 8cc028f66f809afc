// Collects the numbered messages `<shard>:<number>` of consumers.

import { assert } from "@std/assert";
import type { Consumer, Message } from "../../../mod.ts";
import { until } from "../events.ts";

/** What one consumer got, by shard. */
export class Got {
  /** In order, by shard. */
  readonly payloads: string[][] = [];
  /** The ids of first deliveries, by the server's counter. */
  readonly fresh: string[][] = [];
  /** All payloads. */
  readonly all = new Set<string>();
  /** How many messages. */
  count = 0;
  /** The errors that the consumer threw. */
  failure: unknown;

  add(message: Message): void {
    const payload = message.text();
    this.count++;
    this.all.add(payload);
    (this.payloads[message.shardId] ??= []).push(payload);
    if (message.deliveries === 1) (this.fresh[message.shardId] ??= []).push(message.id);
  }

  /** Takes all messages of a consumer until it ends. */
  take<M extends Message>(consumer: Consumer<M>, each: (message: M) => void = () => {}): void {
    const loop = async () => {
      for await (const message of consumer) {
        this.add(message);
        each(message);
      }
    };
    loop().catch((error) => this.failure = error);
  }

  /** Resolves when so many have come. */
  async until(count: number): Promise<void> {
    await until(() => this.#unlessFailed() && this.count >= count, {
      what: `${count} messages have come`,
      timeout: 15_000,
    }).catch((error) => {
      throw new Error(`${this.count} of ${count} have come: ${this.payloads.map((one) => one.length).join(" ")}`, {
        cause: error,
      });
    });
  }

  #unlessFailed(): true {
    if (this.failure !== undefined) throw this.failure;
    return true;
  }

  /** First deliveries ascend in each shard, without repeats. */
  checkOrder(): void {
    for (const ids of this.fresh) {
      const wrong = (ids ?? []).findIndex((id, at) => at > 0 && !isBefore(ids[at - 1], id));
      assert(wrong < 0, `out of order: ${ids?.slice(Math.max(0, wrong - 3), wrong + 3)}`);
    }
  }
}

function isBefore(one: string, other: string): boolean {
  const [[time, seq], [otherTime, otherSeq]] = [one, other].map((id) => id.split("-").map(Number));
  return time < otherTime || (time === otherTime && seq < otherSeq);
}

/** All that several consumers got, and how often. */
export function together(gots: readonly Got[]): Map<string, number> {
  const times = new Map<string, number>();
  for (const { payloads } of gots) {
    for (const payload of payloads.flat()) times.set(payload, (times.get(payload) ?? 0) + 1);
  }
  return times;
}
