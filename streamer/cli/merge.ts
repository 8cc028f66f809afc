// Several ranges of messages as one, in the order of their ids. It must not know what they are read for.

import type { Message } from "../model/message.ts";
import { isBehind } from "./times.ts";

interface Head {
  readonly iterator: AsyncIterator<Message>;
  message: Message;
  id: string;
}

/** Merges ranges that ascend each; there are few of them. Messages with the same id come in the order of their ranges. */
export async function* mergeById(ranges: readonly AsyncIterable<Message>[]): AsyncGenerator<Message> {
  const heads: Head[] = [];
  const iterators = ranges.map((range) => range[Symbol.asyncIterator]());
  try {
    for (const iterator of iterators) {
      const { value, done } = await iterator.next();
      if (!done) heads.push({ iterator, message: value, id: value.id });
    }
    while (heads.length > 0) {
      let first = heads[0];
      for (const head of heads) if (isBehind(first.id, head.id)) first = head;
      yield first.message;
      const { value, done } = await first.iterator.next();
      if (done) heads.splice(heads.indexOf(first), 1);
      else {
        first.message = value;
        first.id = value.id;
      }
    }
  } finally {
    for (const iterator of iterators) await iterator.return?.();
  }
}
