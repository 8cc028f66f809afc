// The first inputs of the fuzzer: the vectors and the replies of real servers.

import { readCaptures } from "./captures.ts";
import { wire } from "./drive.ts";
import { VECTORS } from "./vectors.ts";

/** Valid replies, none so long that mutations would be lost in it. */
export function fuzzCorpus(): Uint8Array[] {
  const vectors = VECTORS.map((vector) => wire(vector.wire));
  const captures = readCaptures().map((capture) => capture.bytes);
  return [...vectors, ...vectors, ...captures].filter((bytes) => bytes.length <= 300);
}
