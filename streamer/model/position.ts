// Converts a position in a stream to an id.

import { FIRST_ID, halves, idOfSequence, type MessageId, type SeqPos } from "./id.ts";
import { invalidOption } from "./options.ts";

/**
 * The id after which reading starts, or `undefined` for the end.
 *
 * @throws {StreamerError} `INVALID_OPTION` for an invalid position.
 */
export function idOfPosition(position: SeqPos): MessageId | undefined {
  if (position === "end") return undefined;
  if (position === "beginning") return FIRST_ID;
  if (typeof position === "bigint") return idOfSequence(position);
  if (typeof position !== "string") {
    throw invalidOption("position", position, `"beginning", "end", a bigint or a message id`);
  }
  halves(position);
  return position;
}
