// The empty projects into which the package is installed: how each is set up, type-checked and run.

import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findRuntime } from "../run/runtimes.ts";
import { onPath } from "../servers/server_binary.ts";
import type { Archive } from "./archive.ts";
import { run } from "./command.ts";

/** A project of a user. */
export interface Project {
  readonly name: string;
  /** Sets the project up in an empty folder, type-checks the program, and returns the commands that run it. */
  prepare(folder: string, archive: Archive): Promise<Commands>;
}

/** The words in front of the arguments. */
export interface Commands {
  /** Runs the program. */
  readonly program: readonly string[];
  /** Runs the command line of the package. */
  readonly commandLine: readonly string[];
}

const PROGRAM = "program.ts";
const INSTALLED_COMMAND_LINE = "node_modules/@sea/streamer-redis/cli.js";

/** Every name of the library and of ECMAScript 2023 must do: neither the DOM library nor `skipLibCheck`. */
const PLAIN = {
  strict: true,
  target: "es2022",
  lib: ["es2023"],
  module: "nodenext",
  moduleResolution: "nodenext",
  noEmit: true,
};

/** The strictest options there are, with declarations of the program itself. */
const STRICTEST = {
  ...PLAIN,
  noEmit: false,
  declaration: true,
  outDir: "out",
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noPropertyAccessFromIndexSignature: true,
  noImplicitOverride: true,
  verbatimModuleSyntax: true,
};

const BUNDLED = { ...PLAIN, module: "preserve", moduleResolution: "bundler" };
const WITH_DOM = { ...PLAIN, lib: ["esnext", "dom", "dom.iterable"] };

/** The compilers, and the options with which each type-checks the program; a type check takes seconds. */
const COMPILERS: readonly (readonly [string, readonly object[]])[] = [
  ["5.9", [PLAIN]],
  ["6", [PLAIN, STRICTEST, BUNDLED, WITH_DOM]],
];

/** All projects. */
export const PROJECTS: readonly Project[] = [
  ...COMPILERS.map(([version, variants]): Project => ({
    name: `Node, TypeScript ${version} and @types/node`,
    prepare: async (folder, { tarball }) => {
      await begin(folder);
      await install(folder, [tarball], [`typescript@~${version}`, "@types/node"]);
      for (const options of variants) await compile(folder, { ...options, types: ["node"] });
      return commandsOf([await findRuntime("node")]);
    },
  })),
  {
    name: "Bun, TypeScript 6 and @types/bun",
    prepare: async (folder, { tarball }) => {
      await begin(folder);
      await bunAdd(folder, [tarball], ["typescript@~6", "@types/bun"]);
      await compile(folder, { ...PLAIN, types: ["bun"] });
      return commandsOf([await findRuntime("bun")]);
    },
  },
  {
    name: "Bun, a project of `bun init`",
    prepare: async (folder, { tarball }) => {
      const bun = await findRuntime("bun");
      await run([bun, "init", "--yes"], { cwd: folder });
      await bunAdd(folder, [tarball], []);
      await copyProgram(folder);
      await tsc(folder, ["--skipLibCheck", "false"]); // all else as the project has it
      return commandsOf([bun]);
    },
  },
  {
    name: "Deno, from JSR",
    prepare: async (folder, { sources }) => {
      const { name, version } = JSON.parse(await readFile(join(sources, "deno.json"), "utf8"));
      const imports = { [name]: `jsr:${name}@^${version}` };
      await write(folder, "deno.json", { links: [sources], imports, nodeModulesDir: "none" });
      return await denoProject(folder, `jsr:${name}/cli`);
    },
  },
  {
    name: "Deno, from npm",
    prepare: async (folder, { tarball }) => {
      await begin(folder);
      await write(folder, "deno.json", { nodeModulesDir: "manual" });
      // The type checker takes the types of node:path and others from npm.
      await install(folder, [tarball], ["@types/node"]);
      return await denoProject(folder, INSTALLED_COMMAND_LINE);
    },
  },
];

function commandsOf(runtime: readonly string[], commandLine: string = INSTALLED_COMMAND_LINE): Commands {
  return { program: [...runtime, PROGRAM], commandLine: [...runtime, commandLine] };
}

async function denoProject(folder: string, commandLine: string): Promise<Commands> {
  await copyProgram(folder);
  await run([Deno.execPath(), "check", PROGRAM], { cwd: folder });
  return commandsOf([Deno.execPath(), "run", "--no-prompt", "-A"], commandLine);
}

async function begin(folder: string): Promise<void> {
  await write(folder, "package.json", { name: "project", private: true, type: "module" });
  await copyProgram(folder);
}

async function copyProgram(folder: string): Promise<void> {
  await cp(fileURLToPath(new URL("./program.ts", import.meta.url)), join(folder, PROGRAM));
}

async function write(folder: string, name: string, value: unknown): Promise<void> {
  await writeFile(join(folder, name), JSON.stringify(value, null, 2));
}

/** Installs packages with npm; on a machine without npm, with Bun. */
async function install(folder: string, packages: readonly string[], tools: readonly string[]): Promise<void> {
  const npm = await onPath("npm", (path) => !path.includes("node_modules"));
  if (npm === undefined) return await bunAdd(folder, packages, tools);
  const quiet = ["--no-audit", "--no-fund", "--ignore-scripts"];
  await run([npm, "install", ...quiet, ...packages], { cwd: folder });
  await run([npm, "install", ...quiet, "--save-dev", ...tools], { cwd: folder });
}

async function bunAdd(folder: string, packages: readonly string[], tools: readonly string[]): Promise<void> {
  const bun = await findRuntime("bun");
  await run([bun, "add", ...packages], { cwd: folder });
  if (tools.length > 0) await run([bun, "add", "--dev", ...tools], { cwd: folder });
}

async function compile(folder: string, compilerOptions: object): Promise<void> {
  await write(folder, "tsconfig.json", { compilerOptions, files: [PROGRAM] });
  await tsc(folder, []);
}

async function tsc(folder: string, args: readonly string[]): Promise<void> {
  const compiler = join(folder, "node_modules", "typescript", "bin", "tsc");
  await run([await findRuntime("node"), compiler, "--project", ".", ...args], { cwd: folder });
}
