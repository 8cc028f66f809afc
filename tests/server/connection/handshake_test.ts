// Tests the commands on a new connection, and the result if the server refuses them.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, type ConnectOptions, RedisError, StreamerError } from "../../../mod.ts";
import { type Answers, handshake, NO_HELLO, startFakeServer } from "../../support/network/fake_server.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer, startServer } from "../../support/servers/server.ts";

const server = await sharedServer();

/** Connects to a scripted server. Returns the commands of the first connection, and the result of connect. */
async function greet(answers: Answers, options: ConnectOptions = {}, credentials = "") {
  await using fake = await startFakeServer(async (peer) => void await peer.serve({ ...handshake, ...answers }));
  const url = fake.url.replace("://", `://${credentials}`);
  const end = await connect(url, options).then(async (streamer) => {
    await streamer.disconnect();
    return undefined;
  }, (error: unknown) => error);
  const commands = fake.peers[0]?.commands ?? [];
  return { commands, names: commands.map((words) => words.slice(0, 2).join(" ")), end, attempts: fake.peers.length };
}

test("credentials and the client's name go with HELLO 3, and the password is percent-decoded", async () => {
  const { commands, end } = await greet({}, { clientName: "orders-7" }, "us%40er:p%3Aa%2Fs%23s%3F%25%C3%BC@");
  assertEquals(end, undefined);
  assertEquals(commands[0], ["HELLO", "3", "AUTH", "us@er", "p:a/s#s?%ü", "SETNAME", "orders-7"]);
});

test("a password without a user is the default user's; options override the URL", async () => {
  assertEquals((await greet({}, {}, ":secret@")).commands[0], ["HELLO", "3", "AUTH", "default", "secret"]);
  const { commands } = await greet({}, { username: "a", password: "b", db: 5 }, "x:y@");
  assertEquals(commands[0], ["HELLO", "3", "AUTH", "a", "b"]);
  assert(commands.some((words) => words.join(" ") === "SELECT 5"));
});

test("without credentials no AUTH is sent, and without a database no SELECT", async () => {
  const { commands, names } = await greet({});
  assertEquals(commands[0], ["HELLO", "3"]);
  assert(!names.some((name) => name.startsWith("SELECT") || name.startsWith("AUTH")));
});

test("the library's name and version are announced", async () => {
  const { commands } = await greet({});
  const info = commands.filter((words) => words[1] === "SETINFO");
  assertEquals(info.map((words) => words[2].toUpperCase()), ["LIB-NAME", "LIB-VER"]);
  for (const [, , , value] of info) assert(/^[!-~]+$/.test(value), value);
});

test("a server without HELLO is used with RESP2, with AUTH, SELECT and CLIENT SETNAME", async () => {
  const { commands, end } = await greet({ HELLO: NO_HELLO }, { clientName: "orders-7", db: 3 }, "user:secret@");
  assertEquals(end, undefined);
  const said = commands.map((words) => words.join(" "));
  for (const words of ["AUTH user secret", "SELECT 3", "CLIENT SETNAME orders-7"]) assert(said.includes(words), words);
  assert(said.indexOf("AUTH user secret") < said.indexOf("CLIENT SETNAME orders-7"));
});

test("such a server gets the password alone if no user is given", async () => {
  const { commands, end } = await greet({ HELLO: NO_HELLO }, {}, ":secret@");
  assertEquals(end, undefined);
  assert(commands.some((words) => words.join(" ") === "AUTH secret"));
});

test("NOPROTO leads to RESP2", async () => {
  const { commands, end } = await greet({ HELLO: "-NOPROTO unsupported protocol version\r\n" }, {}, ":secret@");
  assertEquals(end, undefined);
  assert(commands.some((words) => words.join(" ") === "AUTH secret"));
});

test("a server without HELLO and without a password is used as it is", async () => {
  const { end } = await greet({ HELLO: NO_HELLO, CLIENT: "-ERR unknown command `CLIENT`\r\n" });
  assertEquals(end, undefined);
});

test("messages are sent and received over RESP2", async () => {
  await using fake = await startFakeServer(async (peer) => {
    await peer.serve({ ...handshake, HELLO: NO_HELLO, XADD: "$3\r\n1-1\r\n", XTRIM: ":4\r\n", XLEN: ":0\r\n" });
  });
  await using streamer = await connect(fake.url);
  const producer = await streamer.createProducer("k");
  assertEquals((await producer.send("x")).id, "1-1");
  assertEquals(await producer.trim({ maxLength: 0 }), 4);
});

test("a server without HELLO that requires a password: AUTH", async () => {
  const NOAUTH = "-NOAUTH Authentication required.\r\n";
  const { end } = await greet({ HELLO: NO_HELLO, CLIENT: NOAUTH, SELECT: NOAUTH });
  assertInstanceOf(end, StreamerError);
  assertEquals(end.code, "AUTH");
});

test("a server without HELLO that refuses the password: AUTH with the server's error", async () => {
  for (
    const text of [
      "ERR invalid password",
      "WRONGPASS invalid username-password pair",
      "ERR Client sent AUTH, but no password is set",
    ]
  ) {
    const { end, attempts } = await greet({ HELLO: NO_HELLO, AUTH: `-${text}\r\n` }, {}, ":secret@");
    assertInstanceOf(end, StreamerError);
    assertEquals([end.code, attempts], ["AUTH", 1]);
    assertInstanceOf(end.cause, RedisError);
  }
});

test("CLIENT subcommands that are forbidden or unknown are ignored", async () => {
  for (
    const CLIENT of [
      "-NOPERM this user has no permissions to run the 'client' command\r\n",
      "-ERR unknown subcommand 'SETINFO'. Try CLIENT HELP.\r\n",
    ]
  ) {
    for (const HELLO of [handshake.HELLO, NO_HELLO]) {
      assertEquals((await greet({ HELLO, CLIENT }, { clientName: "orders-7" })).end, undefined);
    }
  }
});

test("a refused database is final: CONNECT, with the server's error", async () => {
  for (
    const text of [
      "NOPERM this user has no permissions to run the 'select' command",
      "ERR DB index is out of range",
      "ERR SELECT is not allowed in cluster mode",
    ]
  ) {
    for (const HELLO of [handshake.HELLO, NO_HELLO]) {
      const { end } = await greet({ HELLO, SELECT: `-${text}\r\n` }, { db: 9 });
      assertInstanceOf(end, StreamerError);
      assertEquals(end.code, "CONNECT");
      assertInstanceOf(end.cause, RedisError);
      assertEquals([end.cause.command, end.cause.message], ["SELECT", text]);
    }
  }
});

test("a real server: a wrong password is AUTH, no password is AUTH, the right password connects", async () => {
  const password = "p:a/s#s?% ü@";
  await using guarded = await startServer({ password });
  const bare = `redis://127.0.0.1:${guarded.port}`;
  for (const options of [{}, { password: "wrong" }, { username: "nobody", password }]) {
    const error = await assertRejects(() => connect(bare, options), StreamerError);
    assertEquals(error.code, "AUTH");
    assertInstanceOf(error.cause, RedisError);
    assert(["NOAUTH", "WRONGPASS"].includes(error.cause.code), error.cause.code);
  }
  for (
    const [url, options] of [[guarded.url, {}], [bare, { password }], [bare, {
      username: "default",
      password,
    }]] as const
  ) {
    await using streamer = await connect(url, options);
    const producer = await streamer.createProducer(uniqueKey());
    await producer.send("x");
  }
});

test("an ACL user is authenticated, and forbidden commands reject with NOPERM", async () => {
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">se cret", "~mine-*", "+xadd", "+select", "+client");
  await using streamer = await connect(server.url, { username: user, password: "se cret", db: 1 });
  const producer = await streamer.createGenericProducer();
  const mine = uniqueKey("mine");
  await producer.sendTo(mine, "x");
  const error = await assertRejects(() => Promise.resolve(producer.sendTo(uniqueKey("theirs"), "x")), RedisError);
  assertEquals([error.code, error.command, error.outcome], ["NOPERM", "XADD", "not-written"]);
  assertEquals(await server.commands([["SELECT", 1], ["XLEN", mine], ["DEL", mine]]), ["OK", 1, 1]);
  await server.command("ACL", "DELUSER", user);
});

test("the database, the client's name and, if supported, the library's are shown by CLIENT LIST, after a reconnect too", async () => {
  const clientName = uniqueKey("client");
  await using streamer = await connect(`${server.url}/3`, { clientName, reconnect: { initialDelay: 1 } });
  const producer = await streamer.createProducer(uniqueKey());
  const ours = async () =>
    String(await server.command("CLIENT", "LIST")).split("\n").filter((line) => line.includes(` name=${clientName} `));
  for (let round = 0; round < 2; round++) {
    await producer.send("x");
    const lines = await ours();
    assertEquals(lines.length, 2, "the streamer's and the producer's");
    for (const line of lines) {
      assertStringIncludes(line, " db=3 ");
      if (server.atLeast("7.2")) assert(/ lib-name=\S+ lib-ver=\S+/.test(line), line);
    }
    if (round > 0) break;
    const ups = [nextEvent(streamer, "connect"), nextEvent(streamer, "disconnect")];
    for (const line of lines) await server.command("CLIENT", "KILL", "ID", /^id=(\d+)/.exec(line)?.[1] ?? "");
    await Promise.all(ups);
    await producer.trim({ maxLength: 10 }); // both are connected again
  }
  await server.commands([["SELECT", 3], ["DEL", producer.streamKey]]);
});

test("a password that is changed during an outage ends the wait: AUTH, and no more attempts", async () => {
  await using guarded = await startServer({ password: "old" });
  await using streamer = await connect(guarded.url, { reconnect: { initialDelay: 1 } });
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("x");
  const told = { disconnect: 0, reconnect: 0 };
  streamer.addEventListener("disconnect", () => told.disconnect++);
  streamer.addEventListener("reconnect", () => told.reconnect++);
  await guarded.commands([["CONFIG", "SET", "requirepass", "new"], [
    "CLIENT",
    "KILL",
    "TYPE",
    "normal",
    "SKIPME",
    "yes",
  ]]);
  await until(() => told.disconnect === 2); // the streamer's own connection and the producer's
  const receipt = producer.send("y");
  const error = await assertRejects(() => Promise.resolve(receipt), StreamerError);
  assertEquals([error.code, error.outcome], ["AUTH", "not-written"]);
  assert(told.reconnect <= 3, `${told.reconnect} attempts`);
});
