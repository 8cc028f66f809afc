// Owns the shape of a decoding run: captured replies, fed in pieces of 64 KiB, again and again. Must not know any decoder.

import { readFileSync } from "node:fs";
import type { Form, Job } from "./contend.ts";

/** Bytes of one piece. */
const PIECE = 64 * 1024;

/** Takes the pieces one after the other, and gives the number of messages that became whole with each. */
export interface PieceDecoder {
  decode(piece: Uint8Array): number;
}

/** Decodes the capture until the job's number of messages has come out. */
export function decoding(open: () => PieceDecoder): Form {
  return async (job: Job, measure) => {
    const capture = readFileSync(job.capture);
    const run = (messages: number) => {
      const decoder = open();
      let decoded = 0;
      while (decoded < messages) {
        for (let at = 0; at < capture.length; at += PIECE) decoded += decoder.decode(capture.subarray(at, at + PIECE));
      }
      return decoded;
    };
    run(job.warmup);
    await measure(() => run(job.messages));
  };
}
