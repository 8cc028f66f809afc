// Owns how our decoder is driven. "values": every reply as a tree of copied values; "pages": as the consumer does it,
// framed in place, checked, and each entry made a message. Must not know sockets.

import { RespDecoder, RespMap } from "../../resp/mod.ts";
import { readPage } from "../../streamer/commands/xread.ts";
import { fieldBytes, Message } from "../../streamer/model/message.ts";
import { contend } from "./contend.ts";
import { decoding, type PieceDecoder } from "./decode_run.ts";

function decodeValues(): PieceDecoder {
  const decoder = new RespDecoder();
  return {
    decode(piece) {
      decoder.feed(piece);
      let messages = 0;
      for (let reply = decoder.read(); reply; reply = decoder.read()) {
        if (!(reply.value instanceof RespMap)) throw new Error("The capture holds something else than pages");
        for (const [, entries] of reply.value.entries) messages += Array.isArray(entries) ? entries.length : 0;
      }
      return messages;
    },
  };
}

const field = fieldBytes("msg");

/** Frames a page, takes it with its bytes, and makes a message of each of its entries. */
function decodePages(): PieceDecoder {
  const decoder = new RespDecoder();
  return {
    decode(piece) {
      decoder.feed(piece);
      let messages = 0;
      while (decoder.advance()) {
        const frame = decoder.detach();
        for (const { redisKey: streamKey, entries } of readPage(frame)) {
          const source = { frame, streamKey, shardId: 0, timestampFormat: "milliseconds", field } as const;
          const batch: Message[] = [];
          for (const at of entries) batch.push(new Message(source, at, 1));
          messages += batch.length;
        }
      }
      return messages;
    },
  };
}

await contend({ values: decoding(decodeValues), pages: decoding(decodePages) });
