// A client of server-sent events that works as a browser does: it remembers the id of the last event, and can lose its connection.
// A browser reconnects by itself; here the test decides when.

import { get, type IncomingMessage } from "node:http";

/** An event of the stream. */
export interface ReceivedEvent {
  readonly id: string;
  readonly data: string;
}

/** One connection. */
export class EventStream implements AsyncDisposable {
  /** The id that a browser would send as `Last-Event-ID` when it reconnects. */
  lastId: string;
  readonly #response: IncomingMessage;
  readonly #closed: Promise<void>;
  readonly #chunks: AsyncIterator<string>;
  #text = "";

  private constructor(response: IncomingMessage, lastId: string) {
    this.#response = response;
    this.#closed = new Promise((resolve) => response.once("close", () => resolve()));
    response.on("error", () => {}); // of a connection that was cut
    this.#chunks = response.setEncoding("utf8")[Symbol.asyncIterator]();
    this.lastId = lastId;
  }

  /** Connects; rejects if the response is not a stream of events. */
  static async open(url: string, lastId = ""): Promise<EventStream> {
    const headers: Record<string, string> = lastId === "" ? {} : { "last-event-id": lastId };
    const request = get(url, { headers, agent: false });
    const response = await new Promise<IncomingMessage>((resolve, reject) =>
      request.once("response", resolve).once("error", reject)
    );
    if (response.statusCode !== 200 || response.headers["content-type"] !== "text/event-stream") {
      request.destroy();
      throw new Error(`The response is no stream of events: ${response.statusCode}`);
    }
    request.on("error", () => {});
    const stream = new EventStream(response, lastId);
    await stream.#block(); // the first block has an id and no data
    return stream;
  }

  /** The next events. */
  async take(count: number): Promise<ReceivedEvent[]> {
    const events: ReceivedEvent[] = [];
    while (events.length < count) {
      const { id, data } = await this.#block();
      if (data !== undefined) events.push({ id, data });
    }
    return events;
  }

  /** Loses the connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#response.destroy();
    await this.#closed;
  }

  async #block(): Promise<{ readonly id: string; readonly data: string | undefined }> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end >= 0) {
        const lines = this.#text.slice(0, end).split("\n");
        this.#text = this.#text.slice(end + 2);
        return this.#parse(lines);
      }
      const { done, value } = await this.#chunks.next();
      if (done) throw new Error("The stream of events has ended");
      this.#text += value;
    }
  }

  #parse(lines: readonly string[]): { readonly id: string; readonly data: string | undefined } {
    const valuesOf = (name: string) =>
      lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2));
    this.lastId = valuesOf("id").at(-1) ?? this.lastId;
    const data = valuesOf("data");
    return { id: this.lastId, data: data.length > 0 ? data.join("\n") : undefined };
  }
}
