// Tests that the library announces the published version.

import { readFile } from "node:fs/promises";
import { assertEquals } from "@std/assert";
import { LIBRARY_VERSION } from "../../streamer/version.ts";
import { test } from "../support/runner.ts";

test("the version announced to servers is the one in the manifest", async () => {
  const { version } = JSON.parse(await readFile(new URL("../../deno.json", import.meta.url), "utf8"));
  assertEquals(LIBRARY_VERSION, version);
});
