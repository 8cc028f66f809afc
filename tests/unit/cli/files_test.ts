// Tests the files of a dump: the mode and the owner, the target of links, and no file after a failure.

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { platform, tmpdir } from "node:os";
import { join } from "node:path";
import { getuid } from "node:process";
import { replaceFile } from "../../../streamer/file/disk/replace.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { afterAll, test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { run, Running, runShell, shellCommand } from "../../support/cli/running.ts";

const server = await sharedServer();
const env = { REDIS_URL: server.url };
const folder = await mkdtemp(join(tmpdir(), "sea-cli-"));
afterAll(() => rm(folder, { recursive: true }));
const key = uniqueKey("dumped");
await server.commands(Array.from({ length: 20 }, (_, i) => ["XADD", key, `${i + 1}-0`, "msg", `payload ${i + 1}`]));

/** Systems without these modes and owners. */
const ignore = platform() === "win32";
const owned = ignore || getuid?.() !== 0;

async function modeOf(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o7777).toString(8);
}

/** A temporary folder for a test. */
async function ownFolder(): Promise<string> {
  return await mkdtemp(join(folder, "one-"));
}

async function dump(path: string): Promise<void> {
  const { code, stderr } = await run(["dump", key, "-o", path], { env });
  assertEquals(code, 0, stderr);
}

/** The number of entries in a dump, in either format. */
async function entriesIn(path: string): Promise<number> {
  if (!path.endsWith(".ss")) return (await readFile(path, "utf8")).trimEnd().split("\n").length;
  const { stdout } = await run(["decode", path, "--format", "ndjson"]);
  return stdout.trimEnd().split("\n").length;
}

for (const format of ["ndjson", "ss"]) {
  test(
    `a new ${format} file has the mode 0666 minus the umask`,
    async () => {
      const path = join(await ownFolder(), `new.${format}`);
      for (const [umask, mode] of [["027", "640"], ["000", "666"], ["077", "600"]]) {
        const out = await runShell(`umask ${umask}; ${shellCommand(["dump", key, "-o", path])}`, env);
        assertEquals(out.code, 0, out.stderr);
        assertEquals(await modeOf(path), mode);
        await rm(path);
      }
    },
    { ignore, timeout: 60_000 },
  );

  test(`a ${format} file that replaces another keeps its mode, whatever the umask`, async () => {
    const home = await ownFolder();
    for (const mode of ["600", "640", "666", "400", "755"]) {
      const path = join(home, `${mode}.${format}`);
      await writeFile(path, "old");
      await chmod(path, Number.parseInt(mode, 8));
      await dump(path);
      assertEquals(await modeOf(path), mode);
      assertEquals(await entriesIn(path), 20);
    }
    assertEquals((await readdir(home)).filter((name) => name.endsWith(".part")), []);
  }, { ignore, timeout: 60_000 });

  test(`a ${format} file that replaces another keeps its owner and its group`, async () => {
    const path = join(await ownFolder(), `owned.${format}`);
    await writeFile(path, "old");
    await chown(path, 12_345, 23_456);
    await chmod(path, 0o2640); // a change of the owner clears such bits
    await dump(path);
    const { uid, gid } = await stat(path);
    assertEquals([uid, gid, await modeOf(path)], [12_345, 23_456, "2640"]);
  }, { ignore: owned });
}

test("a link is followed: its target is replaced with its mode, or created, and the link stays", async () => {
  const home = await ownFolder();
  const elsewhere = join(home, "elsewhere");
  await mkdir(elsewhere);
  await writeFile(join(elsewhere, "there"), "old");
  await chmod(join(elsewhere, "there"), 0o600);
  await symlink("elsewhere/there", join(home, "link"));
  await symlink("link", join(home, "chain"));
  await symlink("elsewhere/new", join(home, "dangling"));
  for (const [name, target] of [["link", "there"], ["chain", "there"], ["dangling", "new"]]) {
    await dump(join(home, name));
    assert((await lstat(join(home, name))).isSymbolicLink(), name);
    assertEquals(await entriesIn(join(elsewhere, target)), 20);
  }
  assertEquals(await modeOf(join(elsewhere, "there")), "600");
  assertEquals((await readdir(elsewhere)).sort(), ["new", "there"]);
  assertEquals((await readdir(home)).sort(), ["chain", "dangling", "elsewhere", "link"]);
}, { ignore });

test("while it is written, the replacement of a private file cannot be read by other users", async () => {
  const home = await ownFolder();
  const path = join(home, "private.ndjson");
  await writeFile(path, "old");
  await chmod(path, 0o600);
  const large = uniqueKey("large");
  const value = "x".repeat(1_000);
  await server.commands(Array.from({ length: 5_000 }, (_, i) => ["XADD", large, `${i + 1}-0`, "msg", value]));
  await using proxy = await startProxy(server);
  proxy.toClient.limit(500_000);
  const url = `redis://${proxy.host}:${proxy.port}/${large}`;
  await using dumping = new Running(["dump", url, "-o", path]);
  let part: string | undefined;
  while (part === undefined) {
    part = (await readdir(home)).find((name) => name.endsWith(".part"));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assertEquals(await modeOf(join(home, part)), "600");
  dumping.signal("SIGINT");
  assertEquals((await dumping.ended).code, 130);
  assertEquals(await readFile(path, "utf8"), "old");
  assertEquals(await readdir(home), ["private.ndjson"]);
}, { ignore });

test("a failed dump is an error with the given name, and leaves no file", async () => {
  const home = await ownFolder();
  for (const name of ["missing/a.ndjson", "missing/a.ss", "folder"]) {
    if (name === "folder") await mkdir(join(home, name));
    const { code, stderr } = await run(["dump", key, "-o", join(home, name)], { env });
    assertEquals(code, 1, stderr);
    assertMatch(stderr, /^sea-streamer: Cannot write [^\n]+: [^\n]+\n$/);
    assertStringIncludes(stderr, join(home, name));
  }
  assertEquals(await readdir(home), ["folder"]);
});

test("if its owner cannot be kept, the same file gets the new content", async () => {
  const home = await ownFolder();
  const path = join(home, "foreign");
  await writeFile(path, "the old content");
  await chmod(path, 0o604);
  await chown(path, 12_345, 23_456);
  const before = await stat(path);
  const refuse = () => Promise.reject(Object.assign(new Error("not permitted"), { code: "EPERM" }));
  const file = await replaceFile(path, refuse);
  await writeFile(file.path, "new");
  assertEquals(await readFile(path, "utf8"), "the old content");
  await file.commit();
  const { ino, mode, uid, gid } = await stat(path);
  assertEquals(await readFile(path, "utf8"), "new");
  assertEquals([ino, mode, uid, gid], [before.ino, before.mode, 12_345, 23_456]);
  assertEquals(await readdir(home), ["foreign"]);
}, { ignore: owned });

test("a file that cannot be renamed is removed", async () => {
  const home = await ownFolder();
  const path = join(home, "taken");
  const file = await replaceFile(path);
  await mkdir(join(path, "full"), { recursive: true });
  await assertRejects(() => file.commit());
  assertEquals(await readdir(home), ["taken"]);
});

test("a target that is neither a file nor missing is written to as it is", async () => {
  const out = await run(["dump", key, "-o", "/dev/null"], { env });
  assertEquals(out.code, 0, out.stderr);
  assert((await stat("/dev/null")).isCharacterDevice());
  const piped = await runShell(`${shellCommand(["dump", key, "-o", "/dev/stdout"])} | cat`, env);
  assertEquals([piped.code, piped.stdout.trimEnd().split("\n").length], [0, 20], piped.stderr);
  await assertRejects(() => replaceFile(join(folder, "missing", "a")), Error, "ENOENT");
}, { ignore });
