// Tests that the test servers do what the other tests take for granted.

import { spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { until } from "../../support/events.ts";
import { ask } from "../../support/servers/raw_client.ts";
import { uniqueKey } from "../../support/keys.ts";
import { runtime, test } from "../../support/runner.ts";
import { certificates } from "../../support/network/tls.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());
const shared = await sharedServer();

test("the shared server answers commands with any bytes", async () => {
  const key = uniqueKey();
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  assertEquals(await shared.command("SET", key, bytes), "OK");
  assertEquals(await shared.commandBytes("GET", key), bytes);
  await assertRejects(() => shared.command("LPUSH", key, "x"), Error, "WRONGTYPE");
  assertEquals(await shared.command("DEL", key), 1);
});

test("many commands are sent at once, and error replies are values", async () => {
  const key = uniqueKey();
  const [added, refused, length] = await shared.commands([["RPUSH", key, "a", "b"], ["INCR", key], ["LLEN", key]]);
  assertEquals([added, length], [2, 2]);
  assert(refused instanceof Error);
  await shared.command("DEL", key);
});

test("a reply of many chunks arrives complete", async () => {
  const key = uniqueKey();
  const commands = Array.from({ length: 2_000 }, (_, i) => ["RPUSH", key, `${i}`.padEnd(500, ".")]);
  await shared.commands(commands);
  const list = await shared.command("LRANGE", key, 0, -1);
  assertEquals(list, commands.map((words) => words[2]));
  await shared.command("DEL", key);
});

test("a server reports its kind and version", () => {
  assert(shared.isRedis !== shared.isValkey);
  assertMatch(shared.version, /^\d+\.\d+\.\d+/);
  assert(shared.atLeast("5.0"));
  assert(!shared.atLeast("99.0"));
});

test("a server is started and stopped within a test, and no longer runs then", async () => {
  const server = await startServer();
  assertEquals(await server.command("PING"), "PONG");
  assertEquals(server.url, `redis://127.0.0.1:${server.port}`);
  await server.stop();
  await assertRejects(() => server.command("PING"));
  await server.stop();
}, { ignore });

test("a server that was killed restarts on its port with its folder", async () => {
  await using server = await startServer({ args: ["--appendonly", "yes"] });
  const { port, pid } = server;
  await server.command("SET", "k", "v");
  await server.kill("SIGKILL");
  await assertRejects(() => server.command("PING"));
  await server.restart();
  assertEquals(server.port, port);
  if (pid !== 0) assertNotEquals(server.pid, pid);
  assertEquals(await server.command("GET", "k"), "v");
}, { ignore });

test("a suspended process answers after it is continued", async () => {
  await using server = await startServer();
  await server.kill("SIGSTOP");
  let answered = false;
  const answer = server.command("PING").then((reply) => {
    answered = true;
    return reply;
  });
  // Another server's reply shows that this one had the time to reply.
  for (let i = 0; i < 20; i++) await shared.command("PING");
  assertEquals(answered, false);
  await server.kill("SIGCONT");
  assertEquals(await answer, "PONG");
}, { ignore });

test("a password is required", async () => {
  await using server = await startServer({ password: "p w/ü" });
  assertEquals(await server.command("PING"), "PONG");
  assertEquals(server.url, `redis://:${encodeURIComponent("p w/ü")}@127.0.0.1:${server.port}`);
  assertEquals(await server.command("CONFIG", "GET", "requirepass"), ["requirepass", "p w/ü"]);
}, { ignore });

test("a server speaks TLS with the certificate it was given, and asks for one", async () => {
  const { ca, server: identity } = await certificates();
  await using server = await startServer({ tls: { ca, ...identity, clientAuth: true } });
  assertStringIncludes(server.url, "rediss://127.0.0.1:");
  const { unixSocket: _, ...overTls } = server.address;
  const [pong] = await ask(overTls, [["PING"]]);
  assertEquals(pong, "PONG");
  await assertRejects(() => ask({ ...overTls, tls: {} }, [["PING"]]));
  await assertRejects(() => ask({ host: server.host, port: server.port }, [["PING"]]));
}, { ignore });

test("certificates have the properties that their names promise", async () => {
  const made = await certificates();
  const [authority, other] = [made.ca, made.otherCa].map((pem) => new X509Certificate(pem));
  const of = (name: "server" | "client" | "expired" | "wrongHost" | "untrusted") =>
    new X509Certificate(made[name].cert);
  for (const name of ["server", "client", "expired", "wrongHost"] as const) {
    assert(of(name).verify(authority.publicKey), name);
  }
  assert(!of("untrusted").verify(authority.publicKey));
  assert(of("untrusted").verify(other.publicKey));
  for (const name of ["server", "expired", "untrusted"] as const) {
    assertStringIncludes(of(name).subjectAltName ?? "", "localhost");
    assertStringIncludes(of(name).subjectAltName ?? "", "127.0.0.1");
  }
  assertEquals(of("wrongHost").subjectAltName, "DNS:elsewhere.test");
  assert(Date.parse(of("expired").validTo) < Date.now());
  assert(Date.parse(of("server").validTo) > Date.now());
});

test("two servers that want one port: the second is refused with its log", async () => {
  await using server = await startServer();
  await assertRejects(() => startServer({ port: server.port }), Error, "Cannot start a Redis server");
  assertEquals(await server.command("PING"), "PONG");
}, { ignore });

test("a server and its folder do not outlive a program that was killed", async () => {
  const program = fileURLToPath(new URL("../../support/servers/abandon_server.ts", import.meta.url));
  const args = runtime === "deno" ? ["run", "-A", "--no-check", program] : [program];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const line = await new Promise<string>((resolve) => child.stdout.once("data", (chunk) => resolve(String(chunk))));
  const { pid, unixSocket } = JSON.parse(line);
  const folder = dirname(unixSocket);
  assert(isRunning(pid));
  assert(existsSync(folder));
  child.kill("SIGKILL");
  await closed;
  await until(() => !isRunning(pid), { what: "the server ends" });
  await until(() => !existsSync(folder), { what: "its folder goes" });
}, { ignore: ignore || process.platform === "win32" });

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
