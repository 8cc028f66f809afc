// Tests the events of a streamer, and that listeners are isolated.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { connect, RedisStreamer, StreamerError } from "../../../mod.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

test("a streamer is an EventTarget, and its events are CustomEvents with the node and no credentials", async () => {
  await using proxy = await startProxy(server);
  const streamer = await connect(proxy.url, { reconnect: { initialDelay: 1 } });
  assertInstanceOf(streamer, RedisStreamer);
  assertInstanceOf(streamer, EventTarget);
  const node = `127.0.0.1:${proxy.port}`;
  const told: [string, unknown][] = [];
  for (const name of ["connect", "disconnect", "reconnect"]) {
    streamer.addEventListener(name, (event) => {
      assertInstanceOf(event, CustomEvent);
      assertEquals(event.type, name);
      told.push([name, event.detail]);
    });
  }
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("a");
  assertEquals(told, [["connect", { node }]]);
  const lost = nextEvent(streamer, "disconnect");
  await proxy.cut();
  await lost;
  await producer.send("b");
  await producer.trim({ maxLength: 1 });
  const names = told.map(([name]) => name);
  assertEquals(names.filter((name) => name === "disconnect").length, 2);
  assertEquals(names.filter((name) => name === "connect").length, 3);
  const [, retry] = told.find(([name]) => name === "reconnect") ?? [];
  const { attempt, delay, cause } = Object(retry);
  assertEquals([Reflect.get(Object(retry), "node"), attempt, typeof delay], [node, 1, "number"]);
  assertInstanceOf(cause, StreamerError);
  for (const [name, detail] of told) {
    assertEquals(Reflect.get(Object(detail), "node"), node);
    if (name === "disconnect") assertInstanceOf(Reflect.get(Object(detail), "cause"), StreamerError);
  }
  told.length = 0;
  await streamer.disconnect();
  assertEquals(told, [["disconnect", { node }], ["disconnect", { node }]], "on purpose: no cause");
});

test("a listener that throws or rejects, a handler object, null, a signal, once: all are isolated", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 1 } });
  const unhandled: unknown[] = [];
  const onUnhandled = (event: Event) => {
    event.preventDefault();
    unhandled.push(event);
  };
  globalThis.addEventListener?.("unhandledrejection", onUnhandled);
  globalThis.addEventListener?.("error", onUnhandled);
  const calls: string[] = [];
  const controller = new AbortController();
  streamer.addEventListener("connect", () => {
    calls.push("throws");
    throw new Error("a listener's own affair");
  });
  streamer.addEventListener("connect", async () => {
    calls.push("rejects");
    await Promise.reject(new Error("a listener's own affair"));
  });
  streamer.addEventListener("connect", { handleEvent: () => void calls.push("object") });
  streamer.addEventListener("connect", null);
  streamer.addEventListener("connect", () => calls.push("once"), { once: true });
  streamer.addEventListener("connect", () => calls.push("signal"), { signal: controller.signal });
  const removed = () => void calls.push("removed");
  streamer.addEventListener("connect", removed);
  streamer.addEventListener("connect", removed); // has no effect the second time
  streamer.removeEventListener("connect", removed);
  streamer.removeEventListener("disconnect", removed); // was never added
  streamer.removeEventListener("connect", null);
  const last = () => void calls.push("last");
  streamer.addEventListener("connect", last);
  streamer.addEventListener("connect", last);
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("a");
  assertEquals(calls, ["throws", "rejects", "object", "once", "signal", "last"]);
  controller.abort();
  calls.length = 0;
  await (await streamer.createProducer(uniqueKey())).send("b");
  assertEquals(calls, ["throws", "rejects", "object", "last"]);
  assertEquals(unhandled, []);
  globalThis.removeEventListener?.("unhandledrejection", onUnhandled);
  globalThis.removeEventListener?.("error", onUnhandled);
});

test("a listener that uses the streamer, or disconnects it, is no problem", async () => {
  await using proxy = await startProxy(server);
  const streamer = await connect(proxy.url, { reconnect: { initialDelay: 1 } });
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("a");
  let ended: Promise<void> | undefined;
  streamer.addEventListener("disconnect", () => {
    producer.send("from a listener").catch(() => {});
    ended ??= streamer.disconnect({ timeout: 50 });
  });
  proxy.refuse();
  await proxy.cut();
  await until(() => ended !== undefined);
  await ended?.catch(() => {});
  await until(() => proxy.open === 0);
});

test("attempts are reported with their number, their delay and the last failure, until one succeeds", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 5, maxDelay: 10 } });
  const attempts: number[] = [];
  const delays: number[] = [];
  streamer.addEventListener("reconnect", ({ detail }) => {
    attempts.push(detail.attempt);
    delays.push(detail.delay);
    assertInstanceOf(detail.cause, Error);
  });
  proxy.refuse();
  await proxy.cut();
  await until(() => attempts.length >= 5);
  const back = nextEvent(streamer, "connect");
  proxy.refuse(false);
  await back;
  assertEquals(attempts, attempts.map((_, i) => i + 1));
  assert(delays.every((delay) => delay >= 4));
});

test("idle, a streamer with a producer sends nothing at all", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { timeout: 50 });
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("a");
  const before = proxy.toServer.received;
  await new Promise((resolve) => setTimeout(resolve, 300)); // nothing can be awaited: the point is that nothing happens
  assertEquals(proxy.toServer.received, before);
  await producer.send("b");
});
