// Tests which URLs are accepted, their meaning, and that a refused one never shows a password.

import { inspect } from "node:util";
import { assert, assertEquals, assertInstanceOf, assertStringIncludes, assertThrows } from "@std/assert";
import { StreamerError, StreamUrl } from "../../../mod.ts";
import { formatStreamerUrl, hidePassword, parseStreamerUrl } from "../../../streamer/model/url.ts";
import { test } from "../../support/runner.ts";

const tcp = (hostname: string, port = 6379) => ({ kind: "tcp", hostname, port } as const);

function refused(uri: string | readonly string[], code = "INVALID_URL"): StreamerError {
  const error = assertThrows(() => parseStreamerUrl(uri), StreamerError);
  assertEquals(error.code, code, String(uri));
  return error;
}

const accepted: Readonly<Record<string, unknown>> = {
  "redis://localhost": { tls: false, nodes: [tcp("localhost")] },
  "REDIS://localhost": { tls: false, nodes: [tcp("localhost")] },
  "redis://localhost/": { tls: false, nodes: [tcp("localhost")] },
  "redis://localhost:1": { tls: false, nodes: [tcp("localhost", 1)] },
  "redis://10.0.0.1:65535/2": { tls: false, nodes: [tcp("10.0.0.1", 65535)], db: 2 },
  "redis://[::1]": { tls: false, nodes: [tcp("::1")] },
  "redis://[fe80::1%eth0]:7000/0": { tls: false, nodes: [tcp("fe80::1%eth0", 7000)], db: 0 },
  "rediss://cache.example.com": { tls: true, nodes: [tcp("cache.example.com")] },
  "redis://user:password@host:7/2": {
    tls: false,
    nodes: [tcp("host", 7)],
    username: "user",
    password: "password",
    db: 2,
  },
  "redis://:password@host": { tls: false, nodes: [tcp("host")], password: "password" },
  "redis://user@host": { tls: false, nodes: [tcp("host")], username: "user" },
  "redis://us%40er:p%3Aa%2Fs%23s%3F%25%C3%BC@host": {
    tls: false,
    nodes: [tcp("host")],
    username: "us@er",
    password: "p:a/s#s?%ü",
  },
  "redis://u:a:b:c@host": { tls: false, nodes: [tcp("host")], username: "u", password: "a:b:c" },
  "redis://u:p@ss@host": { tls: false, nodes: [tcp("host")], username: "u", password: "p@ss" },
  "redis+unix:///run/redis.sock": { tls: false, nodes: [{ kind: "unix", path: "/run/redis.sock" }] },
  "redis+unix:///run/a%20b.sock?db=3": { tls: false, nodes: [{ kind: "unix", path: "/run/a b.sock" }], db: 3 },
  "redis+unix://:secret@/run/redis.sock": {
    tls: false,
    nodes: [{ kind: "unix", path: "/run/redis.sock" }],
    password: "secret",
  },
  "redis://a:7001,b:7002": { tls: false, nodes: [tcp("a", 7001), tcp("b", 7002)] },
  "rediss://u:p@a,[::1]:7002,c": {
    tls: true,
    nodes: [tcp("a"), tcp("::1", 7002), tcp("c")],
    username: "u",
    password: "p",
  },
  "redis+sentinel://s1/mymaster": { tls: false, nodes: [tcp("s1", 26379)], sentinelName: "mymaster" },
  "REDIS+Sentinel://s1:7,s2/a%2Fb%40c/2": {
    tls: false,
    nodes: [tcp("s1", 7), tcp("s2", 26379)],
    sentinelName: "a/b@c",
    db: 2,
  },
  "rediss+sentinel://u:p@[::1],s2:1/0": {
    tls: true,
    nodes: [tcp("::1", 26379), tcp("s2", 1)],
    sentinelName: "0",
    username: "u",
    password: "p",
  },
};

for (const [uri, parts] of Object.entries(accepted)) {
  test(`${uri} is parsed`, () => assertEquals<unknown>(parseStreamerUrl(uri), parts));
}

test("an array of URLs names the nodes of one cluster", () => {
  assertEquals(parseStreamerUrl(["redis://a:1", "redis://b:2"]).nodes, [tcp("a", 1), tcp("b", 2)]);
  assertEquals(parseStreamerUrl(["redis://a:1"]).nodes, [tcp("a", 1)]);
});

const wrong = [
  "",
  "localhost",
  "localhost:6379",
  "//localhost",
  "://localhost",
  "http://localhost",
  "redis:localhost",
  "redis:/localhost",
  "valkey://localhost",
  "redis://",
  "redis:///0",
  "redis://:6379",
  "redis://user:password@",
  "redis://user:password@:6379",
  "redis://host:0",
  "redis://host:65536",
  "redis://host:999999999999999999999",
  "redis://host:-1",
  "redis://host:+1",
  "redis://host:1.5",
  "redis://host:1e3",
  "redis://host:0x10",
  "redis://host:",
  "redis://host:6379x",
  "redis://host: 6379",
  "redis://host:٣",
  "redis://host/db",
  "redis://host/-1",
  "redis://host/1.5",
  "redis://host/ 1",
  "redis://host/1/2",
  "redis://host/1/",
  "redis://host//",
  "redis://host/99999999999999999999",
  "redis://host?db=1",
  "redis://host/1?x=y",
  "redis://host/1?",
  "redis://host#",
  "redis://host/1#frag",
  "redis://ho st",
  "redis://ho\nst",
  "redis:// host",
  "redis://[::1",
  "redis://::1",
  "redis://[]",
  "redis://[host]",
  "redis://[::1]x:1",
  "redis://a,",
  "redis://,a",
  "redis://a,,b",
  "redis://%zz:p@host",
  "redis://u:%ff@host",
  "redis+unix://",
  "redis+unix:///",
  "redis+unix://relative.sock",
  "redis+unix:///s?db=x",
  "redis+unix:///s?db=1&db=2",
  "redis+unix:///s?other=1",
  "redis+unix:///s#f",
  "redis+unix:///s?",
  "redis+sentinel://",
  "redis+sentinel://s1",
  "redis+sentinel://s1/",
  "redis+sentinel://s1//0",
  "redis+sentinel://s1/name/",
  "redis+sentinel://s1/name/db",
  "redis+sentinel://s1/name/-1",
  "redis+sentinel://s1/name/1/2",
  "redis+sentinel://s1/name/1/",
  "redis+sentinel://s1/na%zzme",
  "redis+sentinel://s1/name?x",
  "redis+sentinel://s1/name#x",
  "redis+sentinel:///name",
  "redis+sentinel://s1,/name",
  "redis+sentinel://s1:0/name",
  "redis+sentinel://user:1/2@s1/name", // a slash in the password
  "redis+sentinel+unix:///s/name",
];

for (const uri of wrong) {
  test(`${JSON.stringify(uri)} is refused with INVALID_URL`, () => void refused(uri));
}

test("a value that is neither a string nor a list of strings is refused with INVALID_URL", () => {
  // as: a value that a program without types may pass
  for (const uri of [undefined, null, 7, {}, [], [7], ["redis://a", null], new URL("redis://u:canary@a")]) {
    const error = refused(uri as string);
    assert(!error.message.includes("canary"), error.message);
  }
});

test("URLs of one list that differ in protocol, credentials or database are refused", () => {
  for (const other of ["rediss://b", "redis://u:p@b", "redis://b/1", "redis+sentinel://b/n"]) {
    refused(["redis://a", other]);
  }
  for (const other of ["redis+sentinel://b/m", "redis+sentinel://b/n/1", "rediss+sentinel://b/n"]) {
    refused(["redis+sentinel://a/n", other]);
  }
  assertEquals(parseStreamerUrl(["redis+sentinel://a/n", "redis+sentinel://b/n"]).nodes.length, 2);
});

test("no refusal shows a password, wherever the fault is", () => {
  const CANARY = "Canary-7f3a";
  const urls = [
    `http://u:${CANARY}@host`,
    `u:${CANARY}@host:6379`,
    `redis://u:${CANARY}@`,
    `redis://u:${CANARY}@host:0`,
    `redis://u:${CANARY}@host:99999999`,
    `redis://u:${CANARY}@host/x`,
    `redis://u:${CANARY}/more@host`,
    `redis://u:${CANARY}?more@host`,
    `redis://u:${CANARY}#more@host`,
    `redis://u:x@${CANARY}@ho st`,
    `redis://u:${CANARY}%zz@host`,
    `redis://:${CANARY}@a,,b`,
    `redis+unix://:${CANARY}@relative`,
    `redis+unix:///s?db=${1}#@`,
    `redis+sentinel://u:${CANARY}@host`,
    `redis+sentinel://u:${CANARY}@host/name/x`,
    `redis+sentinel://u:1/${CANARY}@host/name`,
    `rediss+sentinel://:${CANARY}@/name`,
    `redis://u:${CANARY}@${"h".repeat(500)} `,
  ];
  for (const uri of urls) {
    for (const form of [uri, [uri], [uri, uri], [uri, "redis://u:x@other"]]) {
      const error = assertThrows(() => parseStreamerUrl(form), StreamerError);
      assertInstanceOf(error, StreamerError);
      assert(!`${error.message} ${error.stack}`.includes(CANARY), error.message);
      assert(error.message.length < 500);
    }
  }
});

test("a refusal quotes the URL, its password hidden", () => {
  assertStringIncludes(refused("redis://user:secret@host:0").message, "redis://user:***@host:0");
});

test("a URL is shown with its password hidden and without default parts", () => {
  const shown = (uri: string) => formatStreamerUrl(parseStreamerUrl(uri));
  assertEquals(shown("redis://user:secret@host/2"), "redis://user:***@host:6379/2");
  assertEquals(shown("redis://:secret@host"), "redis://:***@host:6379");
  assertEquals(shown("rediss://[::1]:7/0"), "rediss://[::1]:7");
  assertEquals(shown("redis+unix://u:secret@/a%20b?db=3"), "redis+unix://u:***@/a%20b?db=3");
  assertEquals(shown("redis://a:1,b:2"), "redis://a:1,b:2");
  assertEquals(shown("redis+sentinel://u:secret@a,b:1/n%40me/0"), "redis+sentinel://u:***@a:26379,b:1/n%40me");
  assertEquals(shown("rediss+sentinel://:secret@[::1]/name/2"), "rediss+sentinel://:***@[::1]:26379/name/2");
  assertEquals(hidePassword("no url at all"), "no url at all");
});

test("a stream URL has the server's URL and the streams after it", () => {
  const cases: Readonly<Record<string, { uri: string; streamKeys: string[] }>> = {
    "redis://host/orders": { uri: "redis://host", streamKeys: ["orders"] },
    "redis://host/stream_a,stream_b": { uri: "redis://host", streamKeys: ["stream_a", "stream_b"] },
    "redis://host/2/orders": { uri: "redis://host/2", streamKeys: ["orders"] },
    "redis://host/2/": { uri: "redis://host/2", streamKeys: [] },
    "redis://host/": { uri: "redis://host", streamKeys: [] },
    "redis://host/0": { uri: "redis://host", streamKeys: ["0"] },
    "redis://host/1,2": { uri: "redis://host", streamKeys: ["1", "2"] },
    "redis://u:p%40@a:1,b:2/3/x%2Fy,z": { uri: "redis://u:p%40@a:1,b:2/3", streamKeys: ["x/y", "z"] },
    "rediss://[::1]:7/a.b_c-d:e": { uri: "rediss://[::1]:7", streamKeys: ["a.b_c-d:e"] },
    "redis://host/%7Btag%7D.x": { uri: "redis://host", streamKeys: ["{tag}.x"] },
    "redis+sentinel://a,b:1/name/orders": { uri: "redis+sentinel://a,b:1/name", streamKeys: ["orders"] },
    "redis+sentinel://u:p@a/name/2/x,y": { uri: "redis+sentinel://u:p@a/name/2", streamKeys: ["x", "y"] },
    "rediss+sentinel://a/name/2": { uri: "rediss+sentinel://a/name", streamKeys: ["2"] },
    "redis+sentinel://a/name/": { uri: "redis+sentinel://a/name", streamKeys: [] },
  };
  for (const [url, parsed] of Object.entries(cases)) assertEquals<unknown>({ ...StreamUrl.parse(url) }, parsed, url);
});

test("a URL without a stream part, or with a wrong one, is refused", () => {
  const cases: Readonly<Record<string, string>> = {
    "redis://host": "INVALID_URL",
    "host/orders": "INVALID_URL",
    "redis:///orders": "INVALID_URL",
    "redis://host/x/orders": "INVALID_URL",
    "redis://host/1/2/orders": "INVALID_URL",
    "redis+sentinel://host": "INVALID_URL",
    "redis+sentinel://host/name": "INVALID_URL",
    "redis+sentinel://host//orders": "INVALID_URL",
    "redis+sentinel://host/name/db/orders": "INVALID_URL",
    "redis+sentinel://host/name/1/2/orders": "INVALID_URL",
    "redis://host/orders?x": "INVALID_URL",
    "redis://host/orders#x": "INVALID_URL",
    "redis://host/a%zz": "INVALID_URL",
    "redis://host/a,,b": "INVALID_STREAM_KEY",
    "redis://host/a,": "INVALID_STREAM_KEY",
    "redis://host/a%20b": "INVALID_STREAM_KEY",
    "redis://host/a%2Cb": "INVALID_STREAM_KEY",
    "redis://host/SEA_STREAMER_INTERNAL": "INVALID_STREAM_KEY",
  };
  for (const [url, code] of Object.entries(cases)) {
    assertEquals(assertThrows(() => StreamUrl.parse(url), StreamerError).code, code, url);
  }
});

test("a parsed stream URL shows no password, and is usable all the same", () => {
  const parsed = StreamUrl.parse("redis://u:canary@h/orders");
  assertEquals(parsed.uri, "redis://u:canary@h");
  const shown = { uri: "redis://u:***@h", streamKeys: ["orders"] };
  assertEquals(JSON.parse(JSON.stringify(parsed)), shown);
  for (const text of [inspect(parsed), inspect([parsed]), inspect({ deep: { deep: { parsed } } })]) {
    assert(!text.includes("canary"), text);
  }
  assertEquals({ ...parsed }, { uri: parsed.uri, streamKeys: ["orders"] });
});
