// Drives the decoder of this library. "values": every reply as a tree of copied values. "pages": like the consumer, framed in place,
// checked, and with a message for each entry.

import { RespDecoder, RespMap } from "../../resp/mod.ts";
import { readPage } from "../../streamer/commands/xread.ts";
import { Message } from "../../streamer/model/message.ts";
import { fieldBytes } from "../../streamer/model/message_headers.ts";
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

/** Frames a page, takes it with its bytes, and creates a message for each entry. */
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
