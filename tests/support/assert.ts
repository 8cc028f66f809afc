// Replaces `@std/assert` in the tests: the functions that the tests use, with the same signatures, on node:assert. It
// offers nothing that the real package lacks, since the tests also run with that (`deno task test:jsr`).

import nodeAssert from "node:assert/strict";
import { inspect } from "node:util";

/** The error of a failed assertion. */
export class AssertionError extends Error {
  override name = "AssertionError";
}

// Class constructors have parameters that only `any` (or `never` with a cast at each use) can stand for.
// deno-lint-ignore no-explicit-any
type Constructor<T> = abstract new (...args: any[]) => T;
type Falsy = false | 0 | 0n | "" | null | undefined;

function failed(what: string, msg: string | undefined): never {
  throw new AssertionError(msg === undefined ? what : `${what}: ${msg}`);
}

function show(value: unknown): string {
  return inspect(value, { depth: 6, maxArrayLength: 50, maxStringLength: 2_000, breakLength: 100 });
}

/** Whether two values are deeply equal. */
export function equal(a: unknown, b: unknown): boolean {
  try {
    nodeAssert.deepStrictEqual(a, b);
    return true;
  } catch {
    return false;
  }
}

/** Fails unless the expression is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Fails unless the expression is falsy. */
export function assertFalse(expr: unknown, msg?: string): asserts expr is Falsy {
  if (expr) failed(`Expected a falsy value, got ${show(expr)}`, msg);
}

/** Fails unless the two are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  try {
    nodeAssert.deepStrictEqual(actual, expected);
  } catch (error) {
    const difference = error instanceof Error ? error.message : String(error);
    failed(`Values are not equal\nactual:   ${show(actual)}\nexpected: ${show(expected)}\n${difference}`, msg);
  }
}

/** Fails if the two are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) failed(`Expected other values than ${show(expected)}`, msg);
}

/** Fails unless the two are the same (Object.is). */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T {
  if (!Object.is(actual, expected)) failed(`Values are not the same: ${show(actual)}, ${show(expected)}`, msg);
}

/** Fails if the two are the same (Object.is). */
export function assertNotStrictEquals<T>(actual: T, expected: T, msg?: string): void {
  if (Object.is(actual, expected)) failed(`Expected another value than ${show(expected)}`, msg);
}

/** Fails unless the two numbers are within the tolerance. */
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, msg?: string): void {
  if (Object.is(actual, expected)) return;
  const allowed = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  if (!(Math.abs(expected - actual) <= allowed)) failed(`${actual} is not within ${allowed} of ${expected}`, msg);
}

/** Fails for null and undefined. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) failed(`Expected a value, got ${actual}`, msg);
}

/** Fails unless actual > expected. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) failed(`Expected ${show(actual)} > ${show(expected)}`, msg);
}

/** Fails unless actual >= expected. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) failed(`Expected ${show(actual)} >= ${show(expected)}`, msg);
}

/** Fails unless actual < expected. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) failed(`Expected ${show(actual)} < ${show(expected)}`, msg);
}

/** Fails unless actual <= expected. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) failed(`Expected ${show(actual)} <= ${show(expected)}`, msg);
}

/** Fails unless the value is an instance of the class. */
export function assertInstanceOf<C extends Constructor<unknown>>(
  actual: unknown,
  expectedType: C,
  msg = "",
): asserts actual is InstanceType<C> {
  if (!(actual instanceof expectedType)) {
    failed(`Expected an instance of ${expectedType.name}, got ${show(actual)}`, msg || undefined);
  }
}

/** Fails unless the text matches. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (!expected.test(actual)) failed(`Expected ${show(actual)} to match ${expected}`, msg);
}

/** Fails if the text matches. */
export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void {
  if (expected.test(actual)) failed(`Expected ${show(actual)} not to match ${expected}`, msg);
}

/** Fails unless the text contains the other. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (!actual.includes(expected)) failed(`Expected ${show(actual)} to contain ${show(expected)}`, msg);
}

/** Fails unless each of the expected elements is deeply equal to one of the actual ones. */
export function assertArrayIncludes<T>(actual: ArrayLike<T>, expected: ArrayLike<T>, msg?: string): void {
  const there = Array.from(actual);
  const missing = Array.from(expected).filter((wanted) => !there.some((one) => equal(one, wanted)));
  if (missing.length > 0) failed(`Expected ${show(actual)} to include ${show(missing)}`, msg);
}

/** Fails unless the expected object is a deep part of the actual one. */
export function assertObjectMatch(
  actual: Record<PropertyKey, unknown>,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void {
  assertEquals(partOf(actual, expected), expected, msg);
}

function partOf(actual: unknown, expected: unknown): unknown {
  if (!isPlain(expected) || typeof actual !== "object" || actual === null) {
    if (Array.isArray(expected) && Array.isArray(actual)) {
      return actual.slice(0, expected.length).map((one, i) => partOf(one, expected[i]));
    }
    return actual;
  }
  const part: Record<PropertyKey, unknown> = {};
  for (const key of Reflect.ownKeys(expected)) {
    if (key in actual) part[key] = partOf(Reflect.get(actual, key), expected[key]);
  }
  return part;
}

function isPlain(value: unknown): value is Record<PropertyKey, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** Fails unless the value is an error of the class whose message contains (or matches) the text. */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: Constructor<E>,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E {
  if (!(error instanceof Error)) failed(`Expected an Error, got ${show(error)}`, msg);
  if (ErrorClass && !(error instanceof ErrorClass)) {
    failed(`Expected a ${ErrorClass.name}, got ${show(error)}`, msg);
  }
  const matches = typeof msgMatches === "string" ? error.message.includes(msgMatches) : msgMatches?.test(error.message);
  if (matches === false) failed(`Expected ${show(error.message)} to match ${show(msgMatches)}`, msg);
}

/** Fails unless the function throws. Returns the error. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Fails unless the function throws an error of the class; returns it. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: Constructor<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(
  fn: () => unknown,
  classOrMsg?: Constructor<Error> | string,
  msgIncludes?: string,
  msg?: string,
): unknown {
  let thrown: unknown;
  try {
    fn();
  } catch (error) {
    thrown = error;
    if (typeof classOrMsg === "function") assertIsError(error, classOrMsg, msgIncludes, msg);
    return thrown;
  }
  return failed("Expected the function to throw", typeof classOrMsg === "string" ? classOrMsg : msg);
}

/** Fails unless the function's promise rejects. Resolves to the error. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** Fails unless the function's promise rejects with an error of the class; resolves to it. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: Constructor<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  classOrMsg?: Constructor<Error> | string,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  const text = typeof classOrMsg === "string" ? classOrMsg : msg;
  let promise: PromiseLike<unknown>;
  try {
    promise = fn();
  } catch (error) {
    return failed(`The function threw instead of rejecting (${show(error)})`, text);
  }
  if (typeof promise?.then !== "function") failed("The function returned no promise", text);
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    if (typeof classOrMsg === "function") assertIsError(error, classOrMsg, msgIncludes, msg);
    return error;
  }
  return failed(`Expected the promise to reject, it resolved to ${show(value)}`, text);
}

/** Fails. */
export function fail(msg?: string): never {
  return failed("Failed", msg);
}

/** Fails: this line must not be reached. */
export function unreachable(msg?: string): never {
  return failed("Unreachable", msg);
}
