// The options that tests of drains share.

/** The group of the consumers. */
export const group = "g";

/** Milliseconds that no test reaches. */
export const long = 3_600_000;

/** A consumer that sends acknowledgements only when it ends, or when many are waiting. */
export const rolling = {
  mode: "load-balanced",
  group,
  consumerId: "me",
  autoCommit: "rolling",
  autoCommitInterval: long,
} as const;
