// Tests the example of a cluster: it shows what it claims.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";
import { Program } from "../../support/programs/program.ts";
import { test } from "../../support/runner.ts";
import { canStartServers } from "../../support/servers/server.ts";

const main = fileURLToPath(new URL("../../../examples/cluster/main.ts", import.meta.url));

test(
  "a slot is moved and a primary killed while numbers are streamed, and none is missing or out of order",
  async () => {
    await using program = new Program(main, { args: ["--seconds", "8", "--rate", "1000"] });
    assertEquals(await program.exited, 0, program.output);
    assertStringIncludes(program.stdout, "8000 numbers sent over 12 shards, 0 rejected");
    assertMatch(program.stdout, /^0 missing, \d+ repeated, 0 out of order$/m);
    assertMatch(program.stderr, /moved: 1 slot from /);
    assertMatch(program.stderr, /moved: \d{4} slots from /);
  },
  { ignore: !await canStartServers(), timeout: 120_000 },
);

test("a usage error of the cluster example is reported in one sentence, with exit code 2", async () => {
  await using program = new Program(main, { args: ["--rate", "0"] });
  assertEquals(await program.exited, 2);
  assertEquals(program.stderr, "--rate must be a whole number above 0, got 0\n");
});
