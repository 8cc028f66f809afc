// Tests the recipe of a WebSocket feed, with a socket that does not read.

import { assert, assertEquals } from "@std/assert";
import { connect as dial } from "node:net";
import { until } from "../../support/events.ts";
import { ignore, Recipe } from "../../support/recipes/recipe.ts";
import { test } from "../../support/runner.ts";
import { startServer } from "../../support/servers/server.ts";

/** A browser's socket, and the texts that it has received. */
class Browser implements AsyncDisposable {
  readonly texts: string[] = [];
  readonly socket: WebSocket;
  readonly #closed = Promise.withResolvers<void>();

  private constructor(url: string) {
    this.socket = new WebSocket(url);
    this.socket.onmessage = ({ data }) => this.texts.push(JSON.parse(data).text);
    this.socket.onclose = () => this.#closed.resolve();
  }

  static async open(origin: string): Promise<Browser> {
    const browser = new Browser(origin.replace("http:", "ws:"));
    await new Promise<void>((resolve, reject) => {
      browser.socket.onopen = () => resolve();
      browser.socket.onerror = () => reject(new Error("The socket was refused"));
    });
    return browser;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.close();
    await this.#closed.promise;
  }
}

test("recipe websocket: every socket gets what any of them sends, and a new one first gets the history", async () => {
  await using server = await startServer();
  await using recipe = new Recipe("websocket.ts", { url: server.url });
  const origin = await recipe.origin();
  await using ann = await Browser.open(origin);
  await using ben = await Browser.open(origin);
  const expected: string[] = [];
  for (let i = 0; i < 30; i++) {
    (i % 2 === 0 ? ann : ben).socket.send(`text ${i}`);
    expected.push(`text ${i}`);
    await until(() => ann.texts.length === i + 1 && ben.texts.length === i + 1);
  }
  assertEquals([ann.texts, ben.texts], [expected, expected]);

  await using cleo = await Browser.open(origin);
  ann.socket.send("hello, Cleo");
  await until(() => cleo.texts.includes("hello, Cleo"));
  assertEquals(cleo.texts, [...expected.slice(-20), "hello, Cleo"]);
  assertEquals(await recipe.stop(), 0, recipe.output);

  // The history is in the stream: a restarted feed has it too.
  await using restarted = new Recipe("websocket.ts", { url: server.url });
  await using dan = await Browser.open(await restarted.origin());
  await until(() => dan.texts.length >= 20);
  assertEquals(dan.texts, cleo.texts.slice(-20));
}, { ignore });

test("recipe websocket: a socket that does not read is closed, and the others get everything", async () => {
  await using server = await startServer();
  await using recipe = new Recipe("websocket.ts", { url: server.url });
  const origin = await recipe.origin();
  const { hostname: host, port } = new URL(origin);

  const slow = dial({ host, port: Number(port) });
  const closed = new Promise<void>((resolve) => slow.once("close", () => resolve()));
  slow.on("error", () => {});
  slow.write(
    "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  await new Promise<void>((resolve) => slow.once("readable", resolve)); // upgraded; nothing is read any more

  await using browser = await Browser.open(origin);
  const text = "x".repeat(60_000);
  const count = 400; // 24 MB: more than the buffers of the system
  for (let i = 0; i < count; i++) {
    browser.socket.send(text);
    if (i % 20 === 19) await until(() => browser.texts.length === i + 1);
  }
  assert(browser.texts.every((received) => received === text));
  slow.resume(); // what the system has buffered, and then the end
  await closed;
}, { ignore });
