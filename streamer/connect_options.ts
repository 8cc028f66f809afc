// The options of `connect`: checked once, merged with the URL, and completed with defaults.

import type { RespLimits } from "../resp/limits.ts";
import type { ReconnectOptions } from "../resp/connection/reconnect/backoff.ts";
import type { CredentialSource, Identification } from "../resp/connection/handshake/credentials.ts";
import type { Endpoint, TlsOptions } from "../resp/transport/transport.ts";
import type { ReachRules } from "./cluster/reach.ts";
import type { SentinelSettings } from "./cluster/sentinel/open_sentinel.ts";
import {
  checkCredentials,
  checkProtocol,
  checkReconnect,
  checkReplyLimits,
  checkTls,
  reachRules,
} from "./connect_checks.ts";
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
   * connection when they receive it. Without HELLO, INFO or CLUSTER SLOTS shows whether the server is part of a cluster. Only if the
   * user may run neither, HELLO is sent once, without arguments. @default {"auto"}
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
   * Whether the server is part of a Redis Cluster. `"auto"` asks the server. `true` refuses any other server with code `CONNECT`.
   * `false` uses this one node only: what it redirects rejects as a `RedisError`. With Sentinel, `true` is refused. @default {"auto"}
   */
  readonly cluster?: boolean | "auto";
  /**
   * Certificates and verification, for `rediss://` and `rediss+sentinel://` URLs. They apply to all nodes of a cluster.
   * @default {{}: verified with the runtime's certificate authorities}
   */
  readonly tls?: TlsOptions;
  /**
   * Credentials and TLS of the Sentinels themselves, for `redis+sentinel://` URLs. `username` and `password` of the URL belong to the
   * primary, and are never sent to a Sentinel. @default {none, and TLS as the URL says}
   */
  readonly sentinel?: SentinelOptions;
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
  /**
   * Returns the address at which a node is reached that a cluster or a Sentinel names, for example behind NAT or in containers.
   * `undefined` means: as named. The nodes in the URL are not mapped. TLS verifies `tls.serverName`, or the host as it is named.
   *
   * If it throws or does not return an address, whatever goes to that node rejects with code `CONNECT`. @default {as named}
   */
  readonly mapNode?: (
    host: string,
    port: number,
  ) => { readonly hostname: string; readonly port: number } | undefined;
  /**
   * Decides whether to connect to a node. It is called with the address that would be dialled, after `mapNode`, and for the
   * nodes in the URL too. After `false`, an exception or any other result, the node is not dialled. Whatever goes there rejects with
   * code `CONNECT`. @default {all nodes}
   */
  readonly allowNode?: (host: string, port: number) => boolean;
  /** Cancels `connect`, which then rejects with the reason of the signal. It has no effect after that. */
  readonly signal?: AbortSignal;
}

/**
 * How Sentinels are reached. Times are in milliseconds.
 *
 * @category Connecting
 */
export interface SentinelOptions {
  /** Name of the ACL user on the Sentinels, or a function that returns it. It needs a password. @default {the default user} */
  readonly username?: string | (() => string | Promise<string>);
  /** Password on the Sentinels, or a function that returns it at each connection attempt. @default {none} */
  readonly password?: string | (() => string | Promise<string>);
  /**
   * Whether Sentinels expect TLS, or their certificates and verification. `true` uses the option `tls` of `connect`.
   * @default {whether the URL is rediss+sentinel://}
   */
  readonly tls?: boolean | TlsOptions;
}

/** The checked options of `connect`. */
export interface ConnectSettings {
  /** The URL, with the password hidden. */
  readonly uri: string;
  /** The servers in the URL, at least one. If there are `sentinel` settings, the Sentinels. */
  readonly endpoints: readonly Endpoint[];
  /** How nodes are reached that a cluster or a Sentinel announces. */
  readonly reach: ReachRules;
  /** `undefined` without a Sentinel URL. */
  readonly sentinel: SentinelSettings | undefined;
  /** What connections to servers send. */
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
  "sentinel",
  "timestampFormat",
  "messageField",
  "clientName",
  "reconnect",
  "limits",
  "mapNode",
  "allowNode",
  "signal",
];

/** Checks the URL and the options, and merges them. Throws `INVALID_URL` or `INVALID_OPTION`. */
export function connectSettings(uri: string | readonly string[], options: ConnectOptions): ConnectSettings {
  const url = parseStreamerUrl(uri);
  return checkFor("connect", () => mergedSettings(url, options));
}

function mergedSettings(url: StreamerUrl, options: ConnectOptions): ConnectSettings {
  checkNames("connect options", options, NAMES);
  checkSignal(options.signal);
  const { tls = {}, messageField = "msg", clientName } = options;
  const db = checkNumber("db", options.db, url.db ?? 0, { min: 0, max: 2 ** 31 - 1, integer: true });
  const cluster = checkCluster(options.cluster, url, db);
  if (typeof messageField !== "string") throw invalidOption("messageField", messageField, "a string");
  if (clientName !== undefined && (typeof clientName !== "string" || !/^[!-~]{1,512}$/.test(clientName))) {
    throw invalidOption("clientName", clientName, "printable ASCII without spaces");
  }
  checkTls("tls", tls);
  if (!url.tls && Object.keys(tls).length > 0) {
    throw invalidOption("tls", tls, "omitted unless the URL is rediss:// or rediss+sentinel://");
  }
  const { username = url.username, password = url.password } = options;
  const credentials = checkCredentials("", username, password);
  const clientInfo = checkBoolean("clientInfo", options.clientInfo, true);
  if (!clientInfo && clientName !== undefined) {
    throw invalidOption("clientName", clientName, "omitted if clientInfo is false");
  }
  const reach = reachRules(options, url.tls ? tls : undefined);
  const identification: Identification = {
    db,
    protocol: checkProtocol(options.protocol),
    clientInfo,
    ...credentials,
    ...(clientName === undefined ? {} : { clientName }),
    libraryName: LIBRARY_NAME,
    libraryVersion: LIBRARY_VERSION,
  };
  const sentinel = sentinelSettings(options, { url, identification, reach });
  const seeds = sentinel?.reach ?? reach;
  return {
    uri: formatStreamerUrl({ ...url, username: shownUser(username), password: password && "hidden", db }),
    endpoints: url.nodes.map((node) => endpointOf(node, seeds.tls)),
    reach,
    sentinel,
    identification,
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

/** Whether the server is a cluster, checked against the URL and the database. */
function checkCluster(cluster: ConnectOptions["cluster"] = "auto", url: StreamerUrl, db: number): boolean | "auto" {
  if (cluster !== true && cluster !== false && cluster !== "auto") {
    throw invalidOption("cluster", cluster, `true, false or "auto"`);
  }
  if (url.sentinelName !== undefined) {
    if (cluster === true) throw invalidOption("cluster", cluster, "false or omitted with Sentinel");
    return cluster;
  }
  const many = url.nodes.length > 1;
  const isSocket = url.nodes.some(({ kind }) => kind === "unix");
  if (isSocket && many) throw new OptionError("'uri' must be a single address with a unix socket, got several");
  if (isSocket && cluster === true) throw invalidOption("cluster", cluster, "false or omitted with a unix socket");
  if (many && cluster === false) throw invalidOption("cluster", cluster, "true or omitted with several nodes");
  if (db !== 0 && (many || cluster === true)) throw invalidOption("db", db, "0 with a cluster");
  return cluster;
}

/** The settings of the Sentinels. Errors never show their values, since they may be secrets. */
function sentinelSettings(
  options: ConnectOptions,
  server: { readonly url: StreamerUrl; readonly identification: Identification; readonly reach: ReachRules },
): SentinelSettings | undefined {
  const { sentinel } = options;
  const { sentinelName: name, tls: usesTls } = server.url;
  if (name === undefined) {
    if (sentinel === undefined) return undefined;
    throw new OptionError("'sentinel' must be omitted unless the URL is redis+sentinel:// or rediss+sentinel://");
  }
  if (sentinel !== undefined && (typeof sentinel !== "object" || sentinel === null)) {
    throw new OptionError("'sentinel' must be an object");
  }
  const { username, password, tls = usesTls } = sentinel ?? {};
  checkNames("sentinel options", sentinel ?? {}, ["username", "password", "tls"]);
  const isSwitch = typeof tls === "boolean";
  if (!isSwitch) checkTls("sentinel.tls", tls);
  const { username: _user, password: _password, ...shared } = server.identification;
  return {
    name,
    identification: {
      ...shared,
      ...checkCredentials("sentinel.", username, password),
      db: 0,
      clientInfo: false, // Sentinels do not know all CLIENT commands
    },
    reach: reachRules(options, isSwitch ? (tls ? server.reach.tls ?? {} : undefined) : tls),
  };
}

/** The user name for display. A user name that a function returns may change, and is not shown. */
function shownUser(username: CredentialSource | undefined): string | undefined {
  return typeof username === "function" ? undefined : username;
}

function endpointOf(node: UrlNode, tls: TlsOptions | undefined): Endpoint {
  if (node.kind === "unix") return node;
  return tls === undefined ? node : { ...node, tls };
}
