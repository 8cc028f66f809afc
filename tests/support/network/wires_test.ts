// Tests of the fake server and the proxy: they misbehave exactly as instructed.

import { connect, type Socket } from "node:net";
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { nextEvent, until } from "../events.ts";
import { type FakeServer, handshake, HELLO3, NO_HELLO, startFakeServer } from "./fake_server.ts";
import { startProxy } from "./proxy.ts";
import { ask, encodeCommand, joinBytes, toText } from "../servers/raw_client.ts";
import { test } from "../runner.ts";
import { closedPort, destroy } from "./sockets.ts";

/** A server that answers at once, as the target of the proxy. */
function startEcho(): Promise<FakeServer> {
  return startFakeServer(async (peer) => {
    await peer.serve({ PING: "+PONG\r\n", ECHO: (words) => `$${words[1].length}\r\n${words[1]}\r\n` });
  });
}

/** An answer over another connection shows that other tasks have had time to run. */
async function letOthersCome(server: FakeServer): Promise<void> {
  for (let i = 0; i < 10; i++) await ask(server, [["PING"]]);
}

/** A bare client: all that it received, and its end. */
class Client implements AsyncDisposable {
  readonly socket: Socket;
  readonly chunks: Uint8Array[] = [];
  ended = false;
  readonly closed: Promise<void>;

  constructor(port: number) {
    this.socket = connect({ host: "127.0.0.1", port, noDelay: true });
    this.socket.on("data", (chunk: Uint8Array) => this.chunks.push(chunk.slice()));
    this.socket.on("end", () => this.ended = true);
    this.socket.on("error", () => this.socket.destroy());
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()));
  }

  get text(): string {
    return new TextDecoder().decode(joinBytes(this.chunks));
  }

  send(...words: string[]): void {
    this.socket.write(encodeCommand(words));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return destroy(this.socket);
  }
}

test("a fake server reads commands and sends literal bytes", async () => {
  await using fake = await startFakeServer(async (peer) => {
    assertEquals(await peer.expect("hello", "3"), ["HELLO", "3"]);
    await peer.send(NO_HELLO);
    assertEquals(await peer.command(), ["SET", "k", "ü\r\n"]);
    await peer.sendSplit("+OK\r\n", 2);
    assertEquals(await peer.command(), undefined);
  });
  await using client = new Client(fake.port);
  client.send("HELLO", "3");
  client.send("SET", "k", "ü\r\n");
  await until(() => client.text === `${NO_HELLO}+OK\r\n`);
  client.socket.end();
  await fake.peers[0].closed;
  assertEquals(fake.peers[0].commands.length, 2);
  assertEquals(fake.errors, []);
});

test("a fake server answers from a table and returns all other commands", async () => {
  let left: string[] | undefined;
  await using fake = await startFakeServer(async (peer) => {
    left = await peer.serve(handshake);
    await peer.sendAndCut("+WHOLE\r\n", 3);
  });
  await using client = new Client(fake.port);
  client.send("HELLO", "3");
  client.send("CLIENT", "ID");
  client.send("XADD", "s", "*", "msg", "1");
  await client.closed;
  assertEquals(left?.[0], "XADD");
  assertEquals(client.text, `${HELLO3}:7\r\n+WH`);
});

test("a script that is disappointed says so when the server stops", async () => {
  const fake = await startFakeServer(async (peer) => {
    await peer.expect("PING");
  });
  await using client = new Client(fake.port);
  client.send("GET", "k");
  await client.closed;
  await assertRejects(() => fake.stop(), Error, "Expected PING, got GET k");
});

test("the fake server refuses bytes that are not an array of bulk strings", async () => {
  const fake = await startFakeServer(async (peer) => {
    await peer.command();
  });
  await using client = new Client(fake.port);
  client.socket.write("PING\r\n");
  await client.closed;
  await assertRejects(() => fake.stop(), Error, "Expected the header of an array");
});

test("a fake server takes a large command without trouble", async () => {
  const large = "x".repeat(8_000_000);
  await using fake = await startFakeServer(async (peer) => {
    const words = await peer.commandBytes();
    await peer.send(`:${words?.[1].length}\r\n`);
  });
  await using client = new Client(fake.port);
  client.send("PING", large);
  await until(() => client.text === ":8000000\r\n");
});

test("a closed port refuses connections", async () => {
  const port = await closedPort();
  await assertRejects(() => ask({ host: "127.0.0.1", port }, [["PING"]]), Error, "ECONNREFUSED");
});

test("a proxy passes everything both ways and counts", async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy(echo);
  const big = "x".repeat(1_000_000);
  const [answer] = await ask(proxy, [["ECHO", big]]);
  assertEquals(toText(answer), big);
  assertEquals(proxy.connections, 1);
  assertGreater(proxy.toServer.passed, big.length);
  assertGreater(proxy.toClient.passed, big.length);
  await until(() => proxy.open === 0);
});

test("a proxy cuts exactly after the given byte, towards the client", async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy(echo);
  await using client = new Client(proxy.port);
  proxy.toClient.cutAfter(5);
  client.send("ECHO", "abcdef");
  await client.closed;
  assertEquals(client.text, "$6\r\na");
  await until(() => proxy.open === 0);
});

test("a proxy cuts exactly after the given byte, towards the server", async () => {
  const got: number[] = [];
  await using fake = await startFakeServer(async (peer) => {
    const first = await peer.bytes(3);
    got.push(...first);
    await peer.bytes(1).then((byte) => got.push(...byte), () => {});
  });
  await using proxy = await startProxy(fake);
  await using client = new Client(proxy.port);
  proxy.toServer.cutAfter(3);
  client.send("PING");
  await client.closed;
  await fake.peers[0].closed;
  assertEquals(got, [..."*1\r"].map((c) => c.charCodeAt(0)));
});

test("a proxy holds bytes and releases them in order", async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy(echo);
  await using client = new Client(proxy.port);
  client.send("PING");
  await until(() => client.text === "+PONG\r\n");
  proxy.toClient.hold();
  client.send("ECHO", "1");
  client.send("ECHO", "2");
  await letOthersCome(echo);
  assertEquals(client.text, "+PONG\r\n");
  proxy.toClient.release();
  await until(() => client.text === "+PONG\r\n$1\r\n1\r\n$1\r\n2\r\n");
});

test("swallowed bytes reach the server after their client has left", async () => {
  const words: string[][] = [];
  await using fake = await startFakeServer(async (peer) => {
    for (let next = await peer.command(); next; next = await peer.command()) words.push(next);
  });
  await using proxy = await startProxy(fake);
  await using client = new Client(proxy.port);
  proxy.toServer.hold({ swallow: true });
  const commands = Array.from({ length: 500 }, (_, i) => ["SET", `${i}`, "x".repeat(1_000)]);
  for (const command of commands) client.send(...command);
  await until(() => proxy.toServer.received === joinBytes(commands.map(encodeCommand)).length);
  await proxy.cutClients();
  await client.closed;
  assertEquals(words.length, 0);
  proxy.toServer.release();
  await fake.peers[0].closed;
  assertEquals(words.map((one) => one[1]), Array.from({ length: 500 }, (_, i) => `${i}`));
});

test("swallowed bytes of a client that closed by itself reach the server too", async () => {
  const words: string[][] = [];
  await using fake = await startFakeServer(async (peer) => {
    for (let next = await peer.command(); next; next = await peer.command()) words.push(next);
  });
  await using proxy = await startProxy(fake);
  await using client = new Client(proxy.port);
  proxy.toServer.hold({ swallow: true });
  client.send("SET", "k", "v");
  await until(() => proxy.toServer.received > 0);
  await destroy(client.socket);
  assertEquals(words.length, 0);
  proxy.toServer.release();
  await until(() => proxy.open === 0);
  await until(() => words.length === 1);
});

test("without swallowing, holding one direction fills the sender's socket", async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy(echo);
  await using client = new Client(proxy.port);
  proxy.toServer.hold();
  let accepted = 0;
  const piece = new Uint8Array(1 << 20);
  for (let i = 0; i < 64; i++) client.socket.write(piece, () => accepted++);
  await until(() => proxy.connections === 1);
  await letOthersCome(echo);
  assert(accepted < 64, "the socket took 64 MiB without a reader");
});

test("a proxy splits what passes into pieces", async () => {
  const sizes: number[] = [];
  await using fake = await startFakeServer(async (peer) => {
    await peer.serve({ ECHO: (words) => `$${words[1].length}\r\n${words[1]}\r\n` });
  });
  await using proxy = await startProxy(fake);
  await using client = new Client(proxy.port);
  client.socket.on("data", (chunk: Uint8Array) => sizes.push(chunk.length));
  proxy.toClient.split(7);
  const long = "0123456789".repeat(50);
  client.send("ECHO", long);
  await until(() => client.text === `$500\r\n${long}\r\n`);
  assertGreater(sizes.length, 1);
});

test("a proxy limits the speed and loses nothing", async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy(echo);
  await using client = new Client(proxy.port);
  proxy.toClient.limit(100_000);
  const text = "x".repeat(5_000);
  client.send("ECHO", text);
  await until(() => client.text === `$5000\r\n${text}\r\n`);
  // 1,000 bytes a hundredth of a second: never all at once.
  assertGreater(client.chunks.length, 1);
});

test("a proxy cuts all, refuses, and takes again", async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy(echo);
  await using first = new Client(proxy.port);
  first.send("PING");
  await until(() => first.text === "+PONG\r\n");
  proxy.refuse();
  await proxy.cut();
  await first.closed;
  await using second = new Client(proxy.port);
  await second.closed;
  assertEquals([second.text, proxy.connections, proxy.refused], ["", 1, 1]);
  proxy.refuse(false);
  await using third = new Client(proxy.port);
  third.send("PING");
  await until(() => third.text === "+PONG\r\n");
});

test("a server that ends its side is seen by the client through the proxy", async () => {
  await using fake = await startFakeServer(async (peer) => {
    await peer.expect("QUIT");
    await peer.send("+OK\r\n");
    peer.end();
  });
  await using proxy = await startProxy(fake);
  await using client = new Client(proxy.port);
  client.send("QUIT");
  await until(() => client.ended);
  assertEquals(client.text, "+OK\r\n");
});

test("waiting has a limit, for conditions and for events", async () => {
  await assertRejects(() => until(() => false, { timeout: 1, what: "the moon" }), Error, "the moon");
  assertEquals(await until(() => Promise.resolve("yes")), "yes");
  const target = new EventTarget();
  await assertRejects(() => nextEvent(target, "gap", { timeout: 1 }), Error, "No gap event");
  const second = nextEvent<number>(target, "gap", { where: (event) => event.detail === 2 });
  for (const detail of [1, 2, 3]) target.dispatchEvent(new CustomEvent("gap", { detail }));
  assertEquals((await second).detail, 2);
});
