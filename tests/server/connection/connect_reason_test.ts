// Why a connection cannot be established: a port that belongs to another program, expects TLS or its absence, or says nothing.

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { createServer as createHttpServer } from "node:http";
import { once } from "node:events";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { connect, type ConnectOptions, StreamerError } from "../../../mod.ts";
import { closedPort } from "../../support/network/sockets.ts";
import { certificates } from "../../support/network/tls.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());

/** The error of connecting to a listening server, which is closed then. */
async function failureAt(server: Server, options: ConnectOptions = {}, protocol = "redis"): Promise<StreamerError> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  server.on("tlsClientError", () => {});
  server.listen({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // as: it listens on a port
  try {
    return await failure(`${protocol}://127.0.0.1:${port}`, options);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** The error of connecting to a program that answers each connection with these bytes, at once or after the first bytes received. */
async function failureOf(
  answer: string | Uint8Array,
  greets: boolean,
  options?: ConnectOptions,
): Promise<StreamerError> {
  const bytes = typeof answer === "string" ? new TextEncoder().encode(answer) : answer;
  return await failureAt(
    createTcpServer((socket) => {
      if (greets) socket.write(bytes);
      else socket.once("data", () => socket.write(bytes));
    }),
    options,
  );
}

async function failure(url: string, options: ConnectOptions = {}): Promise<StreamerError> {
  const error = await assertRejects(() => connect(url, { timeout: 5_000, ...options }), StreamerError);
  const place = /127\.0\.0\.1:\d+/.exec(url)?.[0];
  assert(error.message.startsWith(`Cannot connect to ${place}: `), error.message);
  return error;
}

test("a real HTTP server on the port is named", async () => {
  const error = await failureAt(createHttpServer());
  assertEquals(error.code, "CONNECT");
  assertMatch(error.message, /: an HTTP server answers on this port$/);
});

test("a URL without TLS for a port that expects it names rediss://, with Redis and with another server", async () => {
  const { ca, server: identity } = await certificates();
  await using redis = await startServer({ tls: { ca, ...identity } });
  for (
    const error of [
      await failure(redis.url.replace("rediss:", "redis:")),
      await failureAt(createTlsServer({ ...identity })),
    ]
  ) {
    assertEquals(error.code, "CONNECT");
    assertStringIncludes(error.message, "rediss:// URL");
    assertStringIncludes(error.message, "TLS");
  }
}, { ignore });

test("a URL with TLS for a port without TLS names redis://", async () => {
  await using redis = await startServer();
  for (
    const error of [
      await failure(redis.url.replace("redis:", "rediss:"), { timeout: 1_000 }),
      await failureAt(createHttpServer(), {}, "rediss"),
      await failureAt(createTcpServer((socket) => void socket.resume()), { timeout: 200 }, "rediss"),
    ]
  ) {
    assert(["CONNECT", "TIMEOUT"].includes(error.code), error.code);
    assertStringIncludes(error.message, "redis:// URL");
    assertStringIncludes(error.message, "TLS handshake");
  }
}, { ignore });

test("a Sentinel is named as such", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sea-"));
  const config = join(folder, "sentinel.conf");
  await writeFile(config, "sentinel monitor name 127.0.0.1 1 2\n");
  try {
    await using sentinel = await startServer({ args: [config, "--sentinel"] }).catch(() => undefined);
    if (sentinel === undefined) return; // a server whose arguments cannot be in this order
    const error = await failure(sentinel.url);
    assertEquals(error.code, "CONNECT");
    assertStringIncludes(error.message, "it is a Sentinel, which stores no streams");
    assertStringIncludes(error.message, "redis+sentinel://host:port/name");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, { ignore });

const MYSQL = Uint8Array.of(0x4a, 0, 0, 0, 0x0a, ...new TextEncoder().encode("8.0.36\0\x08\0\0\0abcdefgh\0"));
// Its first byte, a part of a length, is a type of RESP.
const MYSQL_AS_STRING = Uint8Array.of(0x2b, ...MYSQL.subarray(1));

const strangers: Readonly<Record<string, readonly [answer: string | Uint8Array, greets: boolean, says: string]>> = {
  "a MySQL server": [MYSQL, true, "a MySQL or MariaDB server answers on this port"],
  "a MySQL server with another length": [MYSQL_AS_STRING, true, "a MySQL or MariaDB server answers on this port"],
  "an SSH server": ["SSH-2.0-OpenSSH_9.2\r\n", true, "an SSH server answers on this port"],
  "a mail server": ["220 mail.example.com ESMTP\r\n", true, "a mail or FTP server answers on this port"],
  "a memcached server": ["ERROR\r\n", false, "a memcached server answers on this port"],
  "a PostgreSQL server": [
    "E\0\0\0\x7cSFATAL\0VFATAL\0C0A000\0Munsupported frontend protocol\0",
    false,
    "a PostgreSQL server answers on this port",
  ],
  "a TLS alert": ["\x15\x03\x03\0\x02\x02\x28", false, "this port expects TLS. Use a rediss:// URL"],
  "an unknown program": [
    "hello\x1b[31m there\r\nmore",
    false,
    String.raw`the server does not speak the Redis protocol. Its reply starts with "hello\x1b[31m there"`,
  ],
};

for (const [name, [answer, greets, says]] of Object.entries(strangers)) {
  test(`the program that answers is named: ${name}`, async () => {
    const error = await failureOf(answer, greets);
    assertEquals([error.code, error.message.replace(/^Cannot connect to [\d.:]+: /, "")], ["CONNECT", says]);
  });
}

test("a port that accepts connections and says nothing is named as such", async () => {
  const error = await failureAt(createTcpServer((socket) => void socket.resume()), { timeout: 100 });
  assertEquals(error.code, "TIMEOUT");
  assertMatch(
    error.message,
    /: the port accepts connections, but no reply arrived within 100 ms. The port may .* expect TLS \(a rediss:\/\/ URL\)$/,
  );
});

test("a server that stops in the middle of the handshake is named as such", async () => {
  const error = await failureOf("%7\r\n$6\r\nserver\r\n", false, { timeout: 100 });
  assertEquals(error.code, "TIMEOUT");
  assertMatch(error.message, /: the server did not complete the handshake within 100 ms$/);
});

test("a port that closes each connection at once is named as such, with what to try", async () => {
  for (const wait of [false, true]) {
    const error = await failureAt(createTcpServer((socket) => {
      if (wait) socket.once("data", () => socket.end());
      else socket.end();
    }));
    assertEquals(error.code, "CONNECT");
    assertStringIncludes(error.message, "the server closed the connection without a reply");
    assertStringIncludes(error.message, "rediss:// URL");
    assertStringIncludes(error.message, "set protocol to 2 and clientInfo to false");
  }
});

test("a refused connection and an unknown name are named as such", async () => {
  const refused = await failure(`redis://127.0.0.1:${await closedPort()}`);
  assertMatch(refused.message, /: the connection was refused. Check that a server listens there$/);
  const unknown = await assertRejects(() => connect("redis://no-such-host.invalid"), StreamerError);
  assertEquals(unknown.message, "Cannot connect to no-such-host.invalid:6379: the host name cannot be resolved");
  const socket = await assertRejects(() => connect("redis+unix:///no/such/socket"), StreamerError);
  assertEquals(socket.message, "Cannot connect to /no/such/socket: the unix socket does not exist");
});

test("the server's own answer is part of the reason", async () => {
  await using redis = await startServer({ password: "Canary" });
  const { host, port } = redis;
  assertMatch((await failure(`redis://${host}:${port}`)).message, /: the server requires a password$/);
  assertMatch((await failure(`redis://:wrong@${host}:${port}`)).message, /: the user name or password is wrong$/);
  assertMatch(
    (await failure(`${redis.url}/99999`)).message,
    /: the server refused the database \(ERR DB index is out of range\)$/,
  );
}, { ignore });
