// The server to connect to if the program names none: REDIS_URL, or a server on this machine.

import { ConnectError } from "../resp/connection/handshake/connect_error.ts";
import { StreamerError } from "../resp/errors.ts";
import { environmentVariable } from "./model/environment.ts";
import { urlErrorFrom } from "./model/url.ts";

const VARIABLE = "REDIS_URL";
const LOCAL = "redis://localhost:6379";

/** The default server. */
export interface DefaultUri {
  readonly uri: string;
  /** The same error with a text that says where the address comes from. Errors of other kinds are returned as they are. */
  readonly explain: (error: unknown) => unknown;
}

/** Reads `REDIS_URL`. It never prompts: without the permission to read it, the server on this machine is used. */
export async function defaultUri(): Promise<DefaultUri> {
  const { value, denied } = await environmentVariable(VARIABLE);
  const origin = value !== undefined
    ? `The address comes from ${VARIABLE}`
    : denied
    ? `No URL was given, and reading ${VARIABLE} is not permitted (--allow-env=${VARIABLE})`
    : `No URL was given, and ${VARIABLE} is not set`;
  return {
    uri: value ?? LOCAL,
    explain: (error) => explained(error, origin),
  };
}

function explained(error: unknown, origin: string): unknown {
  if (error instanceof ConnectError) return error.noting(origin);
  const isOutOfAttempts = error instanceof StreamerError && error.code === "DISCONNECTED";
  if (!isOutOfAttempts) return urlErrorFrom(VARIABLE, error);
  return new StreamerError("DISCONNECTED", `${error.message}. ${origin}`, { cause: error.cause });
}
