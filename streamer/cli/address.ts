// Where streams are: what was typed, the environment and files, made into a server, streams and the options of connecting. It
// must not know how to connect. Nothing it throws shows a password.

import type { ConnectOptions } from "../connect_options.ts";
import type { TimestampFormat } from "../model/id.ts";
import { checkStreamKey } from "../model/key.ts";
import { hidePassword, parseStreamerUrl, StreamUrl } from "../model/url.ts";
import type { Given } from "./arguments.ts";
import { CommandError, sentence, UsageError } from "./failure.ts";
import type { System } from "./system.ts";

/** Streams of a server. */
export interface Address {
  /** The server. It may hold the password: it is only for connecting. */
  readonly uri: string;
  readonly streamKeys: readonly string[];
  readonly options: ConnectOptions;
}

const DEFAULT_URL = "redis://localhost:6379";

/** The server and the streams of a word, which may be missing where any server will do. */
export async function addressOf(system: System, given: Given, word: string | undefined): Promise<Address> {
  const { uri, streamKeys } = placeOf(system, given, word);
  return { uri, streamKeys, options: await optionsOf(system, given, CREDENTIALS) };
}

/** Where a relay writes to: on the server it reads from, unless it is a url. */
export async function targetOf(system: System, given: Given, word: string, source: Address): Promise<Address> {
  if (!word.includes("://")) return { ...source, streamKeys: keysOf(word) };
  const { uri, streamKeys } = splitUrl(word);
  return { uri, streamKeys, options: await optionsOf(system, given, TARGET_CREDENTIALS) };
}

/** The streams, of which there must be some. */
export function someStreams({ streamKeys }: Address): readonly string[] {
  if (streamKeys.length > 0) return streamKeys;
  throw new UsageError("Cannot go on without a stream: name one behind the server, as in redis://localhost/orders");
}

/** The one stream there must be. */
export function oneStream({ streamKeys }: Address): string {
  if (streamKeys.length === 1) return streamKeys[0];
  throw new UsageError(`Cannot use ${streamKeys.length} streams as there must be one, as in redis://localhost/orders`);
}

/** What ids hold. */
export function formatOf(given: Given): TimestampFormat {
  return given.choice("timestamp-format", ["milliseconds", "nanoseconds"]) ?? "milliseconds";
}

function placeOf(system: System, given: Given, word: string | undefined): Pick<Address, "uri" | "streamKeys"> {
  const url = given.text("url");
  if (word?.includes("://")) {
    if (url !== undefined) throw new UsageError("Cannot use --url as the streams are given with a server of their own");
    return splitUrl(word);
  }
  const uri = url ?? (system.env("REDIS_URL") || DEFAULT_URL);
  parseStreamerUrl(uri); // told before anything is done
  return { uri, streamKeys: word === undefined ? [] : keysOf(word) };
}

function splitUrl(word: string): Pick<Address, "uri" | "streamKeys"> {
  if (/^redis\+unix:/i.test(word)) {
    throw new UsageError(
      "Cannot use redis+unix:// with streams behind it: name it by --url, and the streams by themselves",
    );
  }
  const authority = word.slice(Math.max(word.indexOf("://") + 3, word.lastIndexOf("@") + 1));
  if (authority.includes("/")) return StreamUrl.parse(word);
  parseStreamerUrl(word);
  return { uri: word, streamKeys: [] };
}

function keysOf(word: string): string[] {
  if (word.includes("@")) { // not a name, and maybe a url whose beginning was forgotten
    throw new UsageError(
      `Cannot use streams as they must be names or a url with its protocol: current value is ${hidePassword(word)}`,
    );
  }
  return word === "" ? [] : word.split(",").map(checkStreamKey);
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
  throw new CommandError(`Cannot use the password in ${path} as its first line must not be empty`);
}

async function textOf(system: System, path: string): Promise<string> {
  try {
    return await system.readText(path);
  } catch (cause) {
    throw new CommandError(`Cannot read ${path} as the system refuses: ${sentence(cause)}`, { cause });
  }
}
