// Owns where a Redis server comes from: the environment, PATH, or the system's package archive unpacked for this user
// alone. Must not start servers or know what is tested.

import { execFile } from "node:child_process";
import { constants, existsSync } from "node:fs";
import { access, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { env, getuid, platform } from "node:process";
import { promisify } from "node:util";

/** A command line to which a server's arguments are appended. */
export interface ServerBinary {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Where it was found, for people. */
  readonly source: string;
}

const run = promisify(execFile);
let found: Promise<ServerBinary | undefined> | undefined;

/** The server to run, looked for once a process; undefined where there is none. */
export function findServer(): Promise<ServerBinary | undefined> {
  return found ??= look();
}

async function look(): Promise<ServerBinary | undefined> {
  const wanted = env.SEA_TEST_SERVER?.trim();
  if (wanted) {
    // One path that may hold spaces, or words: quotes are not understood.
    return { command: existsSync(wanted) ? [wanted] : wanted.split(/\s+/), env: {}, source: "SEA_TEST_SERVER" };
  }
  for (const name of ["redis-server", "valkey-server"]) {
    const path = await onPath(name);
    if (path) return { command: [path], env: {}, source: path };
  }
  return await unpacked();
}

/** Where a program lies on PATH, leaving out what the filter refuses. */
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
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, "unpack-"));
  try {
    await unpackInto(work);
    // Whole or not at all, also when several processes do this at once: the first one wins.
    await rename(join(work, "root"), root).catch(() => {});
  } catch (error) {
    console.error(`A Redis server could not be unpacked from the package archive: ${text(error)}`);
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
  // Root's apt would hand over to a user who may not look into root's folders.
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
      // A rehearsal names the libraries that this system lacks; nothing is installed.
      const { stdout } = await apt("-s", "--no-install-recommends", "install", ...names);
      return [...new Set([...names, ...[...stdout.matchAll(/^Inst (\S+)/gm)].map((match) => match[1])])];
    } catch {
      // Not in this archive, or this system's packages are not in order.
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

/** What to tell people where no server can be had. */
export const noServer = "Cannot find a Redis server: install redis-server or valkey-server " +
  "(or docker, or name one with SEA_TEST_SERVER, or set REDIS_URL to one that runs)";
