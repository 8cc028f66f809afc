// The options of `connect`: their defaults, checked once, and merged with what the url says. It must not know how to
// connect.

import { StreamerError } from "../resp/errors.ts";
import { checkLimits, type RespLimits } from "../resp/limits.ts";
import type { ReconnectOptions } from "../resp/connection/backoff.ts";
import type { Credentials } from "../resp/connection/handshake.ts";
import type { Endpoint, TlsOptions } from "../resp/transport/transport.ts";
import type { TimestampFormat } from "./model/id.ts";
import { checkNames, checkNumber, checkOneOf, invalidOption } from "./model/options.ts";
import { formatStreamerUrl, parseStreamerUrl, type StreamerUrl, type UrlNode } from "./model/url.ts";
import { LIBRARY_NAME, LIBRARY_VERSION } from "./version.ts";

/** Options of `connect`. Times are in milliseconds, sizes in bytes. */
export interface ConnectOptions {
  /** Number of the database; wins over the url's. Not with a cluster. @default {0} */
  readonly db?: number;
  /** Name of the ACL user; wins over the url's. @default {the server's default user} */
  readonly username?: string;
  /** Wins over the url's. @default {none} */
  readonly password?: string;
  /** For connecting, handshake included; and the longest silence while written commands wait. @default {10000} */
  readonly timeout?: number;
  /** Whether the nodes are a cluster. Clusters are not built yet: `UNSUPPORTED`. @default {"auto": as the server says} */
  readonly cluster?: boolean | "auto";
  /** Certificates, for `rediss://`. @default {verified with the runtime's authorities} */
  readonly tls?: TlsOptions;
  /**
   * What the first half of an entry's id holds. Nanoseconds are those of this machine's clock when the message is
   * written, and a server takes no id that is not above the last one: they want a stream with one writer.
   * @default {"milliseconds"}
   */
  readonly timestampFormat?: TimestampFormat;
  /** The entry field that holds the payload. @default {"msg"} */
  readonly messageField?: string;
  /** Name of the connections on the server: printable ASCII without spaces. @default {none} */
  readonly clientName?: string;
  /** How a lost server is tried again. @default {{ initialDelay: 50, maxDelay: 2000, maxAttempts: Infinity }} */
  readonly reconnect?: ReconnectOptions;
  /** What is accepted of a server at most. @default {see RespLimits} */
  readonly limits?: Pick<RespLimits, "bulk" | "elements" | "depth" | "reply">;
  /** Whether a node that a cluster names may be talked to. @default {all} */
  readonly allowNode?: (host: string, port: number) => boolean;
  /** Abandons connecting; after that it has no effect. */
  readonly signal?: AbortSignal;
}

/** Everything `connect` needs, checked. */
export interface ConnectSettings {
  /** The url, its password hidden. */
  readonly uri: string;
  readonly endpoint: Endpoint;
  readonly credentials: Credentials;
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

/** Checks and merges. Throws `INVALID_URL`, `INVALID_OPTION` or `UNSUPPORTED`. */
export function connectSettings(uri: string | readonly string[], options: ConnectOptions): ConnectSettings {
  const url = parseStreamerUrl(uri);
  checkNames("connect options", options, NAMES);
  const { tls = {}, cluster = "auto", messageField = "msg", clientName } = options;
  if (cluster !== true && cluster !== false && cluster !== "auto") {
    throw invalidOption("cluster", cluster, `true, false or "auto"`);
  }
  const db = checkNumber("db", options.db, url.db ?? 0, { min: 0, max: 2 ** 31 - 1, integer: true });
  const many = url.nodes.length > 1;
  if (many && cluster === false) {
    throw invalidOption("cluster", cluster, "true or left out when there are several nodes");
  }
  if (db !== 0 && (many || cluster === true)) {
    throw invalidOption("db", db, "0 with a cluster, which has one database only");
  }
  if (many || cluster === true) throw clusterUnsupported();
  if (typeof messageField !== "string") throw invalidOption("messageField", messageField, "a string");
  if (clientName !== undefined && (typeof clientName !== "string" || !/^[!-~]{1,512}$/.test(clientName))) {
    throw invalidOption("clientName", clientName, "printable ASCII without spaces");
  }
  if (options.allowNode !== undefined && typeof options.allowNode !== "function") {
    throw invalidOption("allowNode", options.allowNode, "a function");
  }
  checkTls(tls, url);
  const username = checkText("username", options.username) ?? url.username;
  const password = checkText("password", options.password) ?? url.password;
  return {
    uri: formatStreamerUrl({ ...url, username, password, db }),
    endpoint: endpointOf(url.nodes[0], url.tls ? tls : undefined),
    credentials: {
      db,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(clientName === undefined ? {} : { clientName }),
      libraryName: LIBRARY_NAME,
      libraryVersion: LIBRARY_VERSION,
    },
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

/** What is said wherever a cluster would be needed. */
export function clusterUnsupported(): StreamerError {
  return new StreamerError("UNSUPPORTED", "Cannot connect to a cluster as that is not built yet");
}

function checkText(name: string, value: string | undefined): string | undefined {
  if (value === undefined || typeof value === "string") return value;
  throw new StreamerError("INVALID_OPTION", `Cannot use option ${name} as it must be a string`); // its value may be a secret
}

function checkTls(tls: TlsOptions, url: StreamerUrl): void {
  checkNames("tls options", tls, ["caCerts", "cert", "key", "serverName", "insecure"]);
  if (!url.tls && Object.keys(tls).length > 0) {
    throw invalidOption("tls", "given", "left out where the url is not rediss://");
  }
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    throw new StreamerError("INVALID_OPTION", "Cannot use option tls as cert and key must be given together");
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
