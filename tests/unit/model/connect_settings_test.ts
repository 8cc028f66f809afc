// Owns the proof of what `connect` makes of a URL and options: seeds, and the credentials and TLS of Sentinels and of the primary.

import { assertEquals } from "@std/assert";
import { connectSettings } from "../../../streamer/connect_options.ts";
import { test } from "../../support/runner.ts";

const tcp = (hostname: string, port: number) => ({ kind: "tcp", hostname, port } as const);

test("all seeds of a cluster are kept, with TLS for each", () => {
  const settings = connectSettings(["rediss://a:1,b:2", "rediss://c"], { tls: { serverName: "x" } });
  const tls = { serverName: "x" };
  assertEquals<unknown>(settings.endpoints, [
    { ...tcp("a", 1), tls },
    { ...tcp("b", 2), tls },
    { ...tcp("c", 6379), tls },
  ]);
  assertEquals(settings.reach, { tls });
  assertEquals([settings.sentinel, settings.uri], [undefined, "rediss://a:1,b:2,c:6379"]);
});

test("mapNode and allowNode are kept as they are", () => {
  const mapNode = () => undefined;
  const allowNode = () => true;
  assertEquals(connectSettings("redis://a", { mapNode, allowNode }).reach, { mapNode, allowNode });
  const { reach, sentinel } = connectSettings("redis+sentinel://a/n", { mapNode, allowNode });
  assertEquals([reach, sentinel?.reach], [{ mapNode, allowNode }, { mapNode, allowNode }]);
});

test("the credentials and the database of a Sentinel URL are the primary's, and Sentinels have their own", () => {
  const { uri, identification, sentinel } = connectSettings("redis+sentinel://app:secret@a,b:7/my%2Fmaster/3", {
    sentinel: { username: "watcher", password: "other" },
    clientName: "orders",
  });
  assertEquals(uri, "redis+sentinel://app:***@a:26379,b:7/my%2Fmaster/3");
  assertEquals([identification.username, identification.password, identification.db], ["app", "secret", 3]);
  assertEquals(sentinel?.name, "my/master");
  const own = sentinel?.identification;
  assertEquals([own?.username, own?.password, own?.db, own?.clientName], ["watcher", "other", 0, "orders"]);
  const none = connectSettings("redis+sentinel://app:secret@a/n", {}).sentinel?.identification ?? {};
  assertEquals(["username" in none, "password" in none], [false, false]);
});

const ca = { caCerts: ["the primary's"] };
const own = { caCerts: ["the Sentinels'"] };

const tlsCases: readonly (readonly [string, object, ofSentinels: object | undefined, ofPrimary: object | undefined])[] =
  [
    ["redis", {}, undefined, undefined],
    ["rediss", {}, {}, {}],
    ["rediss", { tls: ca }, ca, ca],
    ["rediss", { tls: ca, sentinel: {} }, ca, ca],
    ["rediss", { tls: ca, sentinel: { tls: true } }, ca, ca],
    ["rediss", { tls: ca, sentinel: { tls: false } }, undefined, ca],
    ["rediss", { tls: ca, sentinel: { tls: own } }, own, ca],
    ["redis", { sentinel: { tls: true } }, {}, undefined],
    ["redis", { sentinel: { tls: own } }, own, undefined],
    ["redis", { sentinel: { tls: false } }, undefined, undefined],
  ];

for (const [protocol, options, ofSentinels, ofPrimary] of tlsCases) {
  test(`TLS of Sentinels and primary: ${protocol}+sentinel:// with ${JSON.stringify(options)}`, () => {
    const { endpoints, reach, sentinel } = connectSettings(`${protocol}+sentinel://a/n`, options);
    assertEquals<unknown>(endpoints, [ofSentinels ? { ...tcp("a", 26379), tls: ofSentinels } : tcp("a", 26379)]);
    assertEquals<unknown>([sentinel?.reach.tls, reach.tls], [ofSentinels, ofPrimary]);
  });
}
