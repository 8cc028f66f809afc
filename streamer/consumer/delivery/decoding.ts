// Decides what happens to messages whose payload does not decode. They are decoded when they are returned.

import type { OnDecodeError } from "../../model/codec.ts";
import type { DeadLetterDetail } from "../events.ts";
import { type Message, TypedMessage } from "../../model/message.ts";

/** Most characters of a codec's error in the reason. */
const MOST_TEXT = 200;

/** A check whether a message is returned, which puts aside others; `undefined` if all messages are returned. */
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

/** Reports a message that is skipped and not pending; asynchronously, as it is just being taken from the queue. */
export function reportSkipped(message: Message, reason: string, report: (detail: DeadLetterDetail) => void): void {
  const { streamKey, shardId, id, deliveries } = message;
  queueMicrotask(() => report({ streamKey, shardId, id, target: null, deliveries, reason }));
}

function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return `decode-error: ${text.slice(0, MOST_TEXT)}`;
}
