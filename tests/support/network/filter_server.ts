// A server that answers or refuses some commands by itself and forwards all others to a real one, as proxies do. Must
// not use the library under test.

import { connect } from "node:net";
import { type FakeServer, type Peer, startFakeServer } from "./fake_server.ts";
import { type Address, encodeCommand } from "../servers/raw_client.ts";
import { destroy } from "./sockets.ts";

/**
 * The fate of a command: it is forwarded, other words are forwarded in its place, the connection is cut, or it is
 * answered here.
 */
export type Verdict =
  | "pass"
  | "cut"
  | { readonly words: readonly string[] }
  | { readonly answer: string };

/** Judges each command; `index` counts connections. An answer given here overtakes those of commands passed on before. */
export type Judge = (words: readonly string[], peer: Peer, index: number) => Verdict | Promise<Verdict>;

const decoder = new TextDecoder();

/** Starts one in front of a server, which `upstream` chooses for each connection. */
export async function startFilterServer(upstream: (index: number) => Address, judge: Judge): Promise<FakeServer> {
  return await startFakeServer(async (peer, index) => {
    const { host, port } = upstream(index);
    const socket = connect({ host, port, noDelay: true });
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Uint8Array) => void peer.send(chunk));
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    closed.then(() => peer.cut());
    try {
      for (let words = await peer.commandBytes(); words !== undefined; words = await peer.commandBytes()) {
        const verdict = await judge(words.map((word) => decoder.decode(word)), peer, index);
        if (verdict === "cut") return await peer.cut();
        if (verdict !== "pass" && "answer" in verdict) await peer.send(verdict.answer);
        else if (!socket.destroyed) socket.write(encodeCommand(verdict === "pass" ? words : verdict.words));
      }
    } finally {
      await destroy(socket);
    }
  });
}
