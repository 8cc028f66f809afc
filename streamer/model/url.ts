// Server URLs and stream URLs. They are parsed strictly, and shown without the password.

import { StreamerError } from "../../resp/errors.ts";
import { shown } from "./id.ts";
import { checkStreamKey } from "./key.ts";
import { printAs } from "./printing.ts";

/** The address of one server. */
export type UrlNode =
  | { readonly kind: "tcp"; readonly hostname: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** The parts of a server URL. */
export interface StreamerUrl {
  readonly tls: boolean;
  /** The servers. If there is a `sentinelName`, the Sentinels. */
  readonly nodes: readonly UrlNode[];
  /** The name by which Sentinels know the primary. */
  readonly sentinelName?: string;
  readonly username?: string;
  readonly password?: string;
  readonly db?: number;
}

const DEFAULT_PORT = 6379;
const DEFAULT_SENTINEL_PORT = 26379;
const START = "the URL must start with redis://, rediss://, redis+unix:// or redis+sentinel://";
const HIDDEN = "***";

/**
 * Parses one URL with one or several nodes, or several URLs with the same protocol, credentials, database and Sentinel name. A unix
 * socket and a TCP address count as the same protocol here.
 *
 * @throws {StreamerError} `INVALID_URL`.
 */
export function parseStreamerUrl(uri: string | readonly string[]): StreamerUrl {
  const urls = typeof uri === "string" ? [uri] : uri;
  if (!Array.isArray(urls) || urls.length === 0 || urls.some((url) => typeof url !== "string")) {
    throw new UrlError(shown(uri), "pass a string, or a non-empty array of strings");
  }
  const parsed = urls.map(parseOne);
  const [first, ...others] = parsed;
  for (const other of others) {
    const same = other.tls === first.tls && other.db === first.db && other.username === first.username &&
      other.password === first.password && other.sentinelName === first.sentinelName;
    if (!same) {
      throw new UrlError(
        shortened(urls.map(hidePassword).join(" ")),
        "all URLs need the same protocol, credentials, database and Sentinel name",
      );
    }
  }
  return { ...first, nodes: parsed.flatMap((url) => url.nodes) };
}

function parseOne(url: string): StreamerUrl {
  const protocol = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(url);
  if (protocol === null) throw invalid(START, url);
  const rest = url.slice(protocol[0].length);
  switch (protocol[1].toLowerCase()) {
    case "redis":
      return parseTcp(url, rest, false);
    case "rediss":
      return parseTcp(url, rest, true);
    case "redis+unix":
      return parseUnix(url, rest);
    case "redis+sentinel":
      return parseSentinel(url, rest, false);
    case "rediss+sentinel":
      return parseSentinel(url, rest, true);
    default:
      throw invalid(START, url);
  }
}

function parseTcp(url: string, rest: string, tls: boolean): StreamerUrl {
  const { authority, path } = splitPath(url, rest);
  if (path !== "" && !DATABASE.test(path)) throw invalid("the path must be a database number", url);
  const { credentials, hosts } = splitAuthority(url, authority);
  return {
    tls,
    nodes: hosts.split(",").map((host) => parseHost(url, host, DEFAULT_PORT)),
    ...credentials,
    ...(path === "" ? {} : { db: Number(path) }),
  };
}

function parseSentinel(url: string, rest: string, tls: boolean): StreamerUrl {
  const { authority, path } = splitPath(url, rest);
  if (path.includes("@")) throw invalid("an @ in the name of the primary must be written as %40", url); // or a / in a password
  const [name, db, ...more] = path.split("/");
  if (name === "") throw invalid("the name of the primary is missing, as in redis+sentinel://host/name", url);
  if (more.length > 0 || (db !== undefined && !DATABASE.test(db))) {
    throw invalid("the path must be /name or /name/database", url);
  }
  const { credentials, hosts } = splitAuthority(url, authority);
  return {
    tls,
    nodes: hosts.split(",").map((host) => parseHost(url, host, DEFAULT_SENTINEL_PORT)),
    sentinelName: decode(url, name),
    ...credentials,
    ...(db === undefined ? {} : { db: Number(db) }),
  };
}

const DATABASE = /^[0-9]{1,9}$/;

/** The parts before and after the first slash. */
function splitPath(url: string, rest: string): { readonly authority: string; readonly path: string } {
  if (rest.includes("#")) throw invalid("a fragment (#) is not allowed", url);
  if (rest.includes("?")) throw invalid("a query (?) is not allowed", url);
  const slash = rest.indexOf("/");
  return slash < 0 ? { authority: rest, path: "" } : { authority: rest.slice(0, slash), path: rest.slice(slash + 1) };
}

function parseUnix(url: string, rest: string): StreamerUrl {
  if (rest.includes("#")) throw invalid("a fragment (#) is not allowed", url);
  const [location, query, ...more] = rest.split("?");
  const { credentials, hosts: path } = splitAuthority(url, location);
  if (!path.startsWith("/") || path.length < 2) throw invalid("the path of the socket must be absolute", url);
  let db: number | undefined;
  if (query !== undefined) {
    const match = /^db=([0-9]{1,9})$/.exec(query);
    if (match === null || more.length > 0) throw invalid("the only allowed query is db=<number>", url);
    db = Number(match[1]);
  }
  return {
    tls: false,
    nodes: [{ kind: "unix", path: decode(url, path) }],
    ...credentials,
    ...(db === undefined ? {} : { db }),
  };
}

interface Authority {
  readonly credentials: { readonly username?: string; readonly password?: string };
  readonly hosts: string;
}

function splitAuthority(url: string, authority: string): Authority {
  const at = authority.lastIndexOf("@");
  if (at < 0) return { credentials: {}, hosts: authority };
  const userinfo = authority.slice(0, at);
  const colon = userinfo.indexOf(":");
  const username = decode(url, colon < 0 ? userinfo : userinfo.slice(0, colon));
  const password = colon < 0 ? undefined : decode(url, userinfo.slice(colon + 1));
  return {
    credentials: { ...(username === "" ? {} : { username }), ...(password === undefined ? {} : { password }) },
    hosts: authority.slice(at + 1),
  };
}

function parseHost(url: string, host: string, defaultPort: number): UrlNode {
  const match = /^(?:\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?)\]|([^:[\]@\s/\\%]+))(?::([0-9]*))?$/.exec(host);
  if (match === null) throw invalid("each node must be a host, or a host and a port", url);
  const hostname = match[1] ?? match[2];
  if (match[1] !== undefined && !match[1].includes(":")) throw invalid("only an IPv6 address may be in brackets", url);
  const port = match[3] === undefined ? defaultPort : Number(match[3]);
  if (match[3] === "" || port < 1 || port > 65535) throw invalid("the port must be from 1 to 65535", url);
  return { kind: "tcp", hostname, port };
}

function decode(url: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid("the percent-encoding is not valid UTF-8", url);
  }
}

/** The error of an invalid URL. */
class UrlError extends StreamerError {
  static override readonly name = "StreamerError";
  readonly #shown: string;
  readonly #rule: string;

  /** `shown` is the URL without its password. `source` says where the URL comes from. */
  constructor(shown: string, rule: string, source = "") {
    super("INVALID_URL", `Invalid URL ${shown}${source}: ${rule}`);
    this.#shown = shown;
    this.#rule = rule;
  }

  static from(source: string, error: unknown): unknown {
    return error instanceof UrlError ? new UrlError(error.#shown, error.#rule, ` in ${source}`) : error;
  }
}

/** The same error as one that names the source of the URL, such as an environment variable. Other errors are returned as they are. */
export function urlErrorFrom(source: string, error: unknown): unknown {
  return UrlError.from(source, error);
}

function invalid(rule: string, url: string): StreamerError {
  return new UrlError(shortened(hidePassword(url)), rule);
}

function shortened(text: string): string {
  const quoted = JSON.stringify(text);
  return quoted.length > 200 ? `${quoted.slice(0, 199)}…` : quoted;
}

/** An authority that contains no secret: hosts, with or without ports. */
const PLAIN_AUTHORITY = /^(?:\[[^\]@]*\]|[^:@[\]]*)(?::[0-9]*)?(?:,(?:\[[^\]@]*\]|[^:@[\]]*)(?::[0-9]*)?)*$/;

/**
 * A URL in which everything between `://` and the last `@` is hidden, except the user name. Without an `@`, text that cannot be
 * a host and a port is hidden too, since it may be credentials without a host.
 */
export function hidePassword(url: string): string {
  const start = url.indexOf("://");
  const from = start < 0 ? 0 : start + 3;
  const at = url.lastIndexOf("@");
  if (at < from) {
    const end = url.slice(from).search(/[/?#]/);
    const authority = end < 0 ? url.slice(from) : url.slice(from, from + end);
    return PLAIN_AUTHORITY.test(authority)
      ? url
      : `${url.slice(0, from)}${HIDDEN}${url.slice(from + authority.length)}`;
  }
  const userinfo = url.slice(from, at);
  const colon = userinfo.indexOf(":");
  return `${url.slice(0, from)}${colon < 0 ? userinfo : `${userinfo.slice(0, colon)}:${HIDDEN}`}${url.slice(at)}`;
}

/** Formats the parts of a URL, with the password hidden. */
export function formatStreamerUrl(url: StreamerUrl): string {
  const user = url.username === undefined ? "" : encodeURIComponent(url.username);
  const userinfo = url.password === undefined ? (user && `${user}@`) : `${user}:${HIDDEN}@`;
  const [first] = url.nodes;
  if (first.kind === "unix") {
    return `redis+unix://${userinfo}${encodeURI(first.path)}${url.db ? `?db=${url.db}` : ""}`;
  }
  const hosts = url.nodes.map((node) => node.kind === "unix" ? node.path : formatHost(node.hostname, node.port));
  const protocol = `${url.tls ? "rediss" : "redis"}${url.sentinelName === undefined ? "" : "+sentinel"}`;
  const name = url.sentinelName === undefined ? "" : `/${encodeURIComponent(url.sentinelName)}`;
  return `${protocol}://${userinfo}${hosts.join(",")}${name}${url.db ? `/${url.db}` : ""}`;
}

function formatHost(hostname: string, port: number): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/**
 * The parts of a stream URL.
 *
 * @category Connecting
 */
export interface ParsedStreamUrl {
  /** The URL without its streams, for `connect`. It contains the password, if the URL has one. */
  readonly uri: string;
  /** The stream keys, in their order. Empty if nothing follows the last `/`. */
  readonly streamKeys: readonly string[];
}

/**
 * Parses stream URLs, such as `redis://host/orders,payments`.
 *
 * The part after the nodes is `/[db/]streams`. A database is the first of two segments and numeric, so `redis://host/0` is
 * a stream named `0`. Stream keys are separated by commas and then percent-decoded: write a `/` in a key as `%2F`.
 *
 * With Sentinel it is `/name[/db]/streams`, as in `redis+sentinel://host/mymaster/orders`.
 *
 * @example
 * ```ts
 * import { StreamUrl } from "@sea/streamer-redis";
 *
 * const { uri, streamKeys } = StreamUrl.parse("redis://localhost/2/orders,payments");
 * console.log(uri, streamKeys); // redis://localhost/2 [ "orders", "payments" ]
 * ```
 *
 * @category Connecting
 */
export class StreamUrl {
  /**
   * Splits a stream URL into the server URL and the stream keys.
   *
   * @throws {StreamerError} `INVALID_URL` if the stream part is missing or the rest is no valid server URL.
   * `INVALID_STREAM_KEY` for an invalid key.
   */
  static parse(url: string): ParsedStreamUrl {
    if (typeof url !== "string") throw new UrlError(shown(url), "pass a string");
    const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.exec(url)?.[0];
    if (scheme === undefined) throw invalid(START, url);
    if (/[?#]/.test(url)) throw invalid("a query (?) or a fragment (#) is not allowed", url);
    const slash = url.indexOf("/", Math.max(scheme.length, url.lastIndexOf("@") + 1));
    if (slash < 0) throw invalid("stream keys are missing, as in redis://host/orders", url);
    const isSentinel = SENTINEL.test(scheme);
    const segments = url.slice(slash + 1).split("/");
    const server = isSentinel ? segments.splice(0, 1) : []; // the name of the primary
    if (segments.length === 0) throw invalid("stream keys are missing, as in redis+sentinel://host/name/orders", url);
    if (segments.length > 2) {
      const name = isSentinel ? "/name" : "";
      throw invalid(`the path must be ${name}/streams or ${name}/database/streams`, url);
    }
    const streams = segments[segments.length - 1];
    if (segments.length === 2 && !DATABASE.test(segments[0])) {
      throw invalid("the segment before the streams must be a database number", url);
    }
    if (segments.length === 2) server.push(segments[0]);
    const uri = [url.slice(0, slash), ...server].join("/");
    parseStreamerUrl(uri);
    const names = streams === "" ? [] : streams.split(",");
    return guarded({ uri, streamKeys: names.map((name) => checkStreamKey(decode(url, name))) });
  }
}

const SENTINEL = /^rediss?\+sentinel:/i;

/** Whether a URL names streams after the server. The URL need not be valid. */
export function hasStreamPart(url: string): boolean {
  const place = url.slice(Math.max(url.indexOf("://") + 3, url.lastIndexOf("@") + 1));
  return place.split("/").length > (SENTINEL.test(url) ? 2 : 1);
}

/** A parsed URL that hides its password in `console.log` and in JSON. */
function guarded(parsed: ParsedStreamUrl): ParsedStreamUrl {
  const shown = () => ({ ...parsed, uri: hidePassword(parsed.uri) });
  printAs(parsed, "StreamUrl", shown);
  return Object.defineProperty(parsed, "toJSON", { value: shown });
}
