// Finds a Redis server: named by the environment, on PATH, or unpacked from the system's package archive for this user
// alone. Starts no server.

import { execFile } from "node:child_process";
import { constants, existsSync } from "node:fs";
import { access, mkdir, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { env, getuid, platform } from "node:process";
import { promisify } from "node:util";

/** A command line to which a server's arguments are appended. */
export interface ServerBinary {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Where it was found, for messages. */
  readonly source: string;
}

const run = promisify(execFile);
let found: Promise<ServerBinary | undefined> | undefined;

/** The server to run, looked up once per process, or the one that is named. `undefined` if none is found. */
export function findServer(named = env.SEA_TEST_SERVER): Promise<ServerBinary | undefined> {
  const wanted = named?.trim();
  if (!wanted) return found ??= look();
  // Either one path, which may contain spaces, or words separated by spaces. Quotes have no meaning.
  const command = existsSync(wanted) ? [wanted] : wanted.split(/\s+/);
  return Promise.resolve({ command, env: {}, source: "SEA_TEST_SERVER" });
}

async function look(): Promise<ServerBinary | undefined> {
  for (const name of ["redis-server", "valkey-server"]) {
    const path = await onPath(name);
    if (path) return { command: [path], env: {}, source: path };
  }
  return await unpacked();
}

/** The path of a program on PATH; paths that `accept` refuses are skipped. */
export async function onPath(
  name: string,
  accept: (path: string) => boolean = () => true,
): Promise<string | undefined> {
  const suffixes = platform === "win32" ? [".exe", ".cmd"] : [""];
  for (const folder of (env.PATH ?? "").split(delimiter)) {
    for (const suffix of suffixes) {
      const path = join(folder, name + suffix);
      if (folder !== "" && accept(path) && await isExecutable(path)) return path;
    }
  }
  return undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    // On Deno, `access` alone accepts a symbolic link whose target is missing.
    if (!(await stat(path)).isFile()) return false;
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function unpacked(): Promise<ServerBinary | undefined> {
  if (!(await onPath("apt-get")) || !(await onPath("dpkg"))) return undefined;
  const cache = join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "sea-streamer-redis");
  const root = join(cache, "server");
  const there = await inRoot(root);
  if (there) return there;
  console.error("No Redis server on PATH: unpacking one from the system's package archive, for this user alone");
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, "unpack-"));
  try {
    await unpackInto(work);
    // A rename is atomic: if several processes unpack at once, the first one wins.
    await rename(join(work, "root"), root).catch(() => {});
  } catch (error) {
    console.error(`Unpacking a Redis server failed: ${text(error)}`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return await inRoot(root);
}

async function unpackInto(work: string): Promise<void> {
  const cache = join(work, "cache");
  const lists = join(work, "lists");
  const debs = join(work, "debs");
  for (const folder of [join(lists, "partial"), join(cache, "archives", "partial"), debs]) {
    await mkdir(folder, { recursive: true });
  }
  const options = [`Dir::State::Lists=${lists}`, `Dir::Cache=${cache}`, "Acquire::Retries=2"];
  // As root, apt switches to a user who cannot read root's folders.
  if (getuid?.() === 0) options.push("APT::Sandbox::User=root");
  const apt = (...words: string[]) =>
    run("apt-get", [...options.flatMap((option) => ["-o", option]), ...words], {
      cwd: debs,
      maxBuffer: 1 << 26,
      env: { ...env, LC_ALL: "C" },
    });
  await apt("-q", "update");
  const packages = await missingPackages(apt);
  await apt("-q", "download", ...packages);
  for (const name of await readdir(debs)) await run("dpkg", ["-x", join(debs, name), join(work, "root")]);
}

async function missingPackages(apt: (...words: string[]) => Promise<{ stdout: string }>): Promise<string[]> {
  for (const names of [["redis-server", "redis-tools"], ["valkey-server", "valkey-tools"]]) {
    try {
      // A simulated install lists the missing libraries and installs nothing.
      const { stdout } = await apt("-s", "--no-install-recommends", "install", ...names);
      return [...new Set([...names, ...[...stdout.matchAll(/^Inst (\S+)/gm)].map((match) => match[1])])];
    } catch {
      // Not in this archive, or the system's packages are broken.
    }
  }
  return ["redis-server", "redis-tools", "liblzf1", "libjemalloc2"];
}

async function inRoot(root: string): Promise<ServerBinary | undefined> {
  for (const name of ["redis-server", "valkey-server"]) {
    const path = join(root, "usr", "bin", name);
    if (!(await isExecutable(path))) continue;
    const folders = [join(root, "usr", "lib"), join(root, "lib")];
    for (const folder of [...folders]) {
      const inside = await readdir(folder).catch(() => []);
      folders.push(...inside.filter((one) => one.includes("-linux-")).map((one) => join(folder, one)));
    }
    const libraries = [...folders, ...(env.LD_LIBRARY_PATH ? [env.LD_LIBRARY_PATH] : [])].join(":");
    return { command: [path], env: { LD_LIBRARY_PATH: libraries }, source: path };
  }
  return undefined;
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The message for a machine without any server. */
export const noServer = "No Redis server found: install redis-server, valkey-server or docker, " +
  "name a program in SEA_TEST_SERVER, or set REDIS_URL to a running server";
