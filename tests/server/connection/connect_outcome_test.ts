// Tests how connect fails if no server accepts it: which code, which cause, after one attempt, and with every socket
// closed.

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { delay } from "@std/async";
import { connect, type ConnectOptions, RedisError, StreamerError } from "../../../mod.ts";
import { handshake, type Script, startFakeServer } from "../../support/network/fake_server.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";
import { closedPort } from "../../support/network/sockets.ts";

async function failure(url: string, options: ConnectOptions = {}): Promise<StreamerError> {
  return await assertRejects(() => connect(url, options), StreamerError);
}

/** The failure with a scripted server, which must see one connection only, closed in the end. */
async function failureAgainst(script: Script, options: ConnectOptions = {}): Promise<StreamerError> {
  await using fake = await startFakeServer(script);
  const error = await failure(fake.url, options);
  assertEquals(fake.peers.length, 1, "one attempt");
  await fake.peers[0].closed;
  return error;
}

test("a closed port: CONNECT, with the address and the cause", async () => {
  const port = await closedPort();
  const error = await failure(`redis://user:Canary@127.0.0.1:${port}`);
  assertEquals(error.code, "CONNECT");
  assert(error.message.includes(`127.0.0.1:${port}`), error.message);
  assert(error.cause !== undefined);
});

test("an unknown host name: CONNECT", async () => {
  assertEquals((await failure("redis://no-such-host.invalid")).code, "CONNECT");
});

test("a missing unix socket: CONNECT", async () => {
  assertEquals((await failure("redis+unix:///no/such/socket")).code, "CONNECT");
});

test("a server that accepts and closes: CONNECT", async () => {
  assertEquals((await failureAgainst((peer) => peer.cut())).code, "CONNECT");
});

test("a server that reads the first bytes and closes: CONNECT", async () => {
  const error = await failureAgainst(async (peer) => {
    await peer.command();
    await peer.cut();
  });
  assertEquals(error.code, "CONNECT");
});

test("a server that sends nothing: TIMEOUT, and the socket is closed", async () => {
  const error = await failureAgainst(async (peer) => void await peer.serve({}), { timeout: 40 });
  assertEquals(error.code, "TIMEOUT");
});

test("a server that stops in the middle of the handshake: TIMEOUT", async () => {
  const { HELLO } = handshake;
  assertEquals(
    (await failureAgainst(async (peer) => void await peer.serve({ HELLO, CLIENT: () => undefined }), { timeout: 40 }))
      .code,
    "TIMEOUT",
  );
});

test("a server that sends its greeting byte by byte for longer than the timeout: TIMEOUT", async () => {
  const error = await failureAgainst(async (peer) => {
    await peer.command();
    let gone = false;
    peer.closed.then(() => gone = true);
    while (!gone) {
      await peer.send("|1\r\n+more\r\n+to come\r\n");
      await delay(5);
    }
  }, { timeout: 60 });
  assertEquals(error.code, "TIMEOUT");
});

test("a signal ends connecting with its reason, and closes the socket", async () => {
  await using fake = await startFakeServer(async (peer) => void await peer.serve({}));
  const controller = new AbortController();
  const connecting = connect(fake.url, { signal: controller.signal });
  connecting.catch(() => {}); // judged below
  await until(() => fake.peers[0]?.commands.length > 0);
  const reason = new Error("changed my mind");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => connecting), reason);
  await fake.peers[0].closed;
});

test("a signal that aborts after connect has resolved changes nothing", async () => {
  await using fake = await startFakeServer(async (peer) =>
    void await peer.serve({ ...handshake, XADD: "$3\r\n1-1\r\n" })
  );
  const controller = new AbortController();
  await using streamer = await connect(fake.url, { signal: controller.signal });
  controller.abort(new Error("too late"));
  const producer = await streamer.createProducer("k");
  assertEquals((await producer.send("x")).id, "1-1");
});

test("a server that does not speak RESP: CONNECT, with an unmistakable reason", async () => {
  for (
    const words of [
      "HTTP/1.1 400 Bad Request\r\n\r\n",
      "SSH-2.0-OpenSSH_9.2\r\n",
      "\0\0\0\0",
      "\x15\x03\x01\0\x02\x02\n",
    ]
  ) {
    const error = await failureAgainst(async (peer) => {
      await peer.command();
      await peer.send(words);
    });
    assertEquals(error.code, "CONNECT");
    assertInstanceOf(error.cause, StreamerError);
    assertEquals(error.cause.code, "PROTOCOL");
  }
});

const greetings: Readonly<Record<string, string>> = {
  "a simple string": "+OK\r\n",
  "a number": ":3\r\n",
  "a null": "_\r\n",
  "a bulk string": "$5\r\nhello\r\n",
  "an empty array": "*0\r\n",
};

for (const [what, greeting] of Object.entries(greetings)) {
  test(`${what} in reply to HELLO is not a greeting: CONNECT`, async () => {
    const error = await failureAgainst(async (peer) => void await peer.serve({ ...handshake, HELLO: greeting }));
    assertEquals(error.code, "CONNECT");
  });
}

test("one reply too many in the handshake: CONNECT, or a connection that is not used", async () => {
  // The extra reply may arrive with the others or after connect has resolved. In no case is it taken for an id.
  await using fake = await startFakeServer(async (peer, index) => {
    const answers = { ...handshake, XADD: "$3\r\n1-1\r\n", XTRIM: ":0\r\n" };
    if (index > 0) return void await peer.serve(answers);
    await peer.serve({
      ...answers,
      CLIENT: (words) => words[1] === "INFO" ? "$2\r\nid\r\n$5\r\n99-99\r\n" : "+OK\r\n",
    });
  });
  const streamer = await connect(fake.url, { reconnect: { initialDelay: 1 } }).catch((error) => {
    assertInstanceOf(error, StreamerError);
    assertEquals(error.code, "CONNECT");
  });
  if (streamer === undefined) return;
  const producer = await streamer.createProducer("k");
  assertEquals((await producer.send("x")).id, "1-1");
  assertEquals(await producer.trim({ maxLength: 1 }), 0);
  await streamer.disconnect();
});

test("a full server: CONNECT", async () => {
  await using server = await startServer({ args: ["--maxclients", "1"] });
  const first = await connect(server.url);
  // It closes without having read the client's bytes, so its own text may get lost.
  assertEquals((await failure(server.url)).code, "CONNECT");
  await first.disconnect();
});

test("a full server that sends its error unasked, and one that waits for a command: CONNECT with its text", async () => {
  for (const wait of [false, true]) {
    const error = await failureAgainst(async (peer) => {
      if (wait) await peer.command();
      await peer.send("-ERR max number of clients reached\r\n");
      peer.end();
    });
    assertEquals(error.code, "CONNECT");
    assertInstanceOf(error.cause, RedisError);
    assertEquals(error.cause.message, "ERR max number of clients reached");
  }
});

test("protected mode: CONNECT with its text", async () => {
  for (const wait of [false, true]) {
    const error = await failureAgainst(async (peer) => {
      if (wait) await peer.command();
      await peer.send("-DENIED Redis is running in protected mode because …\r\n");
      peer.end();
    });
    assertEquals(error.code, "CONNECT");
    assertInstanceOf(error.cause, RedisError);
    assertEquals(error.cause.code, "DENIED");
  }
});

for (const code of ["LOADING", "MASTERDOWN", "BUSY", "CLUSTERDOWN"]) {
  test(`${code} in reply to HELLO: CONNECT with it as the cause`, async () => {
    const error = await failureAgainst(async (peer) =>
      void await peer.serve({ ...handshake, HELLO: `-${code} for now\r\n` })
    );
    assertEquals(error.code, "CONNECT");
    assertInstanceOf(error.cause, RedisError);
    assertEquals([error.cause.code, error.cause.command], [code, "HELLO"]);
  });
}

test("a Sentinel, or a cluster without slots, is refused with CONNECT, and the socket is closed", async () => {
  for (const [mode, text] of [["cluster", "owns a slot"], ["sentinel", "redis+sentinel://"]]) {
    const HELLO = `%2\r\n$5\r\nproto\r\n:3\r\n$4\r\nmode\r\n$${mode.length}\r\n${mode}\r\n`;
    const error = await failureAgainst(async (peer) =>
      void await peer.serve({ ...handshake, HELLO, CLUSTER: "*0\r\n" })
    );
    assertEquals(error.code, "CONNECT");
    assertStringIncludes(error.message, text);
  }
});
