// Owns the ledger's comparison with a model that keeps a word for each entry. Must not need a server.

import { assertEquals, assertLessOrEqual } from "@std/assert";
import { ACK_IDS, type AckBatch, Ledger } from "../../../streamer/consumer/ledger.ts";
import { HELD, type Lot } from "../../../streamer/consumer/lot.ts";
import { Random } from "../../resp/drive.ts";
import { test } from "../../support/runner.ts";
import { idsOf, lotOf, shardOf } from "./lots.ts";

type State = "queued" | "returned" | "nacked" | "acked" | "sending" | "done";

interface Entry {
  readonly lot: Lot;
  readonly index: number;
  readonly name: string;
  state: State;
  returnedAt: number;
}

/** A ledger, and a word for each entry beside it. */
class Model {
  readonly ledger: Ledger;
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
    this.ledger = new Ledger({ byTime });
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
    else if (kind === 15) this.#ackForeign();
    else if (kind === 16 && this.#byTime) this.#ackReturned(this.#now - random.below(20));
    else if (kind === 17) this.#collect();
    else if (kind > 17 && this.underway.length > 0) this.#settle(random.once(3));
    this.#compare();
  }

  #read(): void {
    const shard = this.#random.of(this.#shards);
    const size = this.#random.once(40) ? 1_100 : 1 + this.#random.below(20);
    const lot = lotOf(shard, Array.from({ length: size }, () => `${this.#next++}-${this.#random.below(100)}`));
    this.ledger.add(lot);
    for (let index = 0; index < size; index++) {
      const name = `${shard.redisKey} ${lot.idAt(index)}`;
      this.entries.push({ lot, index, name, state: "queued", returnedAt: -1 });
    }
  }

  /** Where time acknowledges, entries of a page are handed out in their order, as an inbox does. */
  #take(chosen: Entry): void {
    const first = this.entries.find(({ lot, state }) => lot === chosen.lot && state === "queued");
    const entry = this.#byTime ? first ?? chosen : chosen;
    const may = entry.state === "queued";
    assertEquals(this.ledger.take(entry.lot, entry.index, this.#now), may);
    if (!may) return;
    entry.state = "returned";
    entry.returnedAt = this.#now;
  }

  #ack(entry: Entry): void {
    const may = entry.state !== "acked" && entry.state !== "sending" && entry.state !== "done";
    assertEquals(this.ledger.ack(entry.lot, entry.index), may);
    if (may) entry.state = "acked";
  }

  #nack(entry: Entry): void {
    const may = entry.state === "returned";
    assertEquals(this.ledger.move(entry.lot, entry.index, HELD.nacked), may);
    if (may) entry.state = "nacked";
  }

  #release(entry: Entry): void {
    if (entry.state !== "returned") return;
    this.ledger.release(entry.lot, entry.index);
    entry.state = "done";
  }

  #finish(entry: Entry): void {
    if (entry.state === "sending") return; // its batch is under way
    this.ledger.finish(entry.lot, entry.index);
    entry.state = "done";
  }

  #ackForeign(): void {
    const shard = this.#random.of(this.#shards);
    const id = `0-${1 + this.#random.below(1_000)}`;
    const name = `${shard.redisKey} ${id}`;
    if (this.foreign.get(name) === "sending") return; // asked again meanwhile, it goes again: harmless, and not modelled
    this.ledger.ackForeign(shard, id);
    this.foreign.set(name, "acked");
  }

  #ackReturned(until: number): void {
    this.ledger.ackReturned(until);
    for (const entry of this.entries) {
      if (entry.state === "returned" && entry.returnedAt <= until) entry.state = "acked";
    }
  }

  #collect(): void {
    const batches = this.ledger.collect();
    const sent = batches.flatMap((batch) => this.#names(batch)).sort();
    for (const batch of batches) assertLessOrEqual(batch.count, ACK_IDS);
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
    this.underway.push(...batches);
  }

  #settle(fails: boolean): void {
    const [batch] = this.underway.splice(this.#random.below(this.underway.length), 1);
    const names = new Set(this.#names(batch));
    if (fails) this.ledger.restore(batch);
    else this.ledger.confirm(batch);
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
    const { inHand, nacked, unsent, sending, confirmed, oldestReturned } = this.ledger;
    assertEquals([inHand, nacked, unsent, sending, confirmed], [
      count("returned"),
      count("nacked"),
      count("acked"),
      count("sending"),
      this.#confirmed,
    ]);
    if (!this.#byTime) return;
    const oldest = this.entries.filter(({ state }) => state === "returned").map(({ returnedAt }) => returnedAt);
    if (oldest.length > 0) assertLessOrEqual(oldestReturned ?? Infinity, Math.min(...oldest), "none is forgotten");
  }

  /** What is done with is forgotten, and what is not can be found. */
  compareLots(): void {
    for (const shard of this.#shards) {
      const open = this.entries.filter(({ lot, state }) => lot.shard === shard && state !== "done");
      assertEquals(new Set(this.ledger.lotsOf(shard)), new Set(open.map(({ lot }) => lot)));
      for (const { lot, index } of open.slice(0, 200)) {
        assertEquals(this.ledger.find(shard, lot.idAt(index)), { lot, index });
      }
    }
  }
}

for (const byTime of [false, true]) {
  for (const seed of [31, 32, 33, 34]) {
    test(`the ledger counts as a simple model does, ${byTime ? "with" : "without"} time (seed ${seed})`, () => {
      const model = new Model(seed, byTime);
      for (let i = 0; i < 1_000; i++) model.step();
      model.compareLots();
    });
  }
}
