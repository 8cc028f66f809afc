// CLUSTER NODES: what a cluster node says of its own slots. Redis 3.0.

import { textOf } from "../../resp/value.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { TEXT_REPLY } from "../../resp/reply_limits.ts";

/** The slots of the node that has answered. */
export interface OwnSlots {
  /** Ranges of slots that it owns. */
  readonly owned: readonly (readonly [first: number, last: number])[];
  /** Slots whose keys it is given one by one, and that another node still owns. */
  readonly importing: readonly number[];
  /** Its config epoch, which changes when it takes over slots, unless it is the highest of all nodes. */
  readonly epoch: string;
}

/** Asks a node for its own slots. Of a node that knows nothing of itself, there are none. */
export function ownSlots(): Command<OwnSlots> {
  return {
    args: ["CLUSTER", "NODES"],
    repeatable: true,
    limits: TEXT_REPLY,
    read(decoder) {
      const lines = textOf(decoder.value())?.split("\n");
      if (lines === undefined) throw wrongShape("CLUSTER NODES", "a text");
      for (const line of lines) {
        const [, , flags = "", , , , epoch = "", , ...slots] = line.trimEnd().split(" ");
        if (flags.split(",").includes("myself")) return { ...readSlots(slots), epoch };
      }
      return { owned: [], importing: [], epoch: "" };
    },
  };
}

/** `0-5460`, `7000`, `[93-<-node]` for a slot that comes, `[93->-node]` for one that leaves. Other words are ignored. */
function readSlots(words: readonly string[]): Pick<OwnSlots, "owned" | "importing"> {
  const owned: (readonly [number, number])[] = [];
  const importing: number[] = [];
  for (const word of words) {
    const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(word);
    const coming = /^\[(\d{1,5})-<-/.exec(word);
    if (range !== null) owned.push([Number(range[1]), Number(range[2] ?? range[1])]);
    if (coming !== null) importing.push(Number(coming[1]));
  }
  return { owned, importing };
}
