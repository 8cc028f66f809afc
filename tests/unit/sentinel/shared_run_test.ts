// Owns the proof that callers share a run, and that it ends with the last of them.

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { SharedRun } from "../../../streamer/cluster/sentinel/shared_run.ts";
import { test } from "../../support/runner.ts";

function world() {
  const runs: (PromiseWithResolvers<string> & { readonly signal: AbortSignal })[] = [];
  const shared = new SharedRun((signal) => {
    const run = { ...Promise.withResolvers<string>(), signal };
    signal.addEventListener("abort", () => run.reject(signal.reason));
    runs.push(run);
    return run.promise;
  });
  return { shared, runs };
}

const forever = new AbortController().signal;

test("callers at the same time share a run, and later ones start another", async () => {
  const { shared, runs } = world();
  const both = [shared.run(forever), shared.run(forever)];
  assertEquals(runs.length, 1);
  runs[0].resolve("a");
  assertEquals(await Promise.all(both), ["a", "a"]);
  const later = shared.run(forever);
  assertEquals(runs.length, 2);
  runs[1].reject(new Error("failed"));
  await assertRejects(() => later, Error, "failed");
});

test("a caller that leaves does not end the run of the others; the last one does", async () => {
  const { shared, runs } = world();
  const [one, two] = [new AbortController(), new AbortController()];
  const both = [shared.run(one.signal), shared.run(two.signal)].map((run) => run.catch((error) => error));
  const reason = new Error("left");
  one.abort(reason);
  assertStrictEquals(await both[0], reason);
  assertEquals(runs[0].signal.aborted, false);
  two.abort(reason);
  assertStrictEquals(await both[1], reason);
  assertEquals(runs[0].signal.aborted, true);
  const later = shared.run(forever);
  assertEquals(runs.length, 2);
  runs[1].resolve("b");
  assertEquals(await later, "b");
});

test("an aborted signal starts nothing", async () => {
  const { shared, runs } = world();
  const reason = new Error("no");
  assertStrictEquals(await assertRejects(() => shared.run(AbortSignal.abort(reason))), reason);
  assertEquals(runs.length, 0);
});
