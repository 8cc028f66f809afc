// Owns how a group's backlog is read and acknowledged with clients that leave both to their user. Must not know any client.

/** What a client does for one consumer of a group. */
export interface GroupReader {
  /** Reads the next page; gives its ids, or nothing at the end of the stream. */
  read(): Promise<string[] | undefined>;
  /** Acknowledges; gives how many were. */
  ack(ids: string[]): Promise<number>;
}

/** Reads page after page, each acknowledged before the next is asked for; gives how many messages were acknowledged. */
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
