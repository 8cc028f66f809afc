// How a node is reached that a cluster or a Sentinel announces: the address that is dialled, whether that is allowed, and the name that
// TLS verifies. Pure, apart from the user's functions.

import { ConnectError } from "../../resp/connection/handshake/connect_error.ts";
import { endpointName, type RedisNodeOptions } from "../../resp/connection/node.ts";
import { isHost, isPort } from "./topology/redirect.ts";

/** The address of a server, with its TLS options. */
export type Endpoint = RedisNodeOptions["endpoint"];

/** An endpoint that is no unix socket. */
export type TcpEndpoint = Extract<Endpoint, { readonly kind: "tcp" }>;

/** Returns the address at which an announced node is reached. `undefined`: as announced. */
export type MapNode = (
  host: string,
  port: number,
) => { readonly hostname: string; readonly port: number } | undefined;

/** Whether the library may dial an address. */
export type AllowNode = (host: string, port: number) => boolean;

/** The rules for the nodes of one streamer. */
export interface ReachRules {
  readonly mapNode?: MapNode;
  readonly allowNode?: AllowNode;
  /** The TLS options of all nodes. `undefined`: without TLS. */
  readonly tls?: TcpEndpoint["tls"];
}

/** The address of a node, as a cluster or a Sentinel announces it. */
export interface AnnouncedAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * The endpoint of an announced node: mapped by `mapNode`, and allowed by `allowNode`. TLS verifies `tls.serverName`, or the announced
 * host.
 *
 * @throws {ConnectError} A final `CONNECT` if the node must not be dialled.
 */
export function reachable(announced: AnnouncedAddress, rules: ReachRules): TcpEndpoint {
  const { host, port } = announced;
  if (!isHost(host) || !isPort(port)) throw refused(announced, "the announced address is invalid");
  const { hostname, port: dialled } = mapped(announced, rules.mapNode) ?? { hostname: host, port };
  const { tls } = rules;
  const verified = tls && { tls: { ...tls, serverName: tls.serverName ?? host } };
  const endpoint: TcpEndpoint = { kind: "tcp", hostname, port: dialled, ...verified };
  checkAllowed(endpoint, rules.allowNode, announced);
  return endpoint;
}

/**
 * Checks a seed, which the user has given: `mapNode` does not concern it. A unix socket has no address to ask about.
 *
 * @throws {ConnectError} A final `CONNECT` if the seed must not be dialled.
 */
export function checkSeed(endpoint: Endpoint, { allowNode }: ReachRules): void {
  if (endpoint.kind === "tcp") checkAllowed(endpoint, allowNode);
}

/**
 * Explains a failed attempt to connect to an announced node. The text names the node that announces it, the announced address if another
 * one was dialled, and the options that may help. Other failures are returned as they are.
 */
export function explained(
  failure: ConnectError,
  { announced, dialled, by }: {
    readonly announced: AnnouncedAddress;
    readonly dialled: TcpEndpoint;
    /** The address of the node that announces it. */
    readonly by: string;
  },
): ConnectError {
  if (failure.suspect === undefined) return failure;
  if (failure.suspect === "name") {
    return failure.noting(`${by} announces this node as ${announced.host}: see tls.serverName and mapNode`);
  }
  const name = nameOf(announced);
  const other = name === endpointName(dialled) ? "" : ` as ${name}`;
  return failure.noting(`${by} answered, and announces this node${other}. If clients reach it elsewhere, see mapNode`);
}

/** What `mapNode` returns, checked. */
function mapped(announced: AnnouncedAddress, mapNode: MapNode | undefined): ReturnType<MapNode> {
  if (mapNode === undefined) return undefined;
  let result: unknown; // what a program without types may return
  try {
    result = mapNode(announced.host, announced.port);
  } catch (cause) {
    throw refused(announced, "the function 'mapNode' failed for this node", { cause });
  }
  if (result === undefined) return undefined;
  const { hostname, port } = typeof result === "object" && result !== null ? result as Record<string, unknown> : {}; // as: checked next
  if (typeof hostname === "string" && isHost(hostname) && typeof port === "number" && isPort(port)) {
    return { hostname, port };
  }
  throw refused(announced, "the function 'mapNode' must return undefined or { hostname, port } for this node");
}

function checkAllowed(dialled: TcpEndpoint, allowNode: AllowNode | undefined, announced?: AnnouncedAddress): void {
  if (allowNode === undefined) return;
  const name = announced && nameOf(announced);
  const as = name === undefined || name === endpointName(dialled) ? "" : `, which is announced as ${name}`;
  let allowed: unknown; // what a program without types may return
  try {
    allowed = allowNode(dialled.hostname, dialled.port);
  } catch (cause) {
    throw refused(dialled, `the function 'allowNode' failed for this node${as}`, { cause });
  }
  if (allowed === true) return;
  if (allowed === false) throw refused(dialled, `the option 'allowNode' does not allow this node${as}`);
  throw refused(dialled, `the function 'allowNode' must return true or false for this node${as}`); // a promise is no permission
}

function refused(
  address: AnnouncedAddress | TcpEndpoint,
  reason: string,
  { cause }: { readonly cause?: unknown } = {},
): ConnectError {
  return new ConnectError("CONNECT", reason, { final: true, cause, place: nameOf(address) });
}

function nameOf(address: AnnouncedAddress | TcpEndpoint): string {
  const hostname = "host" in address ? address.host : address.hostname;
  return endpointName({ kind: "tcp", hostname, port: address.port });
}
