// Decides what became of a message with an id of its own, from what the stream says. Pure functions.

/**
 * What the stream has under the id of a message: its own bytes, others, nothing, or an entry that cannot be read.
 */
export type Found = "own" | "other" | "nothing" | "unreadable";

/**
 * What is known of a message that may be stored, because it was in flight when a connection was lost. The end of the stream is asked
 * for first, and its entries after that.
 */
export interface IdFacts {
  readonly found: Found;
  /** Whether the id is above the end of the stream, so that it can still be stored. */
  readonly isAboveEnd: boolean;
  /** Whether the server has refused the id as too small, and the exact end is unknown: only entries that are left show it. */
  readonly isRefused: boolean;
  /** Whether the stream has an entry with a lower id. Entries are trimmed from the lowest id on. */
  readonly hasLower: boolean;
}

/**
 * - `"stored"`: by this producer, under this id.
 * - `"conflict"`: it is not stored and cannot be, because another writer was there.
 * - `"ambiguous"`: it may have been stored and trimmed since.
 * - `"send"`: it is not stored, and is sent under the same id.
 */
export type IdVerdict = "stored" | "conflict" | "ambiguous" | "send";

/** Decides about a message. Ids up to the end of a stream are never stored any more, also if an old connection delivers them late. */
export function judgeId({ found, isAboveEnd, isRefused, hasLower }: IdFacts): IdVerdict {
  if (found === "own") return "stored";
  if (found === "other") return "conflict";
  if (found === "unreadable") return "ambiguous";
  if (isAboveEnd && !isRefused) return "send";
  return hasLower ? "conflict" : "ambiguous";
}
