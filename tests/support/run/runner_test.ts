// Tests that a test can fail: by an error, by hanging, by a leak (on Deno), and by not loading.

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { argumentsFor } from "./invocation.ts";
import { reasonsOf } from "./left_out.ts";
import { countTests, failuresOf, skippedIn } from "./junit.ts";
import { runtime, test } from "../runner.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));

interface Outcome {
  readonly code: number;
  readonly output: string;
  readonly report: string;
}

/** Runs a text as a test file on the runtime that runs this. */
async function runTests(source: string, variables: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  // Inside of the project, where the import map applies, and hidden from searches for test files.
  const folder = await mkdtemp(join(root, "tests", "support", ".tmp-"));
  try {
    const file = join(folder, "one_test.ts");
    const report = join(folder, "report.xml");
    await writeFile(file, source);
    const args = argumentsFor(runtime, { files: [relative(root, file).replaceAll("\\", "/")], report });
    // Node's runner would take itself for a part of the run that this test belongs to.
    const { NODE_TEST_CONTEXT: _, SEA_TEST_CLUSTER: __, ...env } = process.env;
    const { code, output } = await execute(args, { ...env, ...variables });
    return { code, output, report: await readFile(report, "utf8").catch(() => "") };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function execute(args: string[], env: NodeJS.ProcessEnv): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: root, env }, (error, stdout, stderr) => {
      const code = typeof error?.code === "number" ? error.code : error ? 1 : 0;
      resolve({ code, output: stdout + stderr });
    });
  });
}

const opening = `import { afterAll, test } from "../runner.ts"; import { assertEquals } from "@std/assert";`;

test("tests that pass, fail, hang and are left out are counted as such", async () => {
  const { code, report, output } = await runTests(`${opening}
    test("passes", () => assertEquals(1, 1));
    test("waits and passes", async () => { await new Promise((resolve) => setTimeout(resolve, 5)); });
    test("fails", () => assertEquals(1, 2));
    test("fails later", () => Promise.reject(new Error("later <&>")));
    test("hangs", () => new Promise(() => {}), { timeout: 50 });
    test("is left out", () => assertEquals(1, 2), { ignore: true });
  `);
  assertEquals(countTests(report), { passed: 2, failed: 3, skipped: 1 }, output);
  const failures = failuresOf(report);
  assertEquals(failures.map(({ name }) => name), ["fails", "fails later", "hangs"], report);
  assertStringIncludes(failures[1].text, "later <&>", report);
  assertStringIncludes(output, "The test did not end within 50 ms");
  assertNotEquals(code, 0);
});

test("tests that need one server are left out on a cluster, with the reason in their names", async () => {
  const source = `${opening} import { testOnOneServer } from "../runner.ts";
    test("runs everywhere", () => {});
    test("counts", () => {}, { oneServer: "it counts (one of each)", timeout: 10_000 });
    const testHere = testOnOneServer("it is alone");
    testHere("is alone", () => {}, { timeout: 10_000 });
    testHere("is alone, too", () => {});
  `;
  const alone = await runTests(source);
  assertEquals([countTests(alone.report), skippedIn(alone.report)], [{ passed: 4, failed: 0, skipped: 0 }, []]);
  const { code, report, output } = await runTests(source, { SEA_TEST_CLUSTER: "127.0.0.1:1" });
  assertEquals([code, countTests(report)], [0, { passed: 1, failed: 0, skipped: 3 }], output);
  const skipped = skippedIn(report);
  assertEquals(skipped[0], "counts (left out on a cluster: it counts (one of each))");
  assertEquals(reasonsOf([...skipped, "left out elsewhere"]), [
    "2 left out: it is alone",
    "1 left out: it counts (one of each)",
  ]);
});

test("a run in which nothing fails says so", async () => {
  const { code, report, output } = await runTests(`${opening}
    afterAll(() => console.log("after" + "wards"));
    test("passes", () => {});
  `);
  assertEquals(countTests(report), { passed: 1, failed: 0, skipped: 0 }, output);
  assertEquals(code, 0, output);
  assertStringIncludes(output, "afterwards");
});

test("a file that does not load fails the run", async () => {
  const { code } = await runTests(`${opening} throw new Error("does not load");`);
  assertNotEquals(code, 0);
});

test("a timer that outlives its test fails the test on Deno", async () => {
  const { code, output } = await runTests(`${opening}
    test("leaks", () => { setTimeout(() => {}, 1_000); });
  `);
  assertNotEquals(code, 0, output);
}, { ignore: runtime !== "deno" });

test("reports are counted whatever the texts in them", () => {
  const report = `<testsuites><testsuite tests="4">
    <testcase name="a &lt;testcase" time="0"/><testcase name="a > b"><failure message="x"/></testcase>
    <testcase name="c"><skipped/></testcase><testcase name="d" classname="&lt;failure"></testcase>
  </testsuite></testsuites>`;
  assertEquals(countTests(report), { passed: 2, failed: 1, skipped: 1 });
  assertEquals(countTests(""), { passed: 0, failed: 0, skipped: 0 });
  assertEquals(failuresOf(report), [{ name: "a > b", text: "x" }]);
});
