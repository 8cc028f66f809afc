// A producer as a web stream: back-pressure by `ready`, closing by `flush`. It must not know more of a producer than that.

import type { SendReceipt } from "./receipt.ts";

/** What is asked of a producer. */
export interface WritableTarget<P> {
  readonly desiredSize: number;
  readonly ready: Promise<void>;
  send(payload: P): SendReceipt;
  flush(): Promise<void>;
}

/** Makes the stream. A failed send errors it, and with it whatever is piped into it. `onDone` hears of its end. */
export function writableOf<P>(producer: WritableTarget<P>, onDone: () => void): WritableStream<P> {
  return new WritableStream<P>({
    async write(payload, controller): Promise<void> {
      if (producer.desiredSize <= 0) await producer.ready;
      producer.send(payload).catch((error) => {
        onDone();
        controller.error(error);
      });
    },
    close(): Promise<void> {
      onDone();
      return producer.flush();
    },
    abort: onDone,
  });
}
