// Determines the server, the streams and the connect options from arguments, environment and files. No error contains a password.

import type { ConnectOptions } from "../../connect_options.ts";
import type { TimestampFormat } from "../../model/id.ts";
import { checkStreamKey } from "../../model/key.ts";
import { hasStreamPart, hidePassword, parseStreamerUrl, StreamUrl } from "../../model/url.ts";
import type { Given } from "./arguments.ts";
import { CommandError, sentence, UsageError } from "../failure.ts";
import type { System } from "../system.ts";

/** Streams on a server. */
export interface Address {
  /** The server's URL. It may contain the password: use it to connect only. */
  readonly uri: string;
  /** What named the server, for errors: a URL before the streams, `--url`, `REDIS_URL`, or nothing. */
  readonly origin: Origin;
  readonly streamKeys: readonly string[];
  readonly options: ConnectOptions;
}

/** What named a server. */
export type Origin = "argument" | "--url" | "REDIS_URL" | "default";

const DEFAULT_URL = "redis://localhost:6379";

type Place = Pick<Address, "uri" | "origin" | "streamKeys">;

/** The server and the streams that an argument names. Commands for a whole server may omit the argument. */
export async function addressOf(system: System, given: Given, location: string | undefined): Promise<Address> {
  return { ...placeOf(system, given, location), options: await optionsOf(system, given, CREDENTIALS) };
}

/** The target of a relay: a URL, or streams on the server that the relay reads from. */
export async function targetOf(system: System, given: Given, location: string, source: Address): Promise<Address> {
  if (!location.includes("://")) return { ...source, streamKeys: keysOf(location) };
  return { ...splitUrl(location), options: await optionsOf(system, given, TARGET_CREDENTIALS) };
}

/** The streams, at least one. */
export function someStreams({ streamKeys }: Address): readonly string[] {
  if (streamKeys.length > 0) return streamKeys;
  throw new UsageError("No stream given: use a name such as orders, or redis://host/orders");
}

/** The only stream. */
export function oneStream(address: Address): string {
  const [first, ...more] = someStreams(address);
  if (more.length === 0) return first;
  throw new UsageError(`Only one stream can be given, got ${address.streamKeys.join(",")}`);
}

/** The unit of the time in ids. */
export function formatOf(given: Given): TimestampFormat {
  return given.choice("timestamp-format", ["milliseconds", "nanoseconds"]) ?? "milliseconds";
}

function placeOf(system: System, given: Given, location: string | undefined): Place {
  const url = given.text("url");
  if (location?.includes("://")) {
    if (url !== undefined) throw new UsageError("--url cannot be combined with a URL before the streams");
    return splitUrl(location);
  }
  const fromEnvironment = system.env("REDIS_URL") || undefined;
  const origin = url !== undefined ? "--url" : fromEnvironment !== undefined ? "REDIS_URL" : "default";
  const uri = url ?? fromEnvironment ?? DEFAULT_URL;
  try {
    parseStreamerUrl(uri); // before anything else is done
  } catch (cause) {
    throw new UsageError(`Invalid ${origin}: ${sentence(cause)}`, { cause });
  }
  return { uri, origin, streamKeys: location === undefined ? [] : keysOf(location) };
}

function splitUrl(location: string): Place {
  if (/^redis\+unix:/i.test(location)) {
    throw new UsageError(
      "redis+unix:// cannot be followed by streams: give the server as --url, and the streams by name",
    );
  }
  const origin = "argument";
  if (hasStreamPart(location)) return { ...StreamUrl.parse(location), origin };
  parseStreamerUrl(location);
  return { uri: location, origin, streamKeys: [] };
}

function keysOf(location: string): string[] {
  if (location.includes("@")) { // not a name; possibly a URL without its protocol
    throw new UsageError(`Streams must be names, or a URL such as redis://host/orders, got ${hidePassword(location)}`);
  }
  return location === "" ? [] : location.split(",").map(checkStreamKey);
}

interface CredentialNames {
  readonly username: string;
  readonly passwordFile: string;
  readonly db: string | undefined;
}

const CREDENTIALS: CredentialNames = { username: "username", passwordFile: "password-file", db: "db" };
const TARGET_CREDENTIALS: CredentialNames = {
  username: "to-username",
  passwordFile: "to-password-file",
  db: undefined,
};

async function optionsOf(system: System, given: Given, names: CredentialNames): Promise<ConnectOptions> {
  const file = given.text(names.passwordFile);
  const password = file === undefined ? undefined : await passwordOf(system, file);
  const username = given.text(names.username);
  const db = names.db === undefined ? undefined : given.integer(names.db, { min: 0 });
  const messageField = given.text("message-field");
  const pem = async (name: string) => {
    const path = given.text(name);
    return path === undefined ? undefined : await textOf(system, path);
  };
  const [ca, cert, key] = [await pem("ca"), await pem("cert"), await pem("key")];
  const tls = {
    ...(ca === undefined ? {} : { caCerts: [ca] }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(given.flag("insecure") ? { insecure: true } : {}),
  };
  return {
    timestampFormat: formatOf(given),
    signal: system.signal,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(db === undefined ? {} : { db }),
    ...(messageField === undefined ? {} : { messageField }),
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
  };
}

async function passwordOf(system: System, path: string): Promise<string> {
  const [line] = (await textOf(system, path)).split(/\r?\n/, 1);
  if (line !== "") return line;
  throw new CommandError(`No password in ${path}: its first line is empty`);
}

async function textOf(system: System, path: string): Promise<string> {
  try {
    return (await system.readText(path)).replace(/^\ufeff/, "");
  } catch (cause) {
    throw new CommandError(`Cannot read ${path}: ${sentence(cause)}`, { cause });
  }
}
