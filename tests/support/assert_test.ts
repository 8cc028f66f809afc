// Tests that the adapters judge as the real @std packages do: `deno task test:jsr` runs these lines with those.

import {
  assert,
  assertAlmostEquals,
  assertArrayIncludes,
  assertEquals,
  assertExists,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  AssertionError,
  assertIsError,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertNotMatch,
  assertNotStrictEquals,
  assertObjectMatch,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  equal,
  fail,
  unreachable,
} from "@std/assert";
import { abortable, deadline, delay, pooledMap } from "@std/async";
import { test } from "./runner.ts";

// Judged without the functions under test.
function refuses(judge: () => unknown): void {
  try {
    judge();
  } catch (error) {
    if (error instanceof AssertionError) return;
    throw error;
  }
  throw new Error(`This should have been refused: ${judge}`);
}

async function refusesLater(judge: () => Promise<unknown>): Promise<void> {
  const error = await judge().then(() => undefined, (error: unknown) => error);
  if (!(error instanceof AssertionError)) throw new Error(`This should have been refused: ${judge}`);
}

test("equality is deep, for bytes, maps, sets, dates and bigints too", () => {
  const pairs: [unknown, unknown, unknown][] = [
    [1n, 1n, 2n],
    [1n, 1n, 1],
    ["a", "a", "b"],
    [NaN, NaN, 0],
    [new Uint8Array([1, 2]), new Uint8Array([0, 1, 2]).subarray(1), new Uint8Array([1, 3])],
    [new Uint8Array(2), new Uint8Array(2), new Uint8Array(3)],
    [new Map([["a", [1]]]), new Map([["a", [1]]]), new Map([["a", [2]]])],
    [new Set([1, 2]), new Set([2, 1]), new Set([1, 3])],
    [new Date(5), new Date(5), new Date(6)],
    [{ a: { b: [1, { c: 2 }] } }, { a: { b: [1, { c: 2 }] } }, { a: { b: [1, { c: 3 }] } }],
    [[1, 2], [1, 2], [1, 2, 3]],
    [null, null, undefined],
    [/a/g, /a/g, /a/i],
  ];
  for (const [value, same, other] of pairs) {
    assertEquals(value, same);
    assertNotEquals(value, other);
    refuses(() => assertEquals(value, other));
    refuses(() => assertNotEquals(value, same));
    if (!equal(value, same) || equal(value, other)) throw new Error(`equal misjudges ${value}`);
  }
});

test("simple assertions accept and refuse the values they should", () => {
  assert(1);
  refuses(() => assert(0));
  assertFalse(0);
  refuses(() => assertFalse(1));
  const one = {};
  assertStrictEquals(one, one);
  refuses(() => assertStrictEquals<unknown>({}, one));
  assertNotStrictEquals({}, one);
  refuses(() => assertNotStrictEquals(one, one));
  assertAlmostEquals(0.1 + 0.2, 0.3);
  refuses(() => assertAlmostEquals(0.31, 0.3, 0.001));
  assertExists(0);
  refuses(() => assertExists(null));
  assertGreater(2, 1);
  refuses(() => assertGreater(1, 1));
  assertGreaterOrEqual(1n, 1n);
  refuses(() => assertGreaterOrEqual(0, 1));
  assertLess("a", "b");
  refuses(() => assertLess(1, 1));
  assertLessOrEqual(1, 1);
  refuses(() => assertLessOrEqual(2, 1));
  assertInstanceOf(new TypeError("x"), Error);
  refuses(() => assertInstanceOf({}, Error));
  assertMatch("abc", /b/);
  refuses(() => assertMatch("abc", /d/));
  assertNotMatch("abc", /d/);
  refuses(() => assertNotMatch("abc", /b/));
  assertStringIncludes("abc", "bc");
  refuses(() => assertStringIncludes("abc", "cb"));
  assertArrayIncludes([[1], [2], [3]], [[3], [1]]);
  refuses(() => assertArrayIncludes([1, 2], [3]));
  assertObjectMatch({ a: 1, b: { c: 2, d: 3 } }, { b: { c: 2 } });
  refuses(() => assertObjectMatch({ a: 1, b: { c: 2 } }, { b: { c: 3 } }));
  refuses(() => assertObjectMatch({ a: 1 }, { b: 1 }));
  refuses(() => fail("so"));
  refuses(() => unreachable());
});

test("errors are compared by class and text, and returned", async () => {
  const error = new TypeError("the text");
  const thrower = () => {
    throw error;
  };
  if (assertThrows(thrower) !== error || assertThrows(thrower, TypeError, "text") !== error) {
    throw new Error("assertThrows hands back another error");
  }
  refuses(() => assertThrows(() => 1));
  refuses(() => assertThrows(thrower, RangeError));
  refuses(() => assertThrows(thrower, TypeError, "other"));
  assertIsError(error, TypeError, /^the/);
  refuses(() => assertIsError("the text"));
  refuses(() => assertIsError(error, TypeError, /^text/));

  const rejecter = () => Promise.reject(error);
  if (await assertRejects(rejecter) !== error || await assertRejects(rejecter, Error, "text") !== error) {
    throw new Error("assertRejects hands back another error");
  }
  await refusesLater(() => assertRejects(() => Promise.resolve(1)));
  await refusesLater(() => assertRejects(rejecter, RangeError));
  await refusesLater(() => assertRejects(rejecter, TypeError, "other"));
  await refusesLater(() => assertRejects(thrower));
});

test("a delay ends with its signal's reason", async () => {
  await delay(1);
  const reason = new Error("enough");
  const controller = new AbortController();
  const waiting = delay(60_000, { signal: controller.signal });
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => waiting), reason);
  assertStrictEquals(await assertRejects(() => delay(1, { signal: AbortSignal.abort(reason) })), reason);
});

test("a deadline and an abort end the wait, and not the work", async () => {
  assertEquals(await deadline(Promise.resolve(1), 60_000), 1);
  const never = new Promise<never>(() => {});
  const late = await assertRejects(() => deadline(never, 1), DOMException);
  assertEquals(late.name, "TimeoutError");
  const reason = new Error("enough");
  assertStrictEquals(await assertRejects(() => abortable(never, AbortSignal.abort(reason))), reason);
  assertEquals(await abortable(Promise.resolve(2), new AbortController().signal), 2);
});

test("a pooled map keeps the order and the limit", async () => {
  let running = 0;
  let most = 0;
  const results = pooledMap(3, [5, 1, 4, 2, 3], async (n) => {
    most = Math.max(most, ++running);
    await delay(n);
    running -= 1;
    return n * 10;
  });
  assertEquals(await Array.fromAsync(results), [50, 10, 40, 20, 30]);
  assertEquals(most, 3);
});
