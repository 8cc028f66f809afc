// A user name and a password. They may be functions, which are called at each connection attempt.

import { StreamerError } from "../../errors.ts";
import { ConnectError } from "./connect_error.ts";
import type { Credentials } from "./handshake.ts";

/** A credential, or a function that returns it at each connection attempt. */
export type CredentialSource = string | (() => string | Promise<string>);

/** What connections send in the handshake, with the user name and the password as they were configured. */
export interface Identification extends Omit<Credentials, "username" | "password"> {
  readonly username?: CredentialSource;
  readonly password?: CredentialSource;
}

/** Whether the next attempt may use other credentials than this one. */
export function mayChange({ username, password }: Identification): boolean {
  return typeof username === "function" || typeof password === "function";
}

/**
 * The credentials of one attempt.
 *
 * @throws {ConnectError} `AUTH` if a function fails or does not return a string. Or the signal's reason.
 */
export async function askCredentials(identification: Identification, signal: AbortSignal): Promise<Credentials> {
  const { username, password, ...rest } = identification;
  if (typeof username !== "function" && typeof password !== "function") {
    return { ...rest, ...present(username, password) };
  }
  const asked = Promise.all([ask("username", username), ask("password", password)]);
  return { ...rest, ...present(...await unlessAborted(asked, signal)) };
}

function present(username: string | undefined, password: string | undefined) {
  return { ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }) };
}

async function ask(name: string, source: CredentialSource | undefined): Promise<string | undefined> {
  if (typeof source !== "function") return source;
  let value: unknown; // what a program without types may return
  try {
    value = await source();
  } catch (error) {
    throw new ConnectError("AUTH", `the function '${name}' failed`, { final: false, cause: error });
  }
  if (typeof value === "string") return value;
  const wrong = `the function '${name}' must return a string, got ${kindOf(value)}`; // never the value
  throw new ConnectError("AUTH", wrong, {
    final: false,
    cause: new StreamerError("INVALID_OPTION", `Cannot connect: ${wrong}`),
  });
}

function kindOf(value: unknown): string {
  return value === null ? "null" : typeof value;
}

/** Settles like the promise, or rejects with the signal's reason if that comes first. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
