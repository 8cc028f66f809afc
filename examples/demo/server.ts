// Owns which server the demo talks to, and that nothing of the demo is left on it. Must not know what is sent.

import process from "node:process";
import { startServer } from "../../tests/support/server.ts";

/** A server for the demo. */
export interface DemoServer {
  readonly url: string;
  /** For people: what it is and whose. */
  describe(): Promise<string>;
  /** Takes the demo's stream away. */
  forget(streamKey: string): Promise<void>;
  /** Ends the server if it is the demo's own. */
  stop(): Promise<void>;
}

/** The server that REDIS_URL names, else one of the demo's own. */
export async function openServer(): Promise<DemoServer> {
  const url = process.env.REDIS_URL;
  if (url) return foreignServer(url);
  const server = await startServer();
  const name = `${server.isValkey ? "Valkey" : "Redis"} ${server.version}`;
  return {
    url: server.url,
    describe: () => Promise.resolve(`${name}, started for this`),
    forget: () => Promise.resolve(),
    stop: () => server.stop(),
  };
}

function foreignServer(url: string): DemoServer {
  return {
    url,
    describe: async () => {
      const info = await ask(url, ["INFO", "server"]);
      const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(info)?.[1];
      const valkey = field("valkey_version");
      return `${valkey ? `Valkey ${valkey}` : `Redis ${field("redis_version")}`}, named by REDIS_URL`;
    },
    forget: async (streamKey) => {
      await ask(url, ["DEL", streamKey]);
    },
    stop: () => Promise.resolve(),
  };
}

/** By another client: the library has no command for what the demo asks beside its stream. */
async function ask(url: string, words: readonly string[]): Promise<string> {
  const { createClient } = await import("redis"); // only where it is needed: it is large
  const client = createClient({ url, socket: { reconnectStrategy: false } });
  client.on("error", () => {}); // what is awaited rejects with it too
  await client.connect();
  try {
    return String(await client.sendCommand([...words]));
  } finally {
    client.destroy();
  }
}
