// Connects through real Sentinels: with passwords on both sides, with TLS, with RESP2, and when some of them are away.

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { readFile } from "node:fs/promises";
import { connect, type ConnectOptions, StreamerError } from "../../../mod.ts";
import { run } from "../../support/cli/running.ts";
import { takeIds } from "../../support/consumer/reading.ts";
import { uniqueKey } from "../../support/keys.ts";
import { certificates } from "../../support/network/tls.ts";
import { test } from "../../support/runner.ts";
import { type Sentinels, startSentinels } from "../../support/servers/sentinel.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !(await canStartServers()), timeout: 60_000 };

/** Uses producers, consumers of both kinds and a manager on the primary. */
async function works(set: Sentinels, url: string, connectOptions?: ConnectOptions): Promise<void> {
  await using streamer = await connect(url, connectOptions);
  const { primary } = set;
  const [{ name, slots }] = streamer.stats().nodes;
  assertEquals([name, slots], [`${primary.host}:${primary.port}`, 16_384]);
  const key = uniqueKey();
  const producer = await streamer.createProducer(key);
  const realTime = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  const group = await streamer.createConsumer(key, {
    mode: "load-balanced",
    group: "g",
    autoCommit: "disabled",
    autoStreamReset: "earliest",
  });
  const ids = (await Promise.all(["a", "b", "c"].map((payload) => producer.send(payload)))).map(({ id }) => id);
  assertEquals(await takeIds(realTime, 3), ids);
  for (const id of ids) {
    const message = await group.next();
    assertEquals(message.id, id);
    group.ack(message);
  }
  await group.commit();
  const manager = await streamer.createManager();
  assertEquals(await manager.length(key), 3);
  assertEquals((await manager.range(key, "-", "+")).map(({ id }) => id), ids);
}

test("everything works through Sentinels, with RESP3 and RESP2, by one of them or all", async () => {
  await using set = await startSentinels();
  await works(set, set.url);
  await works(set, set.url, { protocol: 2 });
  const [{ host, port }] = set.sentinels;
  await works(set, `redis+sentinel://${host}:${port}/${set.name}`, { cluster: false });
  await works(set, `redis+sentinel://${host}:${port}/${set.name}/3`);
}, options);

test("Sentinels and servers with different passwords", async () => {
  await using set = await startSentinels({ password: "for-data", sentinelPassword: "for-sentinel" });
  await works(set, set.url, { sentinel: { password: "for-sentinel" } });
  await works(set, set.url, { sentinel: { password: () => "for-sentinel" }, protocol: 2 });
  await works(set, set.url.replace(":for-data@", ""), {
    username: "default",
    password: "for-data",
    sentinel: { username: "default", password: "for-sentinel" },
  });
  const cases: readonly (readonly [ConnectOptions, string])[] = [
    [{}, "see the option sentinel"],
    [{ sentinel: { password: "wrong" } }, "the user name or password is wrong"],
    [{ sentinel: { password: "for-sentinel" }, password: "wrong" }, "Cannot connect to 127.0.0.1:"],
  ];
  for (const [options, text] of cases) {
    const error = await assertRejects(() => connect(set.url, options), StreamerError);
    assertEquals(error.code, "AUTH", error.message);
    assertStringIncludes(error.message, text);
    assert(!/for-data|for-sentinel/.test(error.message), error.message);
  }
}, options);

test("TLS for Sentinels and servers, with the announced address as the name that is verified", async () => {
  const { ca, otherCa, server } = await certificates();
  await using set = await startSentinels({ tls: { ca, ...server } });
  await works(set, set.url, { tls: { caCerts: [ca] } });
  await works(set, set.url, { tls: { caCerts: [otherCa] }, sentinel: { tls: { caCerts: [ca] } } }).then(
    () => assert(false, "the primary's certificate was accepted"),
    (error) => {
      assertEquals(error.code, "CONNECT");
      assertStringIncludes(error.message, "see tls.serverName and mapNode");
    },
  );
  const refused = await assertRejects(() => connect(set.url, { wait: true }), StreamerError);
  assertEquals(refused.code, "CONNECT");
  for (const { port } of set.sentinels) assertStringIncludes(refused.message, `127.0.0.1:${port}: a certificate`);
  const plain = await assertRejects(() => connect(set.url.replace("rediss", "redis")), StreamerError);
  assertStringIncludes(plain.message, "may expect TLS");
}, options);

test("the command line takes URLs of a primary, and of streams on it", async () => {
  await using set = await startSentinels({ sentinels: 1 });
  const key = uniqueKey();
  const produced = await run(["produce", `${set.url}/${key}`], { input: "a\nb\n" });
  assertEquals(produced.code, 0, produced.stderr);
  const consumed = await run(["consume", key, "--url", set.url, "--from", "beginning", "--count", "2"]);
  assertEquals(consumed.stdout, "a\nb\n");
  const { stdout } = await run(["info", set.url, "--nodes"]);
  const { host, port } = set.primary;
  assertMatch(stdout, new RegExp(`^${key} +2 +${host}:${port}$`, "m"));
  const other = await run(["info", set.url.replace("mymaster", "other")]);
  assertEquals(other.code, 1);
  assertStringIncludes(other.stderr, "it does not know the name other");
  const nameless = await run(["info", set.url.replace("/mymaster", "")]);
  assertStringIncludes(nameless.stderr, "the name of the primary is missing");
}, options);

/** The rights on the page. */
const page = await readFile(new URL("../../../docs/sentinel.md", import.meta.url), "utf8");
const rules = (/ACL SETUSER streamer (.+)$/m.exec(page)?.[1] ?? "").split(" ").map((rule) => rule.replaceAll("'", ""));
const optional = ["+sentinel|sentinels", "+sentinel|master", "+subscribe"];

test("a user on the Sentinels with the rights that the page lists, and with the required ones only", async () => {
  await using set = await startSentinels({ sentinels: 1 });
  const [sentinel] = set.sentinels;
  for (const left of [[], optional]) {
    await sentinel.command("ACL", "SETUSER", "streamer", "reset", ...rules.filter((rule) => !left.includes(rule)));
    await works(set, set.url, { sentinel: { username: "streamer", password: "secret" } });
    const refusals = JSON.stringify(await sentinel.command("ACL", "LOG"));
    for (const rule of optional) {
      assertEquals(refusals.includes(`"${rule.slice(1)}"`), left.includes(rule), `${rule}: ${refusals}`);
    }
    await sentinel.command("ACL", "LOG", "RESET");
  }
}, options);

test("a user on the servers that may not run ROLE", async () => {
  await using set = await startSentinels({ sentinels: 1 });
  for (const server of set.servers) {
    await server.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-role");
  }
  for (const protocol of ["auto", 2] as const) {
    await works(set, set.url.replace("://", "://app:secret@"), { protocol });
  }
}, options);

test(
  "Sentinels that are dead or suspended do not keep from connecting, and their primary is followed by name only",
  async () => {
    await using set = await startSentinels();
    await set.sentinels[0].kill("SIGKILL");
    await set.sentinels[1].kill("SIGSTOP");
    await works(set, set.url);
    const other = await assertRejects(() => connect(set.url.replace(/mymaster$/, "other")), StreamerError);
    assertEquals(other.code, "CONNECT");
    assertStringIncludes(other.message, "the primary other: no Sentinel names its address");
    assertStringIncludes(other.message, "it does not know the name other");
    assertStringIncludes(other.message, "the connection was refused");
  },
  options,
);
