// Owns the proof of how several nodes are asked one question: in turn, without waiting long for any of them.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { survey, type SurveyOptions } from "../../../../streamer/cluster/refresh/survey.ts";
import { test } from "../../../support/runner.ts";
import { FakeClock, settle } from "../../connection/fakes.ts";

/** Candidates that answer when the test says so. `judge` is asked for nothing but the number of answers that suffice. */
function world(names: string, options: { readonly enough?: number; readonly most?: number } = {}) {
  const { enough = 1, most } = options;
  const clock = new FakeClock();
  const aborting = new AbortController();
  const asked: string[] = [];
  const cancelled: string[] = [];
  const judged: string[] = [];
  const open = new Map<string, PromiseWithResolvers<string>>();
  const request: SurveyOptions<string, string, string> = {
    clock,
    candidates: names === "" ? [] : names.split(" "),
    most,
    ask: (name, signal) => {
      asked.push(name);
      const answer = Promise.withResolvers<string>();
      open.set(name, answer);
      signal.addEventListener("abort", () => cancelled.push(name));
      return answer.promise;
    },
    judge: (answers, isExhausted) => {
      judged.push(`${answers.join("")}${isExhausted ? "!" : ""}`);
      return answers.length >= enough || isExhausted ? answers.join("") : undefined;
    },
    signal: aborting.signal,
  };
  let outcome: unknown = "open";
  const result = survey(request);
  result.then((value) => outcome = value, (error) => outcome = error);
  const answer = async (name: string) => {
    open.get(name)?.resolve(name);
    await settle();
  };
  const refuse = async (name: string) => {
    open.get(name)?.reject(new Error(name));
    await settle();
  };
  return { clock, aborting, asked, cancelled, judged, answer, refuse, result, outcome: () => outcome };
}

test("one is asked, and its answer is enough", async () => {
  const { clock, asked, answer, outcome, judged } = world("a b c");
  await settle();
  assertEquals([asked, outcome()], [["a"], "open"]);
  await answer("a");
  assertEquals([asked, outcome(), judged, clock.running], [["a"], "a", ["a"], 0]);
});

test("after half a second of silence the next one is asked too, and a frozen one holds up nobody", async () => {
  const { clock, asked, cancelled, answer, outcome } = world("frozen b c");
  await clock.pass(499);
  assertEquals(asked, ["frozen"]);
  await clock.pass(1);
  assertEquals(asked, ["frozen", "b"]);
  await answer("b");
  assertEquals([outcome(), cancelled, clock.running], ["b", ["frozen", "b"], 0]);
});

test("an answer that does not suffice, and a refusal, let the next one be asked at once", async () => {
  const { asked, answer, refuse, outcome, judged } = world("a b c d", { enough: 2 });
  await answer("a");
  assertEquals(asked, ["a", "b"]);
  await refuse("b");
  assertEquals(asked, ["a", "b", "c"]);
  await answer("c");
  assertEquals([outcome(), judged], ["ac", ["a", "a", "ac"]]);
});

test("answers count in the order in which they come", async () => {
  const { clock, answer, outcome } = world("a b c", { enough: 3 });
  await clock.pass(1_000);
  for (const name of ["c", "a", "b"]) await answer(name);
  assertEquals(outcome(), "cab");
});

test("with no candidates it is judged at once", async () => {
  const { result, judged, clock } = world("");
  assertEquals([await result, judged, clock.running], ["", ["!"], 0]);
});

test("when all have rejected, there is nothing but the judgement of no answer", async () => {
  const { asked, refuse, outcome, judged, clock } = world("a b c");
  for (const name of ["a", "b", "c"]) await refuse(name);
  assertEquals([asked, outcome(), judged, clock.running], [["a", "b", "c"], "", ["", "", "!"], 0]);
});

test("it is exhausted only when the slow ones have answered too", async () => {
  const { clock, refuse, answer, outcome } = world("slow b", { enough: 3 });
  await clock.pass(500);
  await refuse("b");
  await clock.pass(60_000);
  assertEquals(outcome(), "open");
  await answer("slow");
  assertEquals(outcome(), "slow");
});

test("it is exhausted after the greatest number of answers", async () => {
  const { asked, answer, outcome } = world("a b c d", { enough: 4, most: 2 });
  await answer("a");
  await answer("b");
  assertEquals([asked, outcome()], [["a", "b"], "ab"]);
});

test("after the end nobody is judged or asked any more, also if an answer comes", async () => {
  const { clock, asked, answer, refuse, judged, outcome } = world("a b c");
  await clock.pass(600);
  await answer("b");
  await answer("a");
  await refuse("c");
  await clock.pass(60_000);
  assertEquals([asked, judged, outcome()], [["a", "b"], ["b"], "b"]);
});

test("the signal ends it: the questions are cancelled, nothing is judged any more, and no timer is left", async () => {
  const { clock, aborting, asked, cancelled, answer, judged, result } = world("a b c");
  await clock.pass(500);
  const reason = new Error("aborted");
  aborting.abort(reason);
  const error = await assertRejects(() => result);
  await answer("a");
  await clock.pass(60_000);
  assert(error === reason);
  assertEquals([asked, cancelled, judged, clock.running], [["a", "b"], ["a", "b"], [], 0]);
});

test("with a signal that is aborted already nobody is asked", async () => {
  const aborted = AbortSignal.abort(new Error("before"));
  let asked = 0;
  const result = survey({
    clock: new FakeClock(),
    candidates: ["a"],
    ask: () => Promise.resolve(++asked),
    judge: () => "judged",
    signal: aborted,
  });
  assert(await assertRejects(() => result) === aborted.reason);
  assertEquals(asked, 0);
});
