// The shape of a decoding run: captured replies in pieces of 64 KiB, repeated.

import { readFileSync } from "node:fs";
import type { Form, Job } from "./contend.ts";

/** Bytes of one piece. */
const PIECE = 64 * 1024;

/** Accepts the pieces in order; returns the number of messages that each piece completes. */
export interface PieceDecoder {
  decode(piece: Uint8Array): number;
}

/** Decodes the capture until it has yielded the number of messages of the job. */
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
