// Provides the server for the demo and the price feed, and removes from it what they leave behind.

import process from "node:process";
import { connect, type RedisStreamer, StreamerError } from "../../mod.ts";
import { startServer } from "../../tests/support/servers/server.ts";
import { UsageError } from "../usage.ts";

/** A server for the demo. */
export interface DemoServer {
  readonly url: string;
  /** What it is, for people. */
  readonly description: string;
  /** Deletes a stream of the demo. */
  forget(streamKey: string): Promise<void>;
  /** Stops the server if the demo has started it. */
  stop(): Promise<void>;
}

/**
 * The server of `REDIS_URL`, otherwise a server that is started for this program.
 *
 * Rejects at once, with a message that names `REDIS_URL`, if that is no valid URL or its server refuses.
 */
export async function openServer(): Promise<DemoServer> {
  const url = process.env.REDIS_URL;
  if (url) return await foreignServer(url);
  const server = await startServer();
  return {
    url: server.url,
    description: `${server.isValkey ? "Valkey" : "Redis"} ${server.version}, started for this program`,
    forget: () => Promise.resolve(),
    stop: () => server.stop(),
  };
}

async function foreignServer(url: string): Promise<DemoServer> {
  const streamer = await connected(url);
  return {
    url,
    description: "The server at REDIS_URL",
    forget: async (streamKey) => {
      const manager = await streamer.createManager();
      await manager.deleteStream(streamKey);
    },
    stop: () => streamer.disconnect(),
  };
}

async function connected(url: string): Promise<RedisStreamer> {
  try {
    return await connect(url);
  } catch (cause) {
    const message = `Cannot use REDIS_URL: ${cause instanceof Error ? cause.message : cause}`;
    const isMistake = cause instanceof StreamerError && cause.code === "INVALID_URL";
    throw isMistake ? new UsageError(message, { cause }) : new Error(message, { cause });
  }
}
