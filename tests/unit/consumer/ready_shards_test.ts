// Tests which shards of a connection are read next: step by step, and that no entry can arrive unnoticed, against a model of a server.

import { assert, assertEquals } from "@std/assert";
import { type Look, type LookOptions, ReadyShards } from "../../../streamer/consumer/server/ready_shards.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";

interface Shard {
  readonly redisKey: string;
}

/** Shards whose keys are their slot and a letter: `1a` and `1b` lie together. */
const shardsOf = (keys: string): Shard[] => keys.split(" ").map((redisKey) => ({ redisKey }));
const slotOf = (redisKey: string) => Number.parseInt(redisKey);
const none = () => false;
const all = () => true;

function readyShards(keys: string, options?: LookOptions): { ready: ReadyShards<Shard>; shards: Shard[] } {
  const ready = new ReadyShards<Shard>(options);
  const shards = shardsOf(keys);
  ready.keep(shards, slotOf);
  return { ready, shards };
}

/** The keys of each look, those that are armed marked by `!`. */
function shown(looks: readonly Look<Shard>[]): string {
  const marked = ({ shards, unarmed = [] }: Look<Shard>) =>
    shards.map((shard) => `${unarmed.includes(shard) ? "!" : ""}${shard.redisKey}`).join("+");
  return looks.map(marked).join(" ");
}

test("at first all shards are ready, those of one slot in one read", () => {
  const { ready } = readyShards("1a 2a 1b 3a");
  assertEquals(shown(ready.take(Infinity)), "1a+1b 2a 3a");
  assertEquals(shown(ready.take(Infinity)), "", "nothing is read twice at once");
});

test("at most so many shards are read at once, and the others have their turns first", () => {
  const { ready } = readyShards("1a 2a 1b 3a");
  const looks = ready.take(2);
  assertEquals(shown(looks), "1a+1b");
  for (const look of looks) ready.answered(look, all);
  assertEquals(shown(ready.take(1)), "2a");
  assertEquals(shown(ready.take(2)), "3a 1a", "also if the slot has more");
  assertEquals(shown(ready.take(9)), "1b");
});

test("a shard that brought less than requested is quiet until a push", () => {
  const { ready, shards } = readyShards("1a 2a");
  for (const look of ready.take(9)) ready.answered(look, none);
  assertEquals([shown(ready.take(9)), ready.isIdle], ["", true]);
  assertEquals([ready.changed(["2a", "9z"]), ready.changed(["2a"])], [true, false], "once");
  const [look] = ready.take(9);
  assertEquals([shown([look]), ready.isIdle], ["2a", false]);
  ready.answered(look, (shard) => shard === shards[1]);
  assertEquals(shown(ready.take(9)), "2a", "a full page is followed by another read");
});

test("a push while a read is in flight is followed by another read", () => {
  const { ready } = readyShards("1a");
  const [look] = ready.take(9);
  assertEquals(ready.changed(["1a"]), false);
  ready.answered(look, none);
  const [again] = ready.take(9);
  ready.answered(again, none);
  assertEquals([shown([again]), shown(ready.take(9))], ["1a", ""]);
});

test("after a flush all shards are read", () => {
  const { ready } = readyShards("1a 2a 3a");
  for (const look of ready.take(9)) ready.answered(look, none);
  assertEquals(ready.changed("all"), true);
  assertEquals(shown(ready.take(9)), "1a 2a 3a");
});

test("a shard is armed unless its last page was full, and is quiet if no push has come since it was armed", () => {
  const { ready } = readyShards("1a 1b", { arms: true });
  const flows = ({ redisKey }: Shard) => redisKey === "1a";
  const [first] = ready.take(9);
  ready.answered(first, flows);
  const [second] = ready.take(9);
  ready.answered(second, none);
  assertEquals([shown([first, second]), ready.isIdle], ["!1a+!1b 1a", true]);
  ready.changed(["1a"]);
  const [third] = ready.take(9);
  ready.answered(third, flows);
  const [fourth] = ready.take(9);
  ready.changed(["1a"]);
  ready.answered(fourth, none);
  assertEquals(shown([third, fourth, ...ready.take(9)]), "!1a 1a !1a", "it was no longer armed");
});

test("shards with full pages are read again before the answer, if reads may overlap", () => {
  const { ready } = readyShards("1a", { arms: true, overlaps: true });
  for (const look of ready.take(9)) ready.answered(look, all);
  const [one] = ready.take(9);
  const [two] = ready.take(9);
  assertEquals([shown([one]), shown([two])], ["1a", "1a"]);
  ready.answered(one, none);
  assertEquals(shown(ready.take(9)), "", "it has been read to its end");
  ready.changed(["1a"]);
  const [armed] = ready.take(9);
  assertEquals(shown([armed]), "!1a");
  ready.answered(two, none);
  ready.wake();
  assertEquals(shown(ready.take(9)), "", "the armed read decides");
  ready.answered(armed, none);
  assertEquals(ready.isIdle, true);
});

test("a shard whose armed read was refused is armed again, whatever other reads have brought", () => {
  const { ready } = readyShards("1a", { arms: true, overlaps: true });
  const next = () => ready.take(9)[0];
  ready.answered(next(), all);
  const [one, two] = [next(), next()];
  ready.answered(one, none);
  ready.changed(["1a"]);
  const armed = next();
  ready.answered(two, all);
  const three = next();
  assertEquals(shown([armed, three]), "!1a 1a");
  ready.failed(armed);
  ready.answered(three, none);
  assertEquals(shown(ready.take(9)), "!1a");
});

test("those that have been quiet for longest are woken first", () => {
  const { ready } = readyShards("1a 2a 3a");
  const [one, two, three] = ready.take(9);
  for (const look of [two, three, one]) ready.answered(look, none);
  ready.wake(2);
  for (const look of ready.take(9)) ready.answered(look, none);
  ready.wake(2);
  assertEquals(shown(ready.take(9)), "1a 2a");
  ready.wake();
  assertEquals(shown(ready.take(9)), "3a");
});

test("a shard that is held back is read after its release, whatever is pushed before", () => {
  const { ready, shards: [held] } = readyShards("1a 2a");
  const [one, two] = ready.take(9);
  ready.failed(one);
  ready.hold(held);
  ready.answered(two, none);
  assertEquals([ready.changed(["1a"]), ready.changed("all"), shown(ready.take(9))], [false, true, "2a"]);
  ready.release(held);
  ready.release(held);
  assertEquals(shown(ready.take(9)), "1a");
});

test("a shard that is held back with a read in flight waits for its answer, too", () => {
  const { ready, shards: [held] } = readyShards("1a");
  const [look] = ready.take(9);
  ready.hold(held);
  ready.release(held);
  assertEquals(shown(ready.take(9)), "");
  ready.answered(look, none);
  assertEquals(ready.isIdle, true);
});

test("a shard that is removed is forgotten with its reads in flight, and is new when it comes back", () => {
  const { ready, shards } = readyShards("1a 2a");
  const [one] = ready.take(9);
  ready.keep([shards[1]], slotOf);
  assertEquals([ready.has(shards[0]), ready.has(shards[1])], [false, true]);
  ready.keep(shards, slotOf);
  ready.answered(one, none);
  const [again] = ready.take(9);
  assertEquals(shown([again]), "1a");
  assertEquals(shown(ready.take(9)), "", "the other one is still in flight");
});

test("after a lost connection all shards are read, those that were in flight first", () => {
  const { ready, shards } = readyShards("1a 2a 3a 4a", { arms: true });
  for (const look of ready.take(9)) ready.answered(look, all);
  ready.hold(shards[3]);
  ready.take(1);
  ready.take(1);
  ready.changed(["3a"]);
  ready.lost();
  assertEquals(shown(ready.take(9)), "!1a !2a !3a");
  ready.release(shards[3]);
  assertEquals(shown(ready.take(9)), "!4a");
});

/** A server with one connection: how many entries each key has that were not read, which keys are armed, and what is on its way. */
class Model {
  readonly entries = new Map<string, number>();
  readonly armed = new Set<string>();
  /** How many entries of each key are pending for another consumer. */
  readonly left = new Map<string, number>();
  /** Answers and pushes in the order in which they arrive. */
  readonly wire: (() => void)[] = [];
  readonly ready: ReadyShards<Shard>;
  readonly #options: LookOptions;
  #inbox: Look<Shard>[] = [];

  constructor(shards: readonly Shard[], options: LookOptions) {
    this.#options = options;
    this.ready = new ReadyShards(options);
    this.ready.keep(shards, slotOf);
    for (const { redisKey } of shards) this.entries.set(redisKey, 0);
  }

  add(redisKey: string): void {
    this.entries.set(redisKey, (this.entries.get(redisKey) ?? 0) + 1);
    if (this.armed.delete(redisKey)) this.wire.push(() => void this.ready.changed([redisKey]));
  }

  /** Another consumer is delivered all entries of a key. The server does not push that. */
  take(redisKey: string): void {
    this.left.set(redisKey, (this.left.get(redisKey) ?? 0) + (this.entries.get(redisKey) ?? 0));
    this.entries.set(redisKey, 0);
  }

  send(width: number): void {
    this.#inbox.push(...this.ready.take(width));
  }

  /** The server refuses the next command, and the arming before it. */
  refuse(): void {
    const look = this.#inbox.shift();
    if (look !== undefined) this.wire.push(() => this.ready.failed(look));
  }

  /** The server runs the next command; `between` happens between the arming and the read. */
  run(count: number, between: () => void): void {
    const look = this.#inbox.shift();
    if (look === undefined) return;
    for (const { redisKey } of this.#options.arms ? look.unarmed ?? [] : look.shards) this.armed.add(redisKey);
    if (this.#options.arms) between();
    const full = new Set<Shard>();
    let isEmpty = true;
    for (const shard of look.shards) {
      const left = this.entries.get(shard.redisKey) ?? 0;
      if (left > 0) isEmpty = false;
      if (left >= count) full.add(shard);
      this.entries.set(shard.redisKey, Math.max(0, left - count));
    }
    this.wire.push(() => this.ready.answered(look, (shard) => full.has(shard), isEmpty));
  }

  receive(): void {
    this.wire.shift()?.();
  }

  get isQuiet(): boolean {
    return this.wire.length === 0 && this.#inbox.length === 0;
  }

  lose(): void {
    this.wire.length = 0;
    this.#inbox = [];
    this.armed.clear();
    this.ready.lost();
  }
}

const seed = freshSeed();

for (const options of [{}, { arms: true }, { arms: true, overlaps: true }]) {
  test(`whatever happens between arming, reads and pushes, all entries are read in the end (${JSON.stringify(options)}, seed ${seed})`, () => {
    const random = new Random(seed);
    for (let round = 0; round < 300; round++) {
      const shards = shardsOf("1a 1b 2a 3a 4a 5a").slice(0, 1 + random.below(6));
      const model = new Model(shards, options);
      const add = () => model.add(random.of(shards).redisKey);
      for (let step = 0; step < 300; step++) {
        switch (random.below(6)) {
          case 0:
            add();
            break;
          case 1:
            model.send(1 + random.below(4));
            break;
          case 2:
            if (random.once(40)) model.lose();
            else if (random.once(10)) model.refuse();
            break;
          case 3:
            model.run(1 + random.below(3), () => random.once(2) && add());
            break;
          default:
            model.receive();
        }
      }
      for (let step = 0; step < 10_000; step++) {
        if (model.isQuiet && model.ready.isIdle) break;
        model.send(Infinity);
        model.run(2, () => {});
        model.receive();
      }
      assert(model.isQuiet && model.ready.isIdle, "it comes to rest");
      assertEquals([...model.entries.values()].filter((left) => left > 0), [], "nothing is left unread");
    }
  });
}

test("a shard that is quiet has a span, which a push, an entry or a doubt ends, and an empty read does not", () => {
  const { ready, shards: [shard] } = readyShards("1a 2a", { arms: true });
  const readAll = (isEmpty: boolean) => {
    for (const look of ready.take(9)) ready.answered(look, none, isEmpty);
    return ready.quietSpan(shard);
  };
  assertEquals(ready.quietSpan(shard), undefined, "it has not been read");
  let span = readAll(false);
  assert(span !== undefined);
  ready.wake(2); // a heartbeat
  assert(ready.quietSpan(shard) === span, "while it is read");
  assert(readAll(true) === span);
  const ends: [string, () => void][] = [
    ["a push", () => ready.changed(["1a"])],
    ["a flush", () => ready.changed("all")],
    ["a moved group", () => ready.wake()],
    ["a lost connection", () => ready.lost()],
    ["a refusal", () => {
      ready.wake(2);
      for (const look of ready.take(9)) ready.failed(look);
    }],
    ["a delay", () => {
      ready.hold(shard);
      ready.release(shard);
    }],
  ];
  for (const [what, end] of ends) {
    end();
    assertEquals(ready.quietSpan(shard), undefined, what);
    const next = readAll(true);
    assert(next !== undefined && next !== span, what);
    span = next;
  }
  ready.wake(2);
  assert(readAll(false) !== span, "an entry without a push");
  ready.remove(shard);
  assertEquals(ready.quietSpan(shard), undefined);
});

test("a shard whose push comes while a read is in flight has no span until the next read", () => {
  const { ready, shards: [shard] } = readyShards("1a", { arms: true });
  const [look] = ready.take(9);
  ready.changed(["1a"]);
  ready.answered(look, none, true);
  assertEquals(ready.quietSpan(shard), undefined);
  const [again] = ready.take(9);
  ready.answered(again, none, true);
  assert(ready.quietSpan(shard) !== undefined);
});

test(`nothing becomes pending for another consumer within a span in which nothing was pending (seed ${seed})`, () => {
  const random = new Random(seed);
  let checked = 0;
  for (let round = 0; round < 300; round++) {
    const shards = shardsOf("1a 1b 2a 3a").slice(0, 1 + random.below(4));
    const model = new Model(shards, { arms: true, overlaps: true });
    const settled = new Map<Shard, object>();
    for (let step = 0; step < 400; step++) {
      const shard = random.of(shards);
      const { redisKey } = shard;
      const span = model.ready.quietSpan(shard);
      const act = random.below(9);
      if (act === 0 && random.once(4)) model.add(redisKey);
      else if (act === 1) model.take(redisKey);
      else if (act === 2) model.left.set(redisKey, 0); // it acknowledges them
      else if (act === 3) model.send(1 + random.below(4));
      else if (act === 4) model.run(1 + random.below(3), () => random.once(2) && model.add(redisKey));
      else if (act === 5 && random.once(10)) model.refuse();
      else if (act === 6 && random.once(4)) model.ready.wake(1); // a heartbeat
      else if (act === 7 && span !== undefined && (model.left.get(redisKey) ?? 0) === 0) settled.set(shard, span); // a scan
      else model.receive();
    }
    while (model.wire.length > 0) model.receive();
    for (const [shard, span] of settled) {
      if (model.ready.quietSpan(shard) !== span) continue;
      assertEquals(model.left.get(shard.redisKey) ?? 0, 0);
      checked++;
    }
  }
  assert(checked > 50, `${checked} spans`);
});
