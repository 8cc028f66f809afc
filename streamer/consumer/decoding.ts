// What becomes of messages whose payload does not decode: they are looked at when they are handed out. It must not know how they are
// read, nor how they are buried.

import type { OnDecodeError } from "../model/codec.ts";
import type { DeadLetterDetail } from "./graveyard.ts";
import { type Message, TypedMessage } from "../model/message.ts";

/** Characters of what a codec throws that stand in the reason. */
const MOST_TEXT = 200;

/** Decides whether messages are handed out, and has those that are not put aside; `undefined` where all of them are. */
export function decodingGate(
  policy: OnDecodeError,
  putAside: (message: Message, reason: string) => void,
): ((message: Message) => boolean) | undefined {
  if (policy === "fail") return undefined;
  return (message) => {
    if (!(message instanceof TypedMessage)) return true;
    try {
      void message.value; // it is decoded once, here
      return true;
    } catch (error) {
      putAside(message, reasonOf(error));
      return false;
    }
  };
}

/** Tells of a message that is in nobody's hands and pending nowhere; later, since it is in the middle of being taken. */
export function tellSkipped(message: Message, reason: string, tell: (detail: DeadLetterDetail) => void): void {
  const { streamKey, shardId, id, deliveries } = message;
  queueMicrotask(() => tell({ streamKey, shardId, id, target: null, deliveries, reason }));
}

function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return `decode-error: ${text.slice(0, MOST_TEXT)}`;
}
