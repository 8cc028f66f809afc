// Tests the listing of streams of several primaries, one primary at a time, and repeated names.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { StreamerError } from "../../../resp/errors.ts";
import type { Command } from "../../../resp/connection/command.ts";
import { NodeLeftError } from "../../../streamer/cluster/router.ts";
import type { SignalOptions } from "../../../streamer/manager/options.ts";
import { PageIterator } from "../../../streamer/manager/page_iterator.ts";
import type { Primary } from "../../../streamer/manager/shard_keys.ts";
import { scanPrimaries, StreamNames } from "../../../streamer/manager/streams.ts";
import { array, bulk, standing } from "../commands/frames.ts";
import { test } from "../../support/runner.ts";

/** A primary with these pages. The cursor of each but the first is its number times a hundred. */
function primaryOf(name: string, ...pages: readonly (readonly string[])[]): Primary & { readonly asked: string[] } {
  const asked: string[] = [];
  const run = <T>(command: Command<T>, { signal }: SignalOptions): Promise<T> => {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const cursor = String(command.args[1]);
    asked.push(cursor);
    const page = Number(cursor) / 100;
    const next = page + 1 < pages.length ? (page + 1) * 100 : 0;
    const keys = `*${pages[page].length}\r\n${pages[page].map(bulk).join("")}`;
    return Promise.resolve(command.read(standing(array(bulk(`${next}`), keys))));
  };
  return { name, run, asked };
}

async function walk(primaries: readonly Primary[]): Promise<{ names: string[]; cursors: string[] }> {
  const names: string[] = [];
  const cursors: string[] = [];
  let cursor = "0";
  do {
    const page = await scanPrimaries(() => primaries, cursor, { signal: undefined });
    names.push(...page.streams);
    cursors.push(cursor = page.cursor);
  } while (cursor !== "0");
  return { names, cursors };
}

/** Rounds of these primaries. */
function roundsOf(
  ...rounds: readonly (readonly string[])[]
): () => { next(): Promise<readonly string[]>; close(): void } {
  let at = 0;
  return () => ({ next: () => Promise.resolve(rounds[at++] ?? []), close: () => {} });
}

/** A lookup by name. */
function primaryAmong(primaries: readonly Primary[]): (name: string) => Primary {
  return (name) => primaries.find((one) => one.name === name) ?? primaryOf(name, []);
}

async function listed(primaries: readonly Primary[], ...rounds: readonly (readonly string[])[]): Promise<string[]> {
  const names: string[] = [];
  const all = rounds.length === 0 ? [primaries.map(({ name }) => name)] : rounds;
  const source = new StreamNames({ rounds: roundsOf(...all), primary: primaryAmong(primaries) });
  for await (const name of new PageIterator(source)) names.push(name);
  return names;
}

/** A primary that owns no slots any more at that question. */
function leaving(name: string, at: number, ...pages: readonly (readonly string[])[]): Primary {
  const primary = primaryOf(name, ...pages);
  let asked = 0;
  return {
    name,
    run: (command, options) =>
      asked++ === at ? Promise.reject(new NodeLeftError(name, command)) : primary.run(command, options),
  };
}

test("of one server the cursor is the server's own", async () => {
  const { names, cursors } = await walk([primaryOf("h:1", ["a"], [], ["b"])]);
  assertEquals([names, cursors], [["a", "b"], ["100", "200", "0"]]);
});

test("of several primaries the cursor names its own, in the order of their names", async () => {
  const primaries = [primaryOf("h:2", ["b"], ["c"]), primaryOf("h:1", ["a"]), primaryOf("h:3", [], ["d"])];
  const { names, cursors } = await walk(primaries);
  assertEquals([names, cursors], [["a", "b", "c", "d"], ["0@h:2", "100@h:2", "0@h:3", "100@h:3", "0"]]);
});

test("if a primary is gone the scan restarts, so that the node that has its streams now is scanned, whatever its name", async () => {
  const primaries = [primaryOf("h:1", ["a"]), primaryOf("h:3", ["c"], ["d"])];
  const signal = undefined;
  for (const cursor of ["100@h:2", "100@h:4", "0@h:0"]) {
    assertEquals(await scanPrimaries(() => primaries, cursor, { signal }), { cursor: "0@h:3", streams: ["a"] }, cursor);
  }
  assertEquals([primaries[0].asked, primaries[1].asked], [["0", "0", "0"], []]);
  assertEquals(await scanPrimaries(() => [], "100@h:2", { signal }), { cursor: "0", streams: [] });
});

test("if a primary loses its slots while the page is requested, the scan restarts", async () => {
  const gone = leaving("h:2", 0, ["b"]);
  const others = [primaryOf("h:1", ["a"]), primaryOf("h:3", ["c"])];
  let asked = 0;
  const primaries = () => asked++ === 0 ? [...others, gone] : others;
  assertEquals(await scanPrimaries(primaries, "100@h:2", { signal: undefined }), { cursor: "0@h:3", streams: ["a"] });
});

test("a loop over all streams goes on with the nodes that have got the slots of one that is gone", async () => {
  const primaries = [
    primaryOf("a:2", ["one"]),
    leaving("b:1", 1, ["two"], ["three"]),
    primaryOf("c:1", ["four"]),
    primaryOf("a:3", ["two"], ["three"]),
  ];
  const names = await listed(primaries, ["a:2", "b:1", "c:1"], ["a:3"]);
  assertEquals(names, ["one", "two", "four", "three"]);
});

test("an invalid cursor is refused", async () => {
  for (const cursor of ["x", "1@", "@h:1", "-1", " 1"]) {
    const asked = () => scanPrimaries(() => [primaryOf("h:1", [])], cursor, { signal: undefined });
    assertEquals((await assertRejects(asked, StreamerError)).code, "INVALID_OPTION", cursor);
  }
});

test("a repeated name is returned once, also from another primary, and pages without names are skipped", async () => {
  const primaries = [primaryOf("h:1", ["a", "b"], [], ["a"], ["c", "b"]), primaryOf("h:2", ["a", "d", "d"])];
  assertEquals(await listed(primaries), ["a", "b", "c", "d"]);
});

test("of very many names only the latest are remembered", async () => {
  const many = Array.from({ length: 140_000 }, (_, i) => `s${i}`);
  const names = await listed([primaryOf("h:1", many, ["s0", "s139999", "s100000"])]);
  assert(names.length === 140_001 && names.at(-1) === "s0", `${names.length}, then ${names.slice(140_000)}`);
});
