// Owns how our decoder is driven. "values": every reply as a tree of copied values; "pages": framed in place and taken
// with its bytes, entries counted off the tape, no message made. Must not know sockets.

import { RespDecoder, RespMap } from "../../resp/mod.ts";
import { contend } from "./contend.ts";
import { decoding, type PieceDecoder } from "./decode_run.ts";

/** On the tape of `{ key: [entry, …] }`, two integers a value: where the entries' array stands. */
const ENTRIES = 4;

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

/** Frames a page, takes it with its bytes, and reads the number of its entries off the tape. */
function decodePages(): PieceDecoder {
  const decoder = new RespDecoder();
  return {
    decode(piece) {
      decoder.feed(piece);
      let messages = 0;
      while (decoder.advance()) messages += decoder.detach().lengthAt(ENTRIES);
      return messages;
    },
  };
}

await contend({ values: decoding(decodeValues), pages: decoding(decodePages) });
