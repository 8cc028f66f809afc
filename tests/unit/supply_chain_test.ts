// Tests that the job that may publish installs nothing, and that workflows use pinned actions only.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env, execPath } from "node:process";
import { fileURLToPath } from "node:url";
import { runtime, test } from "../support/runner.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const workflows = join(root, ".github", "workflows");

async function textsOf(): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  for (const name of await readdir(workflows)) texts.set(name, await readFile(join(workflows, name), "utf8"));
  return texts;
}

/** The jobs of a workflow by their names, each with its lines; comments are left out. */
function jobsOf(text: string): ReadonlyMap<string, string> {
  const jobs = new Map<string, string>();
  const lines = text.split("\n").filter((line) => !/^\s*#/.test(line));
  let name: string | undefined;
  for (const line of lines.slice(lines.indexOf("jobs:") + 1)) {
    name = /^ {2}([\w-]+):$/.exec(line)?.[1] ?? name;
    if (name !== undefined) jobs.set(name, `${jobs.get(name) ?? ""}${line}\n`);
  }
  return jobs;
}

test("every action is pinned by a commit, with its version as a comment, the same one everywhere", async () => {
  const commits = new Map<string, string>();
  for (const [file, text] of await textsOf()) {
    for (const line of text.split("\n").filter((line) => /^\s*(- )?uses:/.test(line))) {
      const [, action, commit] = /uses: ([\w-]+\/[\w./-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)$/.exec(line) ?? [];
      assert(action !== undefined, `${file}: ${line}`);
      assertEquals(commit, commits.get(action) ?? commit, `${file}: ${line}`);
      commits.set(action, commit);
    }
  }
  assert(commits.size > 0, "there are actions");
});

test("only one job may write or publish, which waits for the checks and installs and runs only one file of ours", async () => {
  const texts = await textsOf();
  for (const [file, text] of texts) {
    assertMatch(text, /^permissions:\n {2}contents: read\n\n/m, `${file} may only read`);
    for (const [job, lines] of jobsOf(text)) {
      if (file === "publish.yml" && job === "publish") continue;
      assert(!/\bwrite/.test(lines), `${file}: ${job} may only read`);
    }
  }
  const jobs = jobsOf(texts.get("publish.yml") ?? "");
  assertStringIncludes(jobs.get("checks") ?? "", ".ci/run");
  const publish = jobs.get("publish") ?? "";
  assertMatch(publish, /^ {4}needs: checks$/m);
  const run = publish.split("\n").flatMap((line) => /run: (.*)$/.exec(line)?.[1] ?? []);
  assertEquals(run, [
    "deno run --no-config --allow-read=deno.json,README.md --allow-write=deno.json,README.md " +
    'tests/support/run/publish_config.ts "$TAG"',
    "deno publish --allow-dirty",
  ]);
  const actions = publish.split("\n").flatMap((line) => /uses: ([^@]+)@/.exec(line)?.[1] ?? []);
  assertEquals(actions, ["actions/checkout", "denoland/setup-deno"]);
});

/** Runs Deno in a folder. Downloads would use a closed port, and be found in its cache. */
async function deno(folder: string, args: readonly string[]) {
  const nowhere = "http://127.0.0.1:1";
  const variables = {
    ...env,
    DENO_DIR: join(folder, "cache"),
    HTTPS_PROXY: nowhere,
    HTTP_PROXY: nowhere,
    NO_COLOR: "1",
  };
  return await new Promise<{ readonly code: number; readonly output: string }>((resolve) => {
    execFile(execPath, args, { cwd: folder, env: variables }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : 1, output: stdout + stderr });
    });
  });
}

test(
  "the publishing job downloads nothing, with an empty cache, and checks and packs the published files",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "sea-publish-"));
    try {
      const { publish: { include }, version } = JSON.parse(await readFile(join(root, "deno.json"), "utf8"));
      const names: string[] = include.map((pattern: string) => pattern.split("/")[0]);
      for (
        const name of [...names.filter((name) => !name.includes("*")), "LICENSE", "tests/support/run"]
      ) {
        await cp(join(root, name), join(folder, name), { recursive: true });
      }
      const prepare = ["run", "--no-config", "--allow-read=deno.json,README.md", "--allow-write=deno.json,README.md"];
      const program = "tests/support/run/publish_config.ts";
      const wrong = await deno(folder, [...prepare, program, "v0.0.0"]);
      assertEquals(wrong.code, 1);
      assertMatch(wrong.output, /^Cannot publish version [\d.]+ with the tag v0\.0\.0/);
      const right = await deno(folder, [...prepare, program, `v${version}`]);
      assertEquals(right, { code: 0, output: "" });
      const { code, output } = await deno(folder, ["publish", "--dry-run", "--allow-dirty"]);
      assertEquals(code, 0, output);
      assertStringIncludes(output, "Success");
      assertStringIncludes(output, "/mod.ts");
      assert(!output.includes("Download"), output);
      for (const path of ["node_modules", "cache/npm", "cache/deps", "cache/remote"]) {
        assertEquals(await readdir(join(folder, path)).catch(() => []), [], path);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  },
  { ignore: runtime !== "deno", timeout: 90_000 },
);
