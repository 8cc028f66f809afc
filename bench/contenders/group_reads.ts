// Reads and acknowledges the backlog of a group with clients that leave both to the user.

/** The operations of one consumer in a group. */
export interface GroupReader {
  /** Reads the next page; resolves to its ids, or to nothing at the end of the stream. */
  read(): Promise<string[] | undefined>;
  /** Acknowledges; resolves to the number of acknowledged messages. */
  ack(ids: string[]): Promise<number>;
}

/** Reads page after page, and acknowledges each before the next request. Resolves to the number of acknowledged messages. */
export async function readInTurn({ read, ack }: GroupReader): Promise<number> {
  let acked = 0;
  for (let ids = await read(); ids; ids = await read()) acked += await ack(ids);
  return acked;
}

/**
 * The same with `depth` pages in flight, and the acknowledgement of each in one write with the next request. Resolves when
 * every acknowledgement has been confirmed.
 */
export async function readAhead(depth: number, { read, ack }: GroupReader): Promise<number> {
  const acks: Promise<number>[] = [];
  const lane = async () => {
    for (let ids = await read(); ids; ids = await read()) acks.push(ack(ids));
  };
  await Promise.all(Array.from({ length: depth }, lane));
  return (await Promise.all(acks)).reduce((sum, acked) => sum + acked, 0);
}
