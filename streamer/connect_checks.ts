// Checks of the options of `connect` that are objects, functions or secrets. Errors never show credentials or keys.

import type { ReconnectOptions } from "../resp/connection/reconnect/backoff.ts";
import type { CredentialSource, Identification } from "../resp/connection/handshake/credentials.ts";
import { checkLimits, type RespLimits } from "../resp/limits.ts";
import type { TlsOptions } from "../resp/transport/transport.ts";
import type { ReachRules } from "./cluster/reach.ts";
import { OptionError } from "./model/option_error.ts";
import { checkNames, checkNumber, invalidOption } from "./model/options.ts";

/** Checks a user name and a password. A user name alone is refused, since it is unclear which user is meant. */
export function checkCredentials(
  prefix: string,
  username: CredentialSource | undefined,
  password: CredentialSource | undefined,
): Pick<Identification, "username" | "password"> {
  checkCredential(`${prefix}username`, username);
  checkCredential(`${prefix}password`, password);
  if (username !== undefined && password === undefined) {
    throw new OptionError(`'${prefix}password' must be given with a user name, got none`);
  }
  return { ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }) };
}

/** Checks a credential. The error does not show the value, since it may be a secret. */
function checkCredential(name: string, value: CredentialSource | undefined): void {
  if (value === undefined || typeof value === "string" || typeof value === "function") return;
  throw new OptionError(`'${name}' must be a string or a function that returns one`);
}

/** Returns the protocol version. */
export function checkProtocol(protocol: 2 | 3 | "auto" = "auto"): 2 | 3 | "auto" {
  if (protocol !== 2 && protocol !== 3 && protocol !== "auto") {
    throw invalidOption("protocol", protocol, `2, 3 or "auto"`);
  }
  return protocol;
}

/** Checks TLS options. `name` is the name of the option. */
export function checkTls(name: string, tls: TlsOptions): void {
  if (typeof tls !== "object" || tls === null) throw new OptionError(`'${name}' must be an object`); // its value may be a key
  checkNames(`${name} options`, tls, ["caCerts", "cert", "key", "serverName", "insecure"]);
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    const missing = tls.cert === undefined ? "cert" : "key";
    throw new OptionError(`'${name}.${missing}' must be given, since the other half of the client certificate is`);
  }
  if (tls.insecure !== undefined && typeof tls.insecure !== "boolean") {
    throw invalidOption(`${name}.insecure`, tls.insecure, "true or false");
  }
}

/** Returns the limits of replies, completed with defaults. */
export function checkReplyLimits(limits: RespLimits): Required<RespLimits> {
  checkNames("limits", limits, ["bulk", "elements", "depth", "reply"]);
  return checkLimits(limits);
}

/** Returns the delays of reconnecting, completed with defaults. */
export function checkReconnect(options: ReconnectOptions): Required<ReconnectOptions> {
  checkNames("reconnect options", options, ["initialDelay", "maxDelay", "maxAttempts"]);
  const initialDelay = checkNumber("reconnect.initialDelay", options.initialDelay, 50, { min: 1 });
  return {
    initialDelay,
    maxDelay: checkNumber("reconnect.maxDelay", options.maxDelay, Math.max(2_000, initialDelay), { min: initialDelay }),
    maxAttempts: checkNumber("reconnect.maxAttempts", options.maxAttempts, Infinity, { min: 0 }),
  };
}

/** Checks the functions that decide how nodes are reached. */
export function reachRules({ mapNode, allowNode }: ReachRules, tls: TlsOptions | undefined): ReachRules {
  if (mapNode !== undefined && typeof mapNode !== "function") throw invalidOption("mapNode", mapNode, "a function");
  if (allowNode !== undefined && typeof allowNode !== "function") {
    throw invalidOption("allowNode", allowNode, "a function");
  }
  return {
    ...(mapNode === undefined ? {} : { mapNode }),
    ...(allowNode === undefined ? {} : { allowNode }),
    ...(tls === undefined ? {} : { tls }),
  };
}
