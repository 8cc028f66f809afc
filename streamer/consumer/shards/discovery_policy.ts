// How a stream is read once its shards were found: pure decisions.

import { compareIds, FIRST_ID, type MessageId } from "../../model/id.ts";

/** How a stream with discovered shards is read. */
export type StreamForm =
  /** Its plain key is read, since it has no shards. */
  | { readonly kind: "plain" }
  /** Its plain key is read up to an id, then these shards. */
  | {
    readonly kind: "leaving";
    readonly numbers: readonly number[];
    readonly until: MessageId;
    readonly ignoredPlain: boolean;
  }
  /** Its shards are read. */
  | { readonly kind: "sharded" };

/** The result of a look at a stream of which the plain key is read. */
export interface PlainLook {
  /** The numbers of the shards that exist now. */
  readonly numbers: readonly number[];
  /** The last entry of the plain key. */
  readonly last: MessageId;
  /** Whether the plain key is a stream. */
  readonly plain: boolean;
}

/**
 * How a stream is read after a look at its plain key. The id up to which the plain key is read never rises, so that a producer that
 * still writes there cannot delay the shards. The id falls if entries are deleted before they were read.
 */
export function judgePlain(form: StreamForm, { numbers, last, plain }: PlainLook): StreamForm {
  if (numbers.length === 0) return { kind: "plain" };
  const until = form.kind === "leaving" && compareIds(form.until, last) < 0 ? form.until : last;
  return { kind: "leaving", numbers, until, ignoredPlain: plain && last !== FIRST_ID };
}

/** The numbers that are missing now and were not missing before. */
export function newlyGone(missing: readonly number[], before: ReadonlySet<number>): readonly number[] {
  return missing.filter((number) => !before.has(number));
}
