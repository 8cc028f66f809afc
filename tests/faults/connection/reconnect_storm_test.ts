// Tests that all connections of a streamer together dial at most ten times a second a server that is away, that cuts
// them after their handshake, or that refuses their commands, and that all reconnect soon after it recovers.

import { assert, assertEquals } from "@std/assert";
import { connect, type Producer, type RedisStreamer } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import {
  type Answer,
  type Answers,
  handshake,
  type Script,
  startFakeServer,
} from "../../support/network/fake_server.ts";
import { startFilterServer } from "../../support/network/filter_server.ts";
import { uniqueKey } from "../../support/keys.ts";
import { type Proxy, startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());
const server = await sharedServer();

/** Waits for so many connections, and checks that they took their time: ten at once, and ten for each second. */
async function assertNoStorm(
  count: () => number,
  { wanted = 25, meanwhile = () => {} }: { wanted?: number; meanwhile?: () => void | Promise<void> } = {},
): Promise<void> {
  const before = count();
  const started = performance.now();
  await meanwhile();
  await until(() => count() - before >= wanted, { timeout: 60_000, what: `${wanted} connections` });
  const seconds = (performance.now() - started) / 1_000;
  const came = count() - before;
  assert(came <= 11 + 10 * seconds, `${came} connections within ${seconds} s`);
}

async function producersOf(streamer: RedisStreamer, count: number, key: string): Promise<Producer[]> {
  const producers = await Promise.all(
    Array.from({ length: count }, () => streamer.createProducer(key, { sendTimeout: null })),
  );
  await Promise.all(producers.map((producer) => producer.send("first")));
  return producers;
}

/** The replies of a server without a client to kill. */
const friendly: Answers = {
  ...handshake,
  CLIENT: (words) => {
    if (words[1] === "KILL") return ":0\r\n";
    return typeof handshake.CLIENT === "function" ? handshake.CLIENT(words) : undefined;
  },
};

/**
 * A server that completes each handshake. While `cutting` it cuts at the first command after that, whether a message or
 * not.
 */
function cuttingScript(state: { cutting: boolean }): Script {
  return async (peer) => {
    const orCut = (reply: string): Answer => () => state.cutting ? void peer.cut() : reply;
    await peer.serve({ ...friendly, XADD: orCut("$3\r\n1-1\r\n"), PING: orCut("+PONG\r\n") });
  };
}

/** Sends messages in sequence while the server cuts. Each may fail, since it looks like the cause of the cuts. */
async function sendOn(producer: Producer, state: { readonly cutting: boolean }): Promise<void> {
  while (state.cutting) await producer.send("again").then(() => {}, () => {});
}

for (const count of [2, 5, 30]) {
  test(
    `${count} producers that are cut at each message dial ten times a second at most, and all continue afterwards`,
    async () => {
      const state = { cutting: false };
      await using fake = await startFakeServer(cuttingScript(state));
      await using streamer = await connect(fake.url, { reconnect: { maxDelay: 300 } });
      const producers = await producersOf(streamer, count, "k");
      state.cutting = true;
      const sending = producers.map((producer) => sendOn(producer, state));
      try {
        await assertNoStorm(() => fake.peers.length);
      } finally {
        state.cutting = false;
      }
      await Promise.all(sending);
      await Promise.all(producers.map((producer) => producer.send("last")));
    },
    { timeout: 90_000 },
  );
}

test(
  "messages and reads whose connections are all cut, although the server answers PING, wait until that is over",
  async () => {
    const state = { cutting: false };
    const greeting = ["HELLO", "CLIENT", "PING"];
    await using proxy = await startFilterServer(() => server, ([name]) => {
      return state.cutting && !greeting.includes(name.toUpperCase()) ? "cut" : "pass";
    });
    const key = uniqueKey();
    const streamer = await connect(proxy.url, { reconnect: { maxDelay: 300 } });
    const producers = await producersOf(streamer, 3, key);
    const consumers = await Promise.all(Array.from({ length: 2 }, () => {
      return streamer.createConsumer(key, { mode: "real-time", batchSize: 1 });
    }));
    const asked = consumers.map((consumer) => consumer.next());
    state.cutting = true;
    const sends = producers.map((producer) => producer.send("second"));
    await until(() => proxy.peers.length > 60, { timeout: 60_000, what: "60 connections" });
    state.cutting = false;
    const receipts = await Promise.all(sends);
    const first = receipts.map(({ id }) => id).sort()[0];
    assertEquals((await Promise.all(asked)).map(({ id }) => id), [first, first]);
    await streamer.disconnect();
  },
  { timeout: 90_000 },
);

test("producers created while a server cuts after each handshake wait for their turn, too", async () => {
  const state = { cutting: false };
  await using fake = await startFakeServer(cuttingScript(state));
  await using streamer = await connect(fake.url, { reconnect: { maxDelay: 300 } });
  const producers = await producersOf(streamer, 1, "k");
  state.cutting = true;
  const sending = [sendOn(producers[0], state)];
  try {
    await until(() => producers[0].stats().resent > 0);
    await assertNoStorm(() => fake.peers.length, {
      meanwhile: async () => {
        for (let i = 0; i < 40; i++) producers.push(await streamer.createProducer("k", { sendTimeout: null }));
        for (const producer of producers.slice(1)) sending.push(sendOn(producer, state));
      },
    });
  } finally {
    state.cutting = false;
  }
  await Promise.all(sending);
  await Promise.all(producers.map((producer) => producer.send("last")));
}, { timeout: 90_000 });

test(
  "readers and producers of a server that restarts again and again dial ten times a second at most",
  async () => {
    await using proxy = await startProxy(server);
    const key = uniqueKey();
    await using streamer = await connect(proxy.url, { reconnect: { maxDelay: 300 } });
    const producers = await producersOf(streamer, 3, key);
    const consumers = await Promise.all(Array.from({ length: 3 }, () => {
      return streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
    }));
    let flapping = true;
    const flaps = (async () => {
      while (flapping) {
        const { connections } = proxy;
        await until(() => proxy.connections > connections || !flapping, { timeout: 60_000 });
        await proxy.cut();
      }
    })();
    await proxy.cut();
    try {
      await assertNoStorm(() => proxy.connections);
    } finally {
      flapping = false;
    }
    await flaps;
    await Promise.all(producers.map((producer) => producer.send("last")));
    for (const consumer of consumers) {
      for (let last = 0; last < 3;) if ((await consumer.next()).text() === "last") last++;
    }
    await server.command("DEL", key);
  },
  { timeout: 90_000 },
);

test(
  "while a server is away many connections dial ten times a second at most, and its return admits all of them",
  async () => {
    await using proxy = await startProxy(server);
    const key = uniqueKey();
    await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 1, maxDelay: 1 } });
    const producers = await producersOf(streamer, 40, key);
    proxy.refuse();
    await proxy.cut();
    const sends = producers.map((producer) => producer.send("second"));
    await assertNoStorm(() => proxy.refused);
    const { connections } = proxy;
    proxy.refuse(false);
    await Promise.all(sends);
    // One for each producer and for the streamer's own commands, and no other.
    await until(() => proxy.connections - connections === 41);
    assertEquals(await server.command("DEL", key), 1);
  },
  { timeout: 90_000 },
);

test("readers whose pages exceed the server's output buffer dial ten times a second at most", async () => {
  await using own = await startServer({ args: ["--client-output-buffer-limit", "normal 100kb 0 0"] });
  await using proxy: Proxy = await startProxy(own);
  const key = uniqueKey();
  const payload = "x".repeat(300_000);
  for (let i = 0; i < 3; i++) await own.command("XADD", key, "*", "msg", payload);
  await using streamer = await connect(proxy.url, { timeout: 1_000, reconnect: { maxDelay: 300 } });
  let failed = 0;
  const before = proxy.connections;
  const started = performance.now();
  for (let i = 0; i < 4; i++) {
    streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" })
      .then((consumer) => consumer.next()).catch(() => failed++);
  }
  // A reader may find the entry unreadable, and fail. Until then it dials.
  await until(() => proxy.connections - before >= 25 || failed === 4, { timeout: 60_000 });
  const seconds = (performance.now() - started) / 1_000;
  const came = proxy.connections - before;
  assert(came <= 15 + 10 * seconds, `${came} connections within ${seconds} s`);
}, { ignore, timeout: 90_000 });

test("a user that is refused again and again is tried about ten times a second at most", async () => {
  let refusing = false;
  await using fake = await startFakeServer(async (peer) => {
    const HELLO = refusing ? "-WRONGPASS invalid username-password pair or user is disabled.\r\n" : handshake.HELLO;
    await peer.serve({ ...friendly, HELLO, XADD: "$3\r\n1-1\r\n" });
  });
  await using streamer = await connect(fake.url, { reconnect: { initialDelay: 1, maxDelay: 1 } });
  const producer = await streamer.createProducer("k", { sendTimeout: null });
  await producer.send("first");
  refusing = true;
  await Promise.all(fake.peers.map((peer) => peer.cut()));
  let sending = true;
  const user = (async () => {
    while (sending) await producer.send("again").then(() => {}, () => {});
  })();
  try {
    await assertNoStorm(() => fake.peers.length);
  } finally {
    refusing = false;
  }
  await until(async () => await producer.send("at last").then(() => true, () => false));
  sending = false;
  await user;
}, { timeout: 90_000 });
