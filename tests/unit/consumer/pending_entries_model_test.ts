// Compares pending entries with a model that has a word for each entry.

import { assertEquals, assertLessOrEqual } from "@std/assert";
import { ACK_IDS, type AckBatch } from "../../../streamer/consumer/pending/ack_batch.ts";
import { PendingEntries } from "../../../streamer/consumer/pending/pending_entries.ts";
import type { PendingBatch } from "../../../streamer/consumer/pending/pending_batch.ts";
import { Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";
import { batchOf, idsOf, shardOf } from "../../support/consumer/batches.ts";

type State = "queued" | "returned" | "nacked" | "acked" | "sending" | "done";

interface Entry {
  readonly batch: PendingBatch;
  readonly index: number;
  readonly name: string;
  state: State;
  returnedAt: number;
}

/** Pending entries, and a word for each of them. */
class Model {
  readonly pendingEntries: PendingEntries;
  readonly entries: Entry[] = [];
  readonly foreign = new Map<string, "acked" | "sending" | "done">();
  readonly underway: AckBatch[] = [];
  readonly #random: Random;
  readonly #byTime: boolean;
  readonly #shards = [shardOf("s"), shardOf("t")];
  #next = 1;
  #now = 0;
  #confirmed = 0;

  constructor(seed: number, byTime: boolean) {
    this.#random = new Random(seed);
    this.#byTime = byTime;
    this.pendingEntries = new PendingEntries({ byTime });
  }

  step(): void {
    const random = this.#random;
    this.#now += random.below(3);
    const entry = this.entries.length > 0 ? random.of(this.entries) : undefined;
    const kind = random.below(20);
    if (kind === 0 || entry === undefined) this.#read();
    else if (kind < 9) this.#take(entry);
    else if (kind < 13) this.#ack(entry);
    else if (kind === 13) random.below(2) === 0 ? this.#nack(entry) : this.#release(entry);
    else if (kind === 14) this.#finish(entry);
    else if (kind === 15) this.#ackById();
    else if (kind === 16 && this.#byTime) this.#ackDelivered(this.#now - random.below(20));
    else if (kind === 17) this.#collect();
    else if (kind > 17 && this.underway.length > 0) this.#settle(random.once(3));
    this.#compare();
  }

  #read(): void {
    const shard = this.#random.of(this.#shards);
    const size = this.#random.once(40) ? 1_100 : 1 + this.#random.below(20);
    const batch = batchOf(shard, Array.from({ length: size }, () => `${this.#next++}-${this.#random.below(100)}`));
    this.pendingEntries.add(batch);
    for (let index = 0; index < size; index++) {
      const name = `${shard.redisKey} ${batch.idAt(index)}`;
      this.entries.push({ batch, index, name, state: "queued", returnedAt: -1 });
    }
  }

  /** With time-based acknowledgement, entries of a page are returned in their order, as by a queue. */
  #take(chosen: Entry): void {
    const first = this.entries.find(({ batch, state }) => batch === chosen.batch && state === "queued");
    const entry = this.#byTime ? first ?? chosen : chosen;
    const may = entry.state === "queued";
    assertEquals(this.pendingEntries.take(entry.batch, entry.index, this.#now), may);
    if (!may) return;
    entry.state = "returned";
    entry.returnedAt = this.#now;
  }

  #ack(entry: Entry): void {
    const may = entry.state !== "acked" && entry.state !== "sending" && entry.state !== "done";
    assertEquals(this.pendingEntries.ack(entry.batch, entry.index), may);
    if (may) entry.state = "acked";
  }

  #nack(entry: Entry): void {
    const may = entry.state === "returned";
    assertEquals(this.pendingEntries.nack(entry.batch, entry.index), may);
    if (may) entry.state = "nacked";
  }

  #release(entry: Entry): void {
    if (entry.state !== "returned") return;
    this.pendingEntries.release(entry.batch, entry.index, this.#now);
    entry.state = "done";
  }

  #finish(entry: Entry): void {
    if (entry.state === "sending") return; // its batch is in flight
    this.pendingEntries.finish(entry.batch, entry.index);
    entry.state = "done";
  }

  #ackById(): void {
    const shard = this.#random.of(this.#shards);
    const id = `0-${1 + this.#random.below(1_000)}`;
    const name = `${shard.redisKey} ${id}`;
    if (this.foreign.get(name) === "sending") return; // if it is sent meanwhile, it is sent again: harmless, and not modelled
    this.pendingEntries.ackById(shard, id);
    this.foreign.set(name, "acked");
  }

  #ackDelivered(until: number): void {
    this.pendingEntries.ackDelivered(until);
    for (const entry of this.entries) {
      if (entry.state === "returned" && entry.returnedAt <= until) entry.state = "acked";
    }
  }

  #collect(): void {
    const ackBatches = this.pendingEntries.collect();
    const sent = ackBatches.flatMap((acks) => this.#names(acks)).sort();
    for (const acks of ackBatches) assertLessOrEqual(acks.count, ACK_IDS);
    const expected: string[] = [];
    for (const entry of this.entries) {
      if (entry.state !== "acked") continue;
      entry.state = "sending";
      expected.push(entry.name);
    }
    for (const [name, state] of this.foreign) {
      if (state !== "acked") continue;
      this.foreign.set(name, "sending");
      expected.push(name);
    }
    assertEquals(sent, expected.sort());
    this.underway.push(...ackBatches);
  }

  #settle(fails: boolean): void {
    const [acks] = this.underway.splice(this.#random.below(this.underway.length), 1);
    const names = new Set(this.#names(acks));
    if (fails) this.pendingEntries.restore(acks);
    else this.pendingEntries.confirm(acks);
    if (!fails) this.#confirmed += names.size;
    for (const entry of this.entries) if (names.has(entry.name)) entry.state = fails ? "acked" : "done";
    for (const name of names) if (this.foreign.has(name)) this.foreign.set(name, fails ? "acked" : "done");
  }

  #names({ shard, ids, count }: AckBatch): string[] {
    const names = idsOf(ids).map((id) => `${shard.redisKey} ${id}`);
    assertEquals(names.length, count);
    return names;
  }

  #compare(): void {
    const states = [...this.entries.map(({ state }) => state), ...this.foreign.values()];
    const count = (state: State) => states.filter((one) => one === state).length;
    const { inFlight, nacked, unsent, sending, confirmed, oldestDelivery } = this.pendingEntries;
    assertEquals([inFlight, nacked, unsent, sending, confirmed], [
      count("returned"),
      count("nacked"),
      count("acked"),
      count("sending"),
      this.#confirmed,
    ]);
    if (!this.#byTime) return;
    const oldest = this.entries.filter(({ state }) => state === "returned").map(({ returnedAt }) => returnedAt);
    if (oldest.length > 0) assertLessOrEqual(oldestDelivery ?? Infinity, Math.min(...oldest), "none is forgotten");
  }

  /** Settled entries are forgotten, and others can be found. */
  compareBatches(): void {
    for (const shard of this.#shards) {
      const open = this.entries.filter(({ batch, state }) => batch.shard === shard && state !== "done");
      assertEquals(new Set(this.pendingEntries.batchesOf(shard)), new Set(open.map(({ batch }) => batch)));
      for (const { batch, index } of open.slice(0, 200)) {
        assertEquals(this.pendingEntries.find(shard, batch.idAt(index)), { batch, index });
      }
    }
  }
}

for (const byTime of [false, true]) {
  for (const seed of [31, 32, 33, 34]) {
    test(`the pending entries equal a simple model, ${byTime ? "with" : "without"} time (seed ${seed})`, () => {
      const model = new Model(seed, byTime);
      for (let i = 0; i < 1_000; i++) model.step();
      model.compareBatches();
    });
  }
}
