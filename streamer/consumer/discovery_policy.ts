// What finding a stream's shards means for what is read of it: pure decisions. It must not know who looks, nor who reads.

import { compareIds, type MessageId } from "../model/id.ts";

/** How a stream is read whose shards are discovered. */
export type StreamForm =
  /** In its plain key, since it has no shards. */
  | { readonly kind: "plain" }
  /** In its plain key still, up to an id; then in these shards. */
  | {
    readonly kind: "leaving";
    readonly numbers: readonly number[];
    readonly until: MessageId;
    readonly ignoredPlain: boolean;
  }
  /** In its shards. */
  | { readonly kind: "sharded" };

/** What a look at a stream that was read in its plain key has shown. */
export interface PlainLook {
  /** The shards there are now. */
  readonly numbers: readonly number[];
  /** The last entry of the plain key. */
  readonly last: MessageId;
  /** Whether the plain key is a stream. */
  readonly plain: boolean;
}

/**
 * How a stream goes on that has been read in its plain key. The id up to which that is still read never rises, so that
 * somebody who goes on writing there cannot hold up the shards; it falls where entries are deleted before they were read.
 */
export function judgePlain(form: StreamForm, { numbers, last, plain }: PlainLook): StreamForm {
  if (numbers.length === 0) return { kind: "plain" };
  const until = form.kind === "leaving" && compareIds(form.until, last) < 0 ? form.until : last;
  return { kind: "leaving", numbers, until, ignoredPlain: plain };
}

/** The numbers that are missing now and were not before. */
export function newlyGone(missing: readonly number[], before: ReadonlySet<number>): readonly number[] {
  return missing.filter((number) => !before.has(number));
}
