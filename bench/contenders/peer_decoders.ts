// Drives the internal decoders of node-redis and ioredis, which are not public. "strings" is their default, "buffers" copies nothing.

import { createRequire } from "node:module";
import { contend } from "./contend.ts";
import { decoding, type PieceDecoder } from "./decode_run.ts";

type Reply = Record<string, unknown[]>;

interface Decoder {
  new (handlers: {
    onReply(reply: Reply): void;
    onErrorReply(error: Error): void;
    onPush(): void;
    getTypeMapping(): Record<number, unknown>;
  }): { write(piece: Uint8Array): void };
}

const BLOB_STRING = "$".charCodeAt(0);

/** Loads a file of a package, or of one of its dependencies. */
function load(from: string, path: string): Decoder {
  const require = createRequire(createRequire(import.meta.url).resolve(from));
  return require(path).Decoder;
}

function peer(Decoder: Decoder, typeMapping: Record<number, unknown>): PieceDecoder {
  let messages = 0;
  const decoder = new Decoder({
    onReply: (reply) => {
      for (const key in reply) messages += reply[key].length;
    },
    onErrorReply: (error) => {
      throw error;
    },
    onPush: () => {},
    getTypeMapping: () => typeMapping,
  });
  return {
    decode(piece) {
      const before = messages;
      decoder.write(piece);
      return messages - before;
    },
  };
}

const nodeRedis = () => load("redis", "@redis/client/dist/lib/RESP/decoder.js");
const ioredis = () => load("ioredis", "./resp/decoder.js");

await contend({
  "node-redis-strings": decoding(() => peer(nodeRedis(), {})),
  "node-redis-buffers": decoding(() => peer(nodeRedis(), { [BLOB_STRING]: Buffer })),
  "ioredis-strings": decoding(() => peer(ioredis(), {})),
});
