// Streamers over two nodes: each with its own router, which the nodes notify of the topology.

import type { ConnectOptions, StreamerEventDetails } from "../../../mod.ts";
import { connectSettings } from "../../../streamer/connect_options.ts";
import { RedisStreamer } from "../../../streamer/streamer.ts";
import { TwoNodeRouter } from "./two_node_router.ts";
import type { TwoNodes } from "./two_nodes.ts";

/** A streamer and its router. */
export interface Routed extends AsyncDisposable {
  readonly streamer: RedisStreamer;
  readonly router: TwoNodeRouter;
}

/** Creates a streamer over two nodes. Commands of several keys are checked against the topology of its router. */
export function streamerOver(both: TwoNodes, options: ConnectOptions = {}): Routed {
  const reconnect = { initialDelay: 10, maxDelay: 200, ...options.reconnect };
  const settings = connectSettings(`redis://${both.nodes[0].name}`, { ...options, reconnect });
  const relay: { to?: RedisStreamer } = {};
  const tell = <Name extends keyof StreamerEventDetails>(name: Name) => (detail: StreamerEventDetails[Name]) =>
    relay.to?.emit(name, detail);
  const router = new TwoNodeRouter([both.nodes[0].port, both.nodes[1].port], both.owners, settings, {
    connect: tell("connect"),
    disconnect: tell("disconnect"),
    reconnect: tell("reconnect"),
    waiting: tell("waiting"),
    resumed: tell("resumed"),
  });
  const streamer = relay.to = new RedisStreamer(router, settings);
  both.routers.add(router);
  return {
    streamer,
    router,
    async [Symbol.asyncDispose]() {
      await streamer.disconnect();
      both.routers.delete(router);
      if (router.listeners > 0) throw new Error(`${router.listeners} listeners of the router are left`);
    },
  };
}
