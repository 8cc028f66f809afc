// Tests that a program which has disconnected exits by itself, and that ignored failures never disturb the process.

import { assertEquals } from "@std/assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { execPath, platform } from "node:process";
import { fileURLToPath } from "node:url";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { runtime, test } from "../../support/runner.ts";
import { canStartServers, type OwnServer, sharedServer, startServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const silentIgnored = platform !== "linux" || !(await canStartServers());
const program = fileURLToPath(new URL("../../support/programs/connection_child.ts", import.meta.url));

/** A scenario in a process of its own. */
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

  /** Waits until it has printed that line. */
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

  /** Its output until it exited by itself, and its exit code. */
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

/** A server whose host does not answer SYN packets: it is suspended, and the queue of its listener is full. */
async function fallSilent(server: OwnServer): Promise<AsyncDisposable> {
  await server.kill("SIGSTOP");
  const sockets = Array.from({ length: 4 }, () => connect(server.port, server.host).on("error", () => {}));
  await Promise.all(sockets.slice(0, 2).map((socket) => once(socket, "connect")));
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await Promise.all(sockets.map((socket) => socket.closed ? undefined : once(socket, "close")));
      await server.kill("SIGCONT");
    },
  };
}

test("a program whose connect timed out without an answer to its SYN exits by itself", async () => {
  await using own = await startServer({ args: ["--tcp-backlog", "1"] });
  await using _ = await fallSilent(own);
  await using child = new Child("unanswered", own.url, uniqueKey());
  assertEquals(await child.end(), ["TIMEOUT\nend\n", 0]);
}, { ignore: silentIgnored });

test("a program that disconnects while its SYNs are unanswered exits by itself", async () => {
  await using own = await startServer({ args: ["--tcp-backlog", "1"] });
  await using child = new Child("stuck", own.url, uniqueKey());
  await child.says("ready");
  await using _ = await fallSilent(own);
  assertEquals(await child.end(), ["ready\nend\n", 0]);
}, { ignore: silentIgnored });

test("failed sends of every kind that are never awaited raise no unhandled rejection", async () => {
  const key = uniqueKey();
  await server.command("SET", `no-stream-${key}`, "text");
  await using child = new Child("ignore", server.url, key);
  assertEquals(await child.end(), ["SEND_FAILED\nSEND_FAILED\nend\n", 0]);
  await server.command("DEL", `no-stream-${key}`);
});

test("a program that forgets to disconnect keeps running", async () => {
  const key = uniqueKey();
  await using child = new Child("forget", server.url, key);
  await child.says("end");
  let gone = false;
  child.end().then(() => gone = true);
  // A server takes longer for these than a process takes to exit.
  for (let i = 0; i < 50; i++) await server.command("PING");
  assertEquals(gone, false);
});
