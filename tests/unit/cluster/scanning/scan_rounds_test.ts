// Tests which nodes are scanned again, by what nodes say of their slots or, where that is forbidden, by the router's map.

import { assertEquals, assertRejects } from "@std/assert";
import type { OwnSlots } from "../../../../streamer/commands/cluster_nodes.ts";
import type { NodeName, RouteChange, Router } from "../../../../streamer/cluster/router.ts";
import { MOST_ROUNDS, ScanRounds } from "../../../../streamer/cluster/scanning/scan_rounds.ts";
import { test } from "../../../support/runner.ts";

type Words = Record<NodeName, Partial<OwnSlots> | undefined>;

/** A router of these nodes, with what they say. */
class FakeRouter {
  words: Words;
  owners = new Map<number, NodeName>();
  refreshes = 0;
  onRefresh = () => {};
  readonly #listeners = new Set<(change: RouteChange) => void>();

  constructor(words: Words) {
    this.words = words;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  primaries(): NodeName[] {
    return Object.keys(this.words);
  }

  nodeOf(slot: number): NodeName {
    return this.owners.get(slot) ?? "nobody";
  }

  move(slot: number, to: NodeName): void {
    this.owners.set(slot, to);
    for (const listener of this.#listeners) listener({ slots: [slot] });
  }

  onChange(listener: (change: RouteChange) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  refresh(): Promise<void> {
    this.refreshes++;
    this.onRefresh();
    return Promise.resolve();
  }

  slotsAt(node: NodeName): Promise<OwnSlots | undefined> {
    const word = this.words[node];
    return Promise.resolve(word && { owned: [], importing: [], epoch: "1", ...word });
  }
}

function roundsOver(words: Words): { router: FakeRouter; rounds: ScanRounds } {
  const router = new FakeRouter(words);
  // A checked border: rounds use no more of a router.
  return { router, rounds: new ScanRounds(router as unknown as Router) };
}

test("while nothing moves there is one round, and nothing is refreshed", async () => {
  const { router, rounds } = roundsOver({ a: { owned: [[0, 9]] }, b: { owned: [[10, 19]] } });
  assertEquals([await rounds.next(), await rounds.next()], [["a", "b"], []]);
  assertEquals(router.refreshes, 0);
  rounds.close();
  rounds.close();
  assertEquals(router.listeners, 0);
});

test("a node that has got a slot, is given one, or has had one back, is scanned again, once", async () => {
  for (const word of [{ owned: [[0, 8], [10, 19]] }, { importing: [9], owned: [[10, 19]] }, { epoch: "3" }] as const) {
    const { router, rounds } = roundsOver({ a: { owned: [[0, 9]] }, b: { owned: [[10, 19]], epoch: "2" } });
    assertEquals(await rounds.next(), ["a", "b"]);
    router.words = { ...router.words, b: { owned: [[9, 19]], epoch: "2", ...word } };
    assertEquals([await rounds.next(), await rounds.next()], [["b"], []], JSON.stringify(word));
  }
});

test("a slot that moves again in each round is followed, as long as the rounds last", async () => {
  const { router, rounds } = roundsOver({ a: { owned: [[0, 0]] }, b: {} });
  assertEquals(await rounds.next(), ["a", "b"]);
  for (let round = 1; round < MOST_ROUNDS; round++) {
    router.words = round % 2 === 1 ? { a: {}, b: { owned: [[0, 0]] } } : { a: { owned: [[0, 0]] }, b: {} };
    assertEquals(await rounds.next(), [round % 2 === 1 ? "b" : "a"]);
  }
  router.words = { a: {}, b: { owned: [[0, 0]] } };
  assertEquals(await rounds.next(), [], "there is a limit");
});

test("slots that move later are not looked for: their keys were seen before", async () => {
  const { router, rounds } = roundsOver({ a: { owned: [[0, 9]] }, b: {} });
  await rounds.next();
  router.words = { a: { owned: [[1, 9]] }, b: { owned: [[0, 0]] } };
  assertEquals(await rounds.next(), ["b"]);
  router.words = { a: { owned: [[2, 9]] }, b: { owned: [[0, 1]] } };
  assertEquals(await rounds.next(), []);
});

test("a slot that no known node has is looked for by a refresh", async () => {
  const { router, rounds } = roundsOver({ a: { owned: [[0, 9]] } });
  await rounds.next();
  router.words = { a: { owned: [[1, 9]] } };
  router.onRefresh = () => {
    router.words = { ...router.words, new: { owned: [[0, 0]] } };
    router.move(0, "new");
  };
  assertEquals([await rounds.next(), router.refreshes], [["new"], 1]);
});

test("if nodes do not say which slots they have, the router's map counts, which is refreshed first", async () => {
  const { router, rounds } = roundsOver({ a: undefined, b: undefined, c: undefined });
  await rounds.next();
  router.move(7, "b");
  router.onRefresh = () => router.move(9, "c");
  assertEquals([await rounds.next(), router.refreshes], [["b", "c"], 1]);
  router.onRefresh = () => {};
  assertEquals([await rounds.next(), router.refreshes], [[], 2]);
});

test("the rounds reject with the signal's reason", async () => {
  const { router } = roundsOver({ a: {} });
  const leaving = new AbortController();
  router.slotsAt = () => leaving.signal.aborted ? Promise.reject(leaving.signal.reason) : Promise.resolve(undefined);
  const rounds = new ScanRounds(router as unknown as Router, { signal: leaving.signal });
  await rounds.next();
  leaving.abort(new Error("left"));
  await assertRejects(() => rounds.next(), Error, "left");
});
