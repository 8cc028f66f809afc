// The statistics of producers.

/**
 * The statistics of a producer, shared by its clones.
 *
 * @category Producing
 */
export interface ProducerStats {
  /** Bytes accepted and not settled: for each message its bytes on the wire and 256 more. */
  readonly buffered: number;
  /** Messages that were written and whose replies are outstanding. */
  readonly inFlight: number;
  /** Messages accepted. */
  readonly sent: number;
  /** Messages stored. */
  readonly acked: number;
  /** Messages that failed. */
  readonly failed: number;
  /** Messages that were queued again after a lost connection or a temporary refusal. */
  readonly resent: number;
  /** Messages that failed with `CONFLICT`, because another writer was in their stream. Only with `singleWriter`. */
  readonly conflicts: number;
}

/**
 * The JSON form of a producer: its stream, if it is bound to one, and its statistics.
 *
 * @category Producing
 */
export interface ProducerJson extends ProducerStats {
  /** The stream that the producer is bound to. */
  readonly streamKey?: string;
}
