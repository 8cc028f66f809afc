// Tests which failures of reconnecting are retried, and which reject all waiting calls.

import { assertEquals, assertRejects } from "@std/assert";
import { StreamerError } from "../../../mod.ts";
import { systemClock } from "../../../resp/connection/clock.ts";
import { nativeDial } from "../../../resp/transport/dial.ts";
import { dialFailure } from "../../../resp/transport/failure.ts";
import type { Dial, Endpoint } from "../../../resp/transport/transport.ts";
import { connectWith } from "../../../streamer/connect.ts";
import { nextEvent } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const native = nativeDial();
const reconnect = { initialDelay: 5, maxDelay: 50 };

function coded(code: string): Error {
  return Object.assign(new Error(`connect ${code} 10.0.0.1:6379`), { code });
}

/** Each makes an attempt fail: with the runtime's own errors, or by really dialling an unreachable address. */
const passing: Readonly<Record<string, Dial>> = {
  ...Object.fromEntries(
    ["EPERM", "EACCES", "ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL", "ENOENT", "EMFILE", "ETIMEDOUT"].map((code) => [
      code,
      (endpoint: Endpoint) => Promise.reject(dialFailure(endpoint, "connect", coded(code))),
    ]),
  ),
  "an unknown name": (_, options) => native({ kind: "tcp", hostname: "no-such-host.invalid", port: 6379 }, options),
  "an unreachable network": (_, options) => native({ kind: "tcp", hostname: "255.255.255.255", port: 6379 }, options),
  "a missing unix socket": (_, options) => native({ kind: "unix", path: "/no/such/socket" }, options),
  "an unknown error": () => Promise.reject(new TypeError("what is this")),
};

for (const [what, failing] of Object.entries(passing)) {
  test(`while reconnecting, ${what} is retried like a refused connection: producers and consumers continue afterwards`, async () => {
    await using proxy = await startProxy(server);
    const [source, target] = [uniqueKey(), uniqueKey()];
    let fails = 0;
    let failure: Dial | undefined;
    const dial: Dial = (endpoint, options) => {
      if (failure === undefined) return native(endpoint, options);
      fails++;
      return failure(endpoint, options);
    };
    await using streamer = await connectWith({ dial, clock: systemClock }, proxy.url, { reconnect });
    const producer = await streamer.createProducer(target);
    await producer.send("before");
    const consumer = await streamer.createConsumer(source, {
      mode: "load-balanced",
      group: "g",
      autoCommit: "rolling",
    });
    const asked = consumer.next();
    failure = failing;
    const third = nextEvent(streamer, "reconnect", { where: () => fails >= 3 });
    await proxy.cut();
    const sent = producer.send("after");
    await third;
    failure = undefined;
    await server.command("XADD", source, "*", "msg", "after");
    assertEquals((await asked).text(), "after");
    await sent;
    await server.command("DEL", source, target);
  });
}

test("while reconnecting, a missing permission of the runtime is final: waiting calls reject", async () => {
  await using proxy = await startProxy(server);
  let denied = false;
  const dial: Dial = (endpoint, options) => {
    if (!denied) return native(endpoint, options);
    const cause = Object.assign(new Error("Requires net access"), { name: "NotCapable" });
    return Promise.reject(dialFailure(endpoint, "connect", cause));
  };
  await using streamer = await connectWith({ dial, clock: systemClock }, proxy.url, { reconnect });
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("before");
  denied = true;
  const lost = nextEvent(streamer, "disconnect");
  await proxy.cut();
  await lost;
  const error = await assertRejects(async () => void await producer.send("after"), StreamerError);
  assertEquals([error.code, error.outcome], ["CONNECT", "not-written"]);
});
