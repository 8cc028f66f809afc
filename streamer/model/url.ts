// Server and stream urls: parsed once, strictly, and shown without their password. It must not know how to connect.

import { StreamerError } from "../../resp/errors.ts";
import { checkStreamKey } from "./key.ts";

/** One server of a url. */
export type UrlNode =
  | { readonly kind: "tcp"; readonly hostname: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** A server url taken apart. */
export interface StreamerUrl {
  readonly tls: boolean;
  readonly nodes: readonly UrlNode[];
  readonly username?: string;
  readonly password?: string;
  readonly db?: number;
}

const DEFAULT_PORT = 6379;
const HIDDEN = "***";

/**
 * Parses one url with one or several nodes, or several urls with one protocol and the same credentials.
 *
 * @throws {StreamerError} `INVALID_URL`, or `UNSUPPORTED` for what is reserved.
 */
export function parseStreamerUrl(uri: string | readonly string[]): StreamerUrl {
  const urls = typeof uri === "string" ? [uri] : uri;
  if (!Array.isArray(urls) || urls.length === 0 || urls.some((url) => typeof url !== "string")) {
    throw invalid("it must be a string or a non-empty array of strings", String(uri));
  }
  const parsed = urls.map(parseOne);
  const [first, ...others] = parsed;
  for (const other of others) {
    const kinds = first.nodes[0].kind === "tcp" && other.nodes[0].kind === "tcp"; // a unix socket leads to one server only
    const same = kinds && other.tls === first.tls && other.db === first.db && other.username === first.username &&
      other.password === first.password;
    if (!same) {
      throw invalid("all urls must have the same protocol, credentials and database", urls.map(hidePassword).join(" "));
    }
  }
  return { ...first, nodes: parsed.flatMap((url) => url.nodes) };
}

function parseOne(url: string): StreamerUrl {
  const protocol = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(url);
  if (protocol === null) throw invalid("it must start with redis://, rediss:// or redis+unix://", url);
  const rest = url.slice(protocol[0].length);
  switch (protocol[1].toLowerCase()) {
    case "redis":
      return parseTcp(url, rest, false);
    case "rediss":
      return parseTcp(url, rest, true);
    case "redis+unix":
      return parseUnix(url, rest);
    case "redis+sentinel":
      throw new StreamerError("UNSUPPORTED", "Cannot connect to redis+sentinel as it is not built yet");
    default:
      throw invalid("its protocol must be redis, rediss or redis+unix", url);
  }
}

function parseTcp(url: string, rest: string, tls: boolean): StreamerUrl {
  if (rest.includes("#")) throw invalid("it must have no fragment", url);
  if (rest.includes("?")) throw invalid("it must have no query", url);
  const slash = rest.indexOf("/");
  const authority = slash < 0 ? rest : rest.slice(0, slash);
  const path = slash < 0 ? "" : rest.slice(slash + 1);
  if (path !== "" && !/^[0-9]{1,9}$/.test(path)) throw invalid("its path must be the number of a database", url);
  const { credentials, hosts } = splitAuthority(url, authority);
  return {
    tls,
    nodes: hosts.split(",").map((host) => parseHost(url, host)),
    ...credentials,
    ...(path === "" ? {} : { db: Number(path) }),
  };
}

function parseUnix(url: string, rest: string): StreamerUrl {
  if (rest.includes("#")) throw invalid("it must have no fragment", url);
  const [location, query, ...more] = rest.split("?");
  const { credentials, hosts: path } = splitAuthority(url, location);
  if (!path.startsWith("/") || path.length < 2) throw invalid("it must name the absolute path of a socket", url);
  let db: number | undefined;
  if (query !== undefined) {
    const match = /^db=([0-9]{1,9})$/.exec(query);
    if (match === null || more.length > 0) throw invalid("its only query may be db=<number>", url);
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

function parseHost(url: string, host: string): UrlNode {
  const match = /^(?:\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?)\]|([^:[\]@\s/\\%]+))(?::([0-9]*))?$/.exec(host);
  if (match === null) throw invalid("each node must be a host, or a host and a port", url);
  const hostname = match[1] ?? match[2];
  if (match[1] !== undefined && !match[1].includes(":")) throw invalid("only an IPv6 address stands in brackets", url);
  const port = match[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  if (match[3] === "" || port < 1 || port > 65535) throw invalid("its port must be from 1 to 65535", url);
  return { kind: "tcp", hostname, port };
}

function decode(url: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid("its percent-encoding must be that of UTF-8", url);
  }
}

function invalid(rule: string, url: string): StreamerError {
  return new StreamerError(
    "INVALID_URL",
    `Cannot use the url as ${rule}: current value is ${shortened(hidePassword(url))}`,
  );
}

function shortened(text: string): string {
  const quoted = JSON.stringify(text);
  return quoted.length > 200 ? `${quoted.slice(0, 199)}…` : quoted;
}

/** What may stand in front of a url's path without being a secret: hosts, with or without ports. */
const PLAIN_AUTHORITY = /^(?:\[[^\]@]*\]|[^:@[\]]*)(?::[0-9]*)?(?:,(?:\[[^\]@]*\]|[^:@[\]]*)(?::[0-9]*)?)*$/;

/**
 * A url with everything between `://` and the last `@` hidden but the user name. Where there is no `@`, what cannot be a
 * host and a port is hidden too: it may be credentials behind which the host was forgotten.
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

/** A url made of its parts again, its password hidden. */
export function formatStreamerUrl(url: StreamerUrl): string {
  const user = url.username === undefined ? "" : encodeURIComponent(url.username);
  const userinfo = url.password === undefined ? (user && `${user}@`) : `${user}:${HIDDEN}@`;
  const [first] = url.nodes;
  if (first.kind === "unix") {
    return `redis+unix://${userinfo}${encodeURI(first.path)}${url.db ? `?db=${url.db}` : ""}`;
  }
  const hosts = url.nodes.map((node) => node.kind === "unix" ? node.path : formatHost(node.hostname, node.port));
  return `${url.tls ? "rediss" : "redis"}://${userinfo}${hosts.join(",")}${url.db ? `/${url.db}` : ""}`;
}

function formatHost(hostname: string, port: number): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/** A stream url taken apart. */
export interface ParsedStreamUrl {
  /** The url without its streams, to be given to `connect`. It holds the password, if the url had one. */
  readonly uri: string;
  /** The streams, in their order; none where the part behind the last `/` is empty. */
  readonly streamKeys: readonly string[];
}

/**
 * A server url with streams behind it: `redis://host/orders,payments`.
 *
 * After the nodes comes `/[db/]streams`: a database is the first of two segments, and numeric; so `redis://host/0` is a
 * stream named `0`. Names are separated by commas and percent-decoded after that, so that a `/` in a name is written `%2F`.
 *
 * @example
 * ```ts
 * import { StreamUrl } from "@sea/streamer-redis";
 *
 * const { uri, streamKeys } = StreamUrl.parse("redis://localhost/2/orders,payments");
 * console.log(uri, streamKeys); // redis://localhost/2 [ "orders", "payments" ]
 * ```
 */
export class StreamUrl {
  /**
   * Takes a url apart.
   *
   * @throws {StreamerError} `INVALID_URL` where there is no stream part or the rest is no server url;
   * `INVALID_STREAM_KEY` for a name that is none.
   */
  static parse(url: string): ParsedStreamUrl {
    if (typeof url !== "string") throw invalid("it must be a string", String(url));
    const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.exec(url)?.[0];
    if (scheme === undefined) throw invalid("it must start with a protocol", url);
    if (/[?#]/.test(url)) throw invalid("it must have no query and no fragment", url);
    const slash = url.indexOf("/", Math.max(scheme.length, url.lastIndexOf("@") + 1));
    if (slash < 0) throw invalid("it must have a / and streams behind its nodes", url);
    const segments = url.slice(slash + 1).split("/");
    if (segments.length > 2) throw invalid("it must have at most a database and streams behind its nodes", url);
    const streams = segments[segments.length - 1];
    if (segments.length === 2 && !/^[0-9]{1,9}$/.test(segments[0])) {
      throw invalid("the first of two segments must be the number of a database", url);
    }
    const uri = url.slice(0, slash) + (segments.length === 2 ? `/${segments[0]}` : "");
    parseStreamerUrl(uri);
    const names = streams === "" ? [] : streams.split(",");
    return { uri, streamKeys: names.map((name) => checkStreamKey(decode(url, name))) };
  }
}
