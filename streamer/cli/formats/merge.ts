// Merges several ranges of messages in the order of their ids.

import { isAfter } from "../../model/id.ts";
import type { Message } from "../../model/message.ts";

interface Head {
  readonly iterator: AsyncIterator<Message>;
  message: Message;
  id: string;
}

/** Merges ascending ranges, of which there are few. Messages with equal ids keep the order of their ranges. */
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
      for (const head of heads) if (isAfter(first.id, head.id)) first = head;
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
