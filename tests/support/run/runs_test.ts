// Tests how runs are named, which ones a day and a matrix have, and how their outcomes are told.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "../runner.ts";
import { afterRepeat, type Ended, failedRun, outcomeOf, outcomeOfAll, summaryOf, sumOf, tableOf } from "./outcome.ts";
import { piecesOf } from "./pieces.ts";
import { labelOf, parseRun, parseServers, type Run, runsOfDay, runsOfMatrix, RUNTIMES, wordOf } from "./runs.ts";

const DAY = 86_400_000;

test("a run is named by its runtime, its cluster and its server", () => {
  const table: readonly (readonly [word: string, run: Run, label: string])[] = [
    ["deno", { runtime: "deno", cluster: false, server: undefined }, "deno"],
    ["bun@cluster", { runtime: "bun", cluster: true, server: undefined }, "bun@cluster"],
    ["node@/opt/redis 8/srv.sh redis8", {
      runtime: "node",
      cluster: false,
      server: "/opt/redis 8/srv.sh redis8",
    }, "node@srv.sh redis8"],
    [
      "node@cluster:C:\\valkey.exe",
      { runtime: "node", cluster: true, server: "C:\\valkey.exe" },
      "node@cluster@valkey.exe",
    ],
    ["deno@cluster-server", { runtime: "deno", cluster: false, server: "cluster-server" }, "deno@cluster-server"],
  ];
  for (const [word, run, label] of table) {
    assertEquals([parseRun(word), labelOf(run), wordOf(run)], [run, label, word]);
  }
  for (const word of ["", "Deno", "tests/server/a_test.ts", "node-server", "--jsr"]) {
    assertEquals(parseRun(word), undefined, word);
  }
});

test("each day the cluster and each further server meet another runtime, and all of them within three days", () => {
  const servers = parseServers(" /a/redis-server ;/b/valkey-server;; ");
  assertEquals(servers, ["/a/redis-server", "/b/valkey-server"]);
  const days = [0, 1, 2].map((day) => runsOfDay((20_000 + day) * DAY + 5, servers));
  for (const runs of days) {
    assertEquals(runs.slice(0, 3).map(wordOf), [...RUNTIMES]);
    assertEquals(new Set(runs.slice(3).map(({ runtime }) => runtime)).size, 3, "no two on one runtime");
  }
  for (const at of [3, 4, 5]) {
    assertEquals(new Set(days.map((runs) => runs[at].runtime)), new Set(RUNTIMES));
    assertEquals(new Set(days.map((runs) => runs[at].server)).size, 1);
  }
  assertEquals(days[0].map(({ cluster }) => cluster), [false, false, false, true, false, false]);
  const clusters = days.map((runs) => runs.slice(0, 3).filter(({ withoutClusters }) => !withoutClusters));
  assertEquals(clusters.map((runs) => runs.length), [1, 1, 1], "one runtime has clusters of its own");
  assertEquals(new Set(clusters.map(([{ runtime }]) => runtime)), new Set(RUNTIMES));
  assertEquals(days.every((runs, at) => runs[3].runtime !== clusters[at][0].runtime), true);
  assertEquals(runsOfDay(20_003 * DAY, servers), days[0]);
});

test("pieces have each file once, and the slow ones are spread", () => {
  const slow = Array.from({ length: 9 }, (_, at) => `tests/faults/cluster/${at}_test.ts`);
  const fast = Array.from({ length: 60 }, (_, at) => `tests/unit/${at}_test.ts`);
  const pieces = piecesOf([...fast, ...slow]);
  assertEquals(pieces.flat().sort(), [...fast, ...slow].sort());
  assertEquals(pieces.map((piece) => piece.filter((file) => slow.includes(file)).length), [3, 2, 2, 2]);
  assertEquals(piecesOf(["tests/unit/a_test.ts", "tests/unit/b_test.ts"]).length, 1);
  assertEquals(piecesOf([]), [[]]);
});

test("a matrix has every runtime on every server and its cluster", () => {
  const words = runsOfMatrix([undefined, "/b/valkey-server"]).map(wordOf);
  assertEquals(words.slice(0, 6), [...RUNTIMES, ...RUNTIMES.map((runtime) => `${runtime}@cluster`)]);
  assertEquals(words[8], "node@/b/valkey-server");
  assertEquals(words[11], "node@cluster:/b/valkey-server");
});

test("the summary and the table of outcomes name the failed tests", () => {
  const report =
    `<testcase name="a"/><testcase name="b | c"><failure message="no"/></testcase><testcase name="d"><skipped/>`;
  const [deno, bun, node] = runsOfMatrix([undefined]);
  const pieces = [outcomeOf(`<testcase name="a"/>`, 0, undefined), outcomeOf(report, 1, undefined)];
  const all: Ended[] = [
    [deno, outcomeOf(report, 1, undefined)],
    [bun, failedRun("it crashed")],
    [node, outcomeOfAll(pieces)],
  ];
  const summary = summaryOf(all);
  assertStringIncludes(summary, "deno FAILED  b | c");
  assertStringIncludes(summary, "bun FAILED  the run as a whole\nit crashed");
  assertEquals(summary.split("\n").slice(-4), [
    "deno  1 passed, 1 failed, 1 left out",
    "bun   0 passed, 1 failed",
    "node  2 passed, 1 failed, 1 left out",
    "3 passed, 3 failed",
  ]);
  assertEquals([sumOf(all, "passed"), sumOf(all, "failed")], [3, 3]);
  const table = tableOf(all, { server: () => "Redis 7.0.15", runtime: ({ runtime }) => `${runtime} 1.0` });
  assertEquals(table.split("\n"), [
    "| server | deno 1.0 | bun 1.0 | node 1.0 |",
    "| --- | --- | --- | --- |",
    "| Redis 7.0.15 | 1 passed, 1 failed, 1 left out | 0 passed, 1 failed | 2 passed, 1 failed, 1 left out |",
    "",
    "Failed:",
    "",
    "- deno: b | c",
    "- bun: the run as a whole",
    "- node: b | c",
  ]);
});

test("a run without a passed test, and one that crashes, is a failure", () => {
  const passed = `<testcase name="a"/>`;
  assertEquals(outcomeOf("", 0, undefined).failures[0].text, "no test ran");
  assertEquals(outcomeOf("", 0, "text").failed, 0);
  assertEquals(outcomeOf(passed, 1, undefined).failures[0].text, "it ended with code 1 although no test failed");
  assertEquals([outcomeOf(passed, 0, undefined).passed, outcomeOf(passed, 0, undefined).failed], [1, 0]);
});

test("a failed test that passes alone is named as unstable, and one that fails again has failed", () => {
  const run: Run = { runtime: "deno", cluster: false, server: undefined };
  const failures = [{ name: "late", text: "too late" }, { name: "wrong", text: "1 is not 2" }];
  const first = { passed: 10, failed: 2, skipped: 0, leftOut: [], failures };
  const after = afterRepeat(first, new Set(["late"]));
  assertEquals([after.passed, after.failed, after.unstable], [11, 1, ["late"]]);
  const summary = summaryOf([[run, after]]);
  assertStringIncludes(summary, "deno FAILED  wrong\n1 is not 2");
  assertStringIncludes(summary, "deno UNSTABLE  late: failed, and passed when it ran alone");
  assertEquals(summary.includes("too late"), false);
  assertStringIncludes(summary, "11 passed, 1 failed");
});
