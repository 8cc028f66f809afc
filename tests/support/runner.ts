// Provides `test` and `afterAll` on top of the test runner of Deno, Bun or Node, so that one file runs on all of them.

import { env } from "node:process";

/** Options of one test. */
export interface TestOptions {
  /** Milliseconds after which the test fails. @default {30_000} */
  readonly timeout?: number;
  /** Skips the test, on a runtime or server that lacks a feature. @default {false} */
  readonly ignore?: boolean;
  /**
   * Why the test needs one server. It is left out when the shared server is a cluster, and the reason is reported with its name.
   * @default {it runs there too}
   */
  readonly oneServer?: string;
}

/** Stands before the reason in the name of a test that is left out on a cluster. */
export const LEFT_OUT = "left out on a cluster: ";

/** Whether the shared server is a cluster. */
export const onCluster = (env.SEA_TEST_CLUSTER ?? "") !== "";

type Body = () => void | Promise<void>;

interface Backend {
  test(name: string, body: Body, options: { readonly timeout: number; readonly ignore: boolean }): void;
  afterAll(body: Body): void;
}

/** The runtime that runs the tests. */
export const runtime: "deno" | "bun" | "node" = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";

/** Registers a test, named as a sentence of behaviour. */
export function test(name: string, body: Body, options: TestOptions = {}): void {
  const { timeout = 30_000, oneServer } = options;
  const leftOut = oneServer !== undefined && onCluster;
  const ignore = leftOut || (options.ignore ?? false);
  const shown = leftOut ? `${name} (${LEFT_OUT}${oneServer})` : name;
  backend.test(shown, () => within(timeout, body), { timeout, ignore });
}

/** A `test` for files whose tests all need one server, for this reason. */
export function testOnOneServer(oneServer: string): typeof test {
  return (name, body, options) => test(name, body, { oneServer, ...options });
}

/** Registers what runs once after the tests of this file. */
export function afterAll(body: Body): void {
  backend.afterAll(body);
}

async function within(timeout: number, body: Body): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`The test did not end within ${timeout} ms`)), timeout);
  try {
    await Promise.race([body(), promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function chooseBackend(): Promise<Backend> {
  if (runtime === "deno") {
    return {
      test: (name, fn, { ignore }) => Deno.test({ name, fn, ignore }),
      afterAll: (body) => Deno.test.afterAll(body),
    };
  }
  // Through variables, so that neither the type checker nor another runtime looks for these modules.
  if (runtime === "bun") {
    const name: string = "bun:test";
    const bun: BunTest = await import(name);
    return {
      // The limit of this runner must be reached first, so Bun's own limit (5 s by default) is longer.
      test: (name, body, { timeout, ignore }) => (ignore ? bun.test.skip : bun.test)(name, body, timeout + 5_000),
      afterAll: (body) => bun.afterAll(body),
    };
  }
  const name: string = "node:test";
  const node: NodeTest = await import(name);
  return {
    test: (name, body, { ignore }) => void node.test(name, { skip: ignore }, () => body()),
    afterAll: (body) => node.after(() => body()),
  };
}

type BunRegister = (name: string, body: Body, timeout: number) => void;

interface BunTest {
  readonly test: BunRegister & { readonly skip: BunRegister };
  afterAll(body: Body): void;
}

interface NodeTest {
  test(name: string, options: { readonly skip: boolean }, body: Body): unknown;
  after(body: Body): void;
}

const backend = await chooseBackend();
