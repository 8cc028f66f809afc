// Opens the connection to a server, and creates the streamer on it.

import { type Clock, systemClock } from "../resp/connection/clock.ts";
import type { NodeEvents } from "../resp/connection/node.ts";
import { nativeDial } from "../resp/transport/dial.ts";
import type { Dial } from "../resp/transport/transport.ts";
import { openRouter } from "./cluster/open_router.ts";
import type { SlotMove } from "./cluster/topology/moves.ts";
import { type ConnectOptions, type ConnectSettings, connectSettings } from "./connect_options.ts";
import { type DefaultUri, defaultUri } from "./default_uri.ts";
import { RedisStreamer } from "./streamer.ts";

/** The parts of the environment that tests replace. */
export interface StreamerPorts {
  readonly dial: Dial;
  readonly clock: Clock;
}

/**
 * Connects to a Redis or Valkey server, to a cluster, or to the primary that Sentinels name.
 *
 * `connect` authenticates and makes one attempt. With `wait: true` it retries until the server answers. Once connected, the
 * streamer reconnects by itself, and producers and consumers resume where they left off.
 *
 * Without a URL, the address comes from the environment variable `REDIS_URL`. If it is not set or may not be read, the address is
 * `redis://localhost:6379`. Deno never prompts for the permission.
 *
 * | form of the URL | meaning |
 * |---|---|
 * | `redis://host:port` | TCP. The default port is 6379. IPv6 addresses are in brackets: `redis://[::1]` |
 * | `rediss://host:port` | TLS. Certificate and host name are verified |
 * | `redis://user:password@host/2` | ACL user and database. Percent-encode special characters |
 * | `redis://host1:7001,host2:7002` | Several nodes of one cluster. One node is enough: `connect` finds out whether it is a cluster |
 * | `redis+sentinel://host1,host2/name` | The primary that Sentinels know by this name. User, password and database are the primary's |
 * | `redis+unix:///path/to.sock?db=2` | Unix socket |
 *
 * Source: HELLO and AUTH (Redis 6.0), CLIENT SETINFO (7.2), CLIENT INFO (6.2), SELECT, CLUSTER SLOTS (3.0), SENTINEL
 * GET-MASTER-ADDR-BY-NAME (2.8), ROLE.
 *
 * @throws {StreamerError} `INVALID_URL` or `INVALID_OPTION` for invalid arguments. `CONNECT` if no server can be reached: the
 * message says why, for example that the port expects TLS. `AUTH` if the server requires a password or refuses it, or if a
 * credential function fails. `TIMEOUT` if the attempt takes longer than `timeout`. `DISCONNECTED` if `wait` has used up its
 * attempts. Or the reason of `signal`.
 *
 * @example
 * ```ts
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect(); // or connect("redis://localhost:6379")
 * const producer = await streamer.createProducer("orders");
 * const { id } = await producer.send("paid");
 * console.log("stored as", id);
 * ```
 *
 * @category Connecting
 */
export async function connect(
  uri?: string | readonly string[],
  options: ConnectOptions = {},
): Promise<RedisStreamer> {
  return await connectWith({ dial: nativeDial(), clock: systemClock }, uri, options);
}

/** The same as {@linkcode connect}, with other sockets and another clock. */
export async function connectWith(
  ports: StreamerPorts,
  uri?: string | readonly string[],
  options: ConnectOptions = {},
): Promise<RedisStreamer> {
  if (uri !== undefined) return await open(ports, connectSettings(uri, options), options.signal);
  const origin: DefaultUri = await defaultUri();
  try {
    return await open(ports, connectSettings(origin.uri, options), options.signal);
  } catch (error) {
    throw origin.explain(error);
  }
}

async function open(
  ports: StreamerPorts,
  settings: ConnectSettings,
  signal: AbortSignal = new AbortController().signal,
): Promise<RedisStreamer> {
  const relay: { to?: NodeEvents & { moved(move: SlotMove): void } } = {};
  const { endpoints: seeds, sentinel, cluster, reach, wait, identification, timeout, reconnect, limits } = settings;
  const router = await openRouter({
    seeds,
    sentinel,
    cluster,
    reach,
    shared: {
      dial: ports.dial,
      identification,
      timeout,
      reconnect,
      limits,
      clock: ports.clock,
      events: {
        connect: (detail) => relay.to?.connect(detail),
        disconnect: (detail) => relay.to?.disconnect(detail),
        reconnect: (detail) => relay.to?.reconnect(detail),
        waiting: (detail) => relay.to?.waiting(detail),
        resumed: (detail) => relay.to?.resumed(detail),
      },
    },
    onMoved: (move) => relay.to?.moved(move),
  }, { signal, wait });
  const streamer = new RedisStreamer(router, settings);
  relay.to = {
    connect: (detail) => streamer.emit("connect", detail),
    disconnect: (detail) => streamer.emit("disconnect", detail),
    reconnect: (detail) => streamer.emit("reconnect", detail),
    waiting: (detail) => streamer.emit("waiting", detail),
    resumed: (detail) => streamer.emit("resumed", detail),
    moved: (detail) => streamer.emit("moved", detail),
  };
  return streamer;
}
