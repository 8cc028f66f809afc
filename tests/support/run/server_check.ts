// Checks once, before the tests run, that they can have servers: without one nearly all of them fail. Does not use the
// library under test.

import { env } from "node:process";
import { remoteServer, startServer } from "../servers/server.ts";
import { findServer, noServer } from "../servers/server_binary.ts";

/** Milliseconds in which the server of REDIS_URL must answer. */
const PATIENCE = 10_000;
const PROTOCOLS: readonly string[] = ["redis:", "rediss:"];

/** Describes in one line where the servers of the tests come from. */
export async function describeServers(): Promise<string> {
  const binary = await findServer();
  return `Server: ${env.REDIS_URL ? "REDIS_URL, " : ""}${binary ? binary.command.join(" ") : "a container"}`;
}

/**
 * The reason why the tests have no servers; `undefined` if they have. The server of REDIS_URL must answer. The program that was
 * found, or else a container, must start. With REDIS_URL alone, tests that need servers of their own are skipped.
 *
 * @param prepareContainers Called before a container starts, which needs a package.
 * @param program The command line of a server in place of the one that is found.
 */
export async function whyNoServers(
  prepareContainers: () => Promise<void>,
  program?: string,
): Promise<string | undefined> {
  const remote = env.REDIS_URL ? await whyNotRemote(env.REDIS_URL) : undefined;
  if (remote !== undefined) return remote;
  const binary = await findServer(program);
  if (env.REDIS_URL && binary === undefined) return undefined;
  try {
    if (binary === undefined) await prepareContainers();
    await (await startServer(program === undefined ? {} : { program })).stop();
    return undefined;
  } catch (error) {
    return binary === undefined ? noServer : `${text(error)}\nThe server was named by ${binary.source}`;
  }
}

/** Why the server of REDIS_URL cannot be used. The value may hold a password: no message repeats it. */
async function whyNotRemote(url: string): Promise<string | undefined> {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || parsed.hostname === "" || !PROTOCOLS.includes(parsed.protocol)) {
    return "Cannot use REDIS_URL: it must be a URL such as redis://localhost:6379";
  }
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${PATIENCE / 1_000} seconds`)), PATIENCE);
  });
  try {
    await Promise.race([remoteServer(url), late]);
    return undefined;
  } catch (error) {
    return `Cannot use the server at REDIS_URL: ${text(error)}`;
  } finally {
    clearTimeout(timer);
  }
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
