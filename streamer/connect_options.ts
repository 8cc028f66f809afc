// The options of `connect`: checked once, merged with the URL, and completed with defaults.

import { StreamerError } from "../resp/errors.ts";
import { checkLimits, type RespLimits } from "../resp/limits.ts";
import type { ReconnectOptions } from "../resp/connection/reconnect/backoff.ts";
import type { CredentialSource, Identification } from "../resp/connection/handshake/credentials.ts";
import type { Endpoint, TlsOptions } from "../resp/transport/transport.ts";
import type { TimestampFormat } from "./model/id.ts";
import { checkFor, OptionError } from "./model/option_error.ts";
import { checkBoolean, checkNames, checkNumber, checkOneOf, checkSignal, invalidOption } from "./model/options.ts";
import { formatStreamerUrl, parseStreamerUrl, type StreamerUrl, type UrlNode } from "./model/url.ts";
import { LIBRARY_NAME, LIBRARY_VERSION } from "./version.ts";

/**
 * Options of {@linkcode connect}. Times are in milliseconds, sizes in bytes.
 *
 * @category Connecting
 */
export interface ConnectOptions {
  /** Database number. It overrides the one in the URL. Redis Cluster has database 0 only. @default {0} */
  readonly db?: number;
  /**
   * Name of the ACL user, or a function that returns it. It overrides the one in the URL, and needs a password. A function is
   * called as described for `password`. @default {the default user of the server}
   */
  readonly username?: string | (() => string | Promise<string>);
  /**
   * Password, or a function that returns it, for tokens that expire. It overrides the one in the URL.
   *
   * A function is called at each connection attempt of each connection, and must return within `timeout`. If it throws, the
   * first `connect` rejects with code `AUTH` and that error as the cause. With `wait` it is called again. After the first
   * connection, an exception, or a refusal of the returned password, is a failed attempt. It is retried as `reconnect` says.
   * @default {none}
   */
  readonly password?: string | (() => string | Promise<string>);
  /**
   * Protocol version: `3`, `2`, or `"auto"` for RESP3 if the server supports it.
   *
   * With `3`, a server without RESP3 is refused with code `CONNECT`. With `2`, HELLO is not sent: some proxies close the
   * connection when they receive it. Whether the server is part of a cluster is then unknown. @default {"auto"}
   */
  readonly protocol?: 2 | 3 | "auto";
  /**
   * Whether CLIENT commands are sent. Use `false` for proxies that close the connection when they receive one.
   *
   * Without CLIENT commands, a lost connection cannot be killed before its messages are sent again. A `fence-unavailable` event is
   * emitted, and the resend waits for 2 seconds. A blocked read is ended by closing its connection. `clientName` is
   * refused. @default {true}
   */
  readonly clientInfo?: boolean;
  /**
   * Whether `connect` retries until the server answers, with the delays of `reconnect`. A wrong password, a bad certificate and
   * an aborted `signal` still reject. With `false`, the first failure rejects. @default {false}
   */
  readonly wait?: boolean;
  /**
   * Limit for each connection attempt, with credential functions and the handshake. It is also the longest silence of a server
   * that has to answer. `createConsumer`, the manager and `trim` of a producer wait no longer than this for a server that is
   * away or not ready. @default {10000}
   */
  readonly timeout?: number;
  /**
   * Whether the server is part of a Redis Cluster. `"auto"` asks the server. `false` uses this one node only. Redis Cluster is
   * not supported yet, and rejects with `UNSUPPORTED`. @default {"auto"}
   */
  readonly cluster?: boolean | "auto";
  /** Certificates and verification, for `rediss://` URLs. @default {{}: verified with the runtime's certificate authorities} */
  readonly tls?: TlsOptions;
  /**
   * Unit of the timestamp in the first half of ids. Nanoseconds come from the clock of this machine. Since ids must increase,
   * nanosecond timestamps require a single writer per stream. @default {"milliseconds"}
   */
  readonly timestampFormat?: TimestampFormat;
  /** Name of the entry field that contains the payload. @default {"msg"} */
  readonly messageField?: string;
  /** Name of the connections on the server (CLIENT SETNAME): printable ASCII without spaces. @default {none} */
  readonly clientName?: string;
  /** Delays between reconnect attempts. @default {{ initialDelay: 50, maxDelay: 2000, maxAttempts: Infinity }} */
  readonly reconnect?: ReconnectOptions;
  /** Limits for replies of the server. @default {the defaults of RespLimits} */
  readonly limits?: Pick<RespLimits, "bulk" | "elements" | "depth" | "reply">;
  /** Decides whether to connect to a node that a cluster names. @default {all nodes} */
  readonly allowNode?: (host: string, port: number) => boolean;
  /** Cancels `connect`, which then rejects with the reason of the signal. It has no effect after that. */
  readonly signal?: AbortSignal;
}

/** The checked options of `connect`. */
export interface ConnectSettings {
  /** The URL, with the password hidden. */
  readonly uri: string;
  readonly endpoint: Endpoint;
  readonly identification: Identification;
  readonly wait: boolean;
  readonly timeout: number;
  readonly cluster: boolean | "auto";
  readonly timestampFormat: TimestampFormat;
  readonly messageField: string;
  readonly reconnect: Required<ReconnectOptions>;
  readonly limits: Required<RespLimits>;
}

const NAMES = [
  "db",
  "username",
  "password",
  "protocol",
  "clientInfo",
  "wait",
  "timeout",
  "cluster",
  "tls",
  "timestampFormat",
  "messageField",
  "clientName",
  "reconnect",
  "limits",
  "allowNode",
  "signal",
];

/** Checks the URL and the options, and merges them. Throws `INVALID_URL`, `INVALID_OPTION` or `UNSUPPORTED`. */
export function connectSettings(uri: string | readonly string[], options: ConnectOptions): ConnectSettings {
  const url = parseStreamerUrl(uri);
  return checkFor("connect", () => mergedSettings(url, options));
}

function mergedSettings(url: StreamerUrl, options: ConnectOptions): ConnectSettings {
  checkNames("connect options", options, NAMES);
  checkSignal(options.signal);
  const { tls = {}, cluster = "auto", messageField = "msg", clientName } = options;
  if (cluster !== true && cluster !== false && cluster !== "auto") {
    throw invalidOption("cluster", cluster, `true, false or "auto"`);
  }
  const db = checkNumber("db", options.db, url.db ?? 0, { min: 0, max: 2 ** 31 - 1, integer: true });
  const many = url.nodes.length > 1;
  if (many && cluster === false) {
    throw invalidOption("cluster", cluster, "true or omitted with several nodes");
  }
  if (db !== 0 && (many || cluster === true)) {
    throw invalidOption("db", db, "0 with a cluster");
  }
  if (many || cluster === true) throw unsupportedMode("cluster");
  if (typeof messageField !== "string") throw invalidOption("messageField", messageField, "a string");
  if (clientName !== undefined && (typeof clientName !== "string" || !/^[!-~]{1,512}$/.test(clientName))) {
    throw invalidOption("clientName", clientName, "printable ASCII without spaces");
  }
  if (options.allowNode !== undefined && typeof options.allowNode !== "function") {
    throw invalidOption("allowNode", options.allowNode, "a function");
  }
  checkTls(tls, url);
  const { username, password } = checkCredentials(options, url);
  const clientInfo = checkBoolean("clientInfo", options.clientInfo, true);
  if (!clientInfo && clientName !== undefined) {
    throw invalidOption("clientName", clientName, "omitted if clientInfo is false");
  }
  return {
    uri: formatStreamerUrl({ ...url, username: shownUser(username), password: password && "hidden", db }),
    endpoint: endpointOf(url.nodes[0], url.tls ? tls : undefined),
    identification: {
      db,
      protocol: checkProtocol(options.protocol),
      clientInfo,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(clientName === undefined ? {} : { clientName }),
      libraryName: LIBRARY_NAME,
      libraryVersion: LIBRARY_VERSION,
    },
    wait: checkBoolean("wait", options.wait, false),
    timeout: checkNumber("timeout", options.timeout, 10_000, { min: 1 }),
    cluster,
    timestampFormat: checkOneOf("timestampFormat", options.timestampFormat, "milliseconds", [
      "milliseconds",
      "nanoseconds",
    ]),
    messageField,
    reconnect: checkReconnect(options.reconnect === undefined ? {} : options.reconnect),
    limits: checkReplyLimits(options.limits === undefined ? {} : options.limits),
  };
}

/** The error of a server that is part of a cluster, or is a Sentinel. */
export function unsupportedMode(mode: "cluster" | "sentinel", node?: string): StreamerError {
  const place = node === undefined ? "" : ` to ${node}`;
  const reason = mode === "sentinel"
    ? "it is a Sentinel, which stores no streams. Sentinel is not supported yet: connect to the primary itself"
    : "Redis Cluster is not supported yet. Use cluster: false for a single node";
  return new StreamerError("UNSUPPORTED", `Cannot connect${place}: ${reason}`);
}

/** The credentials of the options or of the URL. A user name alone is refused, since it is unclear which user is meant. */
function checkCredentials(options: ConnectOptions, url: StreamerUrl): Pick<Identification, "username" | "password"> {
  const username = checkCredential("username", options.username) ?? url.username;
  const password = checkCredential("password", options.password) ?? url.password;
  if (username !== undefined && password === undefined) {
    throw new OptionError("'password' must be given with a user name, got none");
  }
  return { username, password };
}

/** Checks a credential. The error does not show the value, since it may be a secret. */
function checkCredential(name: string, value: CredentialSource | undefined): CredentialSource | undefined {
  if (value === undefined || typeof value === "string" || typeof value === "function") return value;
  throw new OptionError(`'${name}' must be a string or a function that returns one`);
}

/** The user name for display. A user name that a function returns may change, and is not shown. */
function shownUser(username: CredentialSource | undefined): string | undefined {
  return typeof username === "function" ? undefined : username;
}

function checkProtocol(protocol: ConnectOptions["protocol"] = "auto"): 2 | 3 | "auto" {
  if (protocol !== 2 && protocol !== 3 && protocol !== "auto") {
    throw invalidOption("protocol", protocol, `2, 3 or "auto"`);
  }
  return protocol;
}

function checkTls(tls: TlsOptions, url: StreamerUrl): void {
  if (typeof tls !== "object" || tls === null) throw new OptionError("'tls' must be an object"); // its value may be a key
  checkNames("tls options", tls, ["caCerts", "cert", "key", "serverName", "insecure"]);
  if (!url.tls && Object.keys(tls).length > 0) {
    throw invalidOption("tls", tls, "omitted unless the URL is rediss://");
  }
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    const missing = tls.cert === undefined ? "cert" : "key";
    throw new OptionError(`'tls.${missing}' must be given, since the other half of the client certificate is`);
  }
  if (tls.insecure !== undefined && typeof tls.insecure !== "boolean") {
    throw invalidOption("tls.insecure", tls.insecure, "true or false");
  }
}

function checkReplyLimits(limits: NonNullable<ConnectOptions["limits"]>): Required<RespLimits> {
  checkNames("limits", limits, ["bulk", "elements", "depth", "reply"]);
  return checkLimits(limits);
}

function checkReconnect(options: ReconnectOptions): Required<ReconnectOptions> {
  checkNames("reconnect options", options, ["initialDelay", "maxDelay", "maxAttempts"]);
  const initialDelay = checkNumber("reconnect.initialDelay", options.initialDelay, 50, { min: 1 });
  return {
    initialDelay,
    maxDelay: checkNumber("reconnect.maxDelay", options.maxDelay, Math.max(2_000, initialDelay), { min: initialDelay }),
    maxAttempts: checkNumber("reconnect.maxAttempts", options.maxAttempts, Infinity, { min: 0 }),
  };
}

function endpointOf(node: UrlNode, tls: TlsOptions | undefined): Endpoint {
  if (node.kind === "unix") return node;
  return tls === undefined ? node : { ...node, tls };
}
