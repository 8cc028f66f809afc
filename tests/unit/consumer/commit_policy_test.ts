// Tests the decision when acknowledgements are sent.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import type { AutoCommit, CommitPolicy } from "../../../streamer/consumer/group_options.ts";
import { type CommitState, decideCommit, MAX_UNSENT } from "../../../streamer/consumer/lifecycle/commit_policy.ts";
import { Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";

const policy = (autoCommit: AutoCommit): CommitPolicy => ({ autoCommit, delay: 5_000, interval: 1_000 });

const nothing: CommitState = { unsent: 0, unsentSince: undefined, oldestDelivery: undefined, lastSent: -Infinity };

test("with any policy, nothing is sent for nothing", () => {
  for (const autoCommit of ["delayed", "immediate", "rolling", "disabled"] as const) {
    for (const lastSent of [-Infinity, 0, 99]) {
      assertEquals(decideCommit(policy(autoCommit), { ...nothing, lastSent }, 100), { kind: "idle" }, autoCommit);
    }
  }
});

test("disabled never sends by itself, whatever the number and age", () => {
  for (const unsent of [1, MAX_UNSENT, MAX_UNSENT * 100]) {
    const state = { ...nothing, unsent, unsentSince: 0, oldestDelivery: 0 };
    assertEquals(decideCommit(policy("disabled"), state, 1e12), { kind: "idle" });
  }
});

test("delayed sends messages returned at least its delay ago, and no younger ones", () => {
  const state = { ...nothing, oldestDelivery: 100 };
  assertEquals(decideCommit(policy("delayed"), state, 100), { kind: "wait", at: 5_100 });
  assertEquals(decideCommit(policy("delayed"), state, 5_099), { kind: "wait", at: 5_100 });
  assertEquals(decideCommit(policy("delayed"), state, 5_100), { kind: "send", until: 100 });
  assertEquals(decideCommit(policy("delayed"), state, 6_000), { kind: "send", until: 1_000 });
});

test("delayed keeps its interval after the last command", () => {
  const state = { ...nothing, oldestDelivery: 100, lastSent: 5_000 };
  assertEquals(decideCommit(policy("delayed"), state, 5_500), { kind: "wait", at: 6_000 });
  assertEquals(decideCommit(policy("delayed"), state, 6_000), { kind: "send", until: 1_000 });
});

test("delayed without delay and interval sends at once", () => {
  const hasty = { autoCommit: "delayed", delay: 0, interval: 0 } as const;
  assertEquals(decideCommit(hasty, { ...nothing, oldestDelivery: 7 }, 7), { kind: "send", until: 7 });
});

test("rolling sends an interval after the first waiting ack, and ignores messages that were only returned", () => {
  const acked = { ...nothing, unsent: 1, unsentSince: 100 };
  assertEquals(decideCommit(policy("rolling"), acked, 100), { kind: "wait", at: 1_100 });
  assertEquals(decideCommit(policy("rolling"), acked, 1_100).kind, "send");
  assertEquals(decideCommit(policy("rolling"), { ...nothing, oldestDelivery: 0 }, 1e9), { kind: "idle" });
});

test("acks that exceed the bound are sent early", () => {
  const full = { ...nothing, unsent: MAX_UNSENT, unsentSince: 100, lastSent: 99 };
  assertEquals(decideCommit(policy("rolling"), full, 101).kind, "send");
  assertEquals(decideCommit(policy("rolling"), { ...full, unsent: MAX_UNSENT - 1 }, 101).kind, "wait");
});

test("immediate acknowledges at once entries that the server still counts as pending", () => {
  assertEquals(decideCommit(policy("immediate"), { ...nothing, unsent: 3, unsentSince: 50 }, 50).kind, "send");
});

for (const seed of [1, 2, 3]) {
  test(`a wait is for the future, ends with a command, and never acknowledges anything early (seed ${seed})`, () => {
    const random = new Random(seed);
    for (let round = 0; round < 5_000; round++) {
      const autoCommit = random.of(["delayed", "rolling"] as const);
      const rules = { autoCommit, delay: random.below(5_000), interval: random.below(2_000) };
      const now = random.below(10_000);
      const unsent = random.once(2) ? 0 : 1 + random.below(MAX_UNSENT - 1);
      const state: CommitState = {
        unsent,
        unsentSince: unsent === 0 ? undefined : random.below(now + 1),
        oldestDelivery: random.once(2) ? undefined : random.below(now + 1),
        lastSent: random.once(3) ? -Infinity : random.below(now + 1),
      };
      const decision = decideCommit(rules, state, now);
      if (decision.kind === "idle") {
        assert(unsent === 0 && (autoCommit === "rolling" || state.oldestDelivery === undefined));
      } else if (decision.kind === "wait") {
        assert(decision.at > now);
        assertLessOrEqual(decision.at - now, Math.max(rules.delay, rules.interval));
        assertEquals(decideCommit(rules, state, decision.at).kind, "send");
      } else if (autoCommit === "delayed") {
        assertEquals(decision.until, now - rules.delay);
        const due = state.oldestDelivery !== undefined && state.oldestDelivery <= decision.until;
        assert(due || unsent > 0, "a sending sends something");
      }
    }
  });
}
