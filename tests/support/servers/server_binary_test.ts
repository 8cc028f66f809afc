// Tests which files count as a server program on PATH.

import { assertEquals } from "@std/assert";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { platform, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { env } from "node:process";
import { test } from "../runner.ts";
import { onPath } from "./server_binary.ts";

test("a program on PATH is an executable file: dangling links, folders and other files are skipped", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sea-path-"));
  const path = env.PATH;
  try {
    const names = ["dangling", "folder", "text", "linked", "later"];
    const places = names.map((name) => join(folder, name));
    for (const place of places) await mkdir(place);
    const [dangling, inFolder, text, linked, later] = places.map((place) => join(place, "some-server"));
    await symlink(join(folder, "nowhere"), dangling);
    await mkdir(inFolder);
    await writeFile(text, "#!/bin/sh\n");
    env.PATH = places.slice(0, 3).join(delimiter);
    assertEquals(await onPath("some-server"), undefined);
    await writeFile(later, "#!/bin/sh\n");
    await chmod(later, 0o755);
    await symlink(later, linked);
    env.PATH = places.join(delimiter);
    assertEquals(await onPath("some-server"), linked);
    assertEquals(await onPath("some-server", (path) => path !== linked), later);
  } finally {
    env.PATH = path;
    await rm(folder, { recursive: true });
  }
}, { ignore: platform() === "win32" });
