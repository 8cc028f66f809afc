// Owns the proof that a program which has disconnected exits by itself, and that what it ignores never troubles the process.

import { assertEquals } from "@std/assert";
import { type ChildProcess, spawn } from "node:child_process";
import { execPath } from "node:process";
import { fileURLToPath } from "node:url";
import { uniqueKey } from "./support/keys.ts";
import { startProxy } from "./support/proxy.ts";
import { runtime, test } from "./support/runner.ts";
import { sharedServer } from "./support/server.ts";

const server = await sharedServer();
const program = fileURLToPath(new URL("./connection_child.ts", import.meta.url));

/** A scene in a process of its own. */
class Child implements AsyncDisposable {
  output = "";
  readonly #process: ChildProcess;
  readonly #exit: Promise<number | null>;
  #wake = () => {};

  constructor(scene: string, url: string, key: string) {
    const flags =
      { deno: ["run", "-A", "--no-check"], bun: ["run"], node: ["--disable-warning=ExperimentalWarning"] }[runtime];
    this.#process = spawn(execPath, [...flags, program, scene, url, key], { stdio: ["ignore", "pipe", "pipe"] });
    const take = (chunk: Uint8Array) => {
      this.output += new TextDecoder().decode(chunk);
      this.#wake();
    };
    this.#process.stdout?.on("data", take);
    this.#process.stderr?.on("data", take);
    this.#exit = new Promise((resolve) => this.#process.once("close", (code) => resolve(code)));
  }

  /** Waits until it has printed that. */
  async says(text: string): Promise<void> {
    let gone = false;
    this.#exit.then(() => {
      gone = true;
      this.#wake();
    });
    while (!this.output.includes(text)) {
      if (gone) throw new Error(`The child ended without saying ${text}: ${this.output}`);
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /** What it printed until it exited by itself, and its code. */
  async end(): Promise<[string, number | null]> {
    const code = await this.#exit;
    return [this.output, code];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#exit;
  }
}

for (const scene of ["disconnect", "using"]) {
  test(`a program that ends its streamer (${scene}) has sent everything, prints nothing and exits by itself`, async () => {
    const key = uniqueKey();
    await using child = new Child(scene, server.url, key);
    assertEquals(await child.end(), ["end\n", 0]);
    assertEquals(await server.command("XLEN", key), scene === "using" ? 1 : 1_000);
    await server.command("DEL", key);
  });
}

test("a program that disconnects while the server is away exits by itself", async () => {
  await using proxy = await startProxy(server);
  await using child = new Child("away", proxy.url, uniqueKey());
  await child.says("ready");
  proxy.refuse();
  await proxy.cut();
  assertEquals(await child.end(), ["ready\nend\n", 0]);
});

test("sends that fail in every way and that nobody looks at never raise an unhandled rejection", async () => {
  const key = uniqueKey();
  await server.command("SET", `no-stream-${key}`, "text");
  await using child = new Child("ignore", server.url, key);
  assertEquals(await child.end(), ["SEND_FAILED\nSEND_FAILED\nend\n", 0]);
  await server.command("DEL", `no-stream-${key}`);
});

test("a program that forgets to disconnect is kept alive by its connections", async () => {
  const key = uniqueKey();
  await using child = new Child("forget", server.url, key);
  await child.says("end");
  let gone = false;
  child.end().then(() => gone = true);
  // The time a server takes for these is more than a process takes to exit.
  for (let i = 0; i < 50; i++) await server.command("PING");
  assertEquals(gone, false);
});
