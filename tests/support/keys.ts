// Generates the names under which tests store data.

const run = crypto.randomUUID().slice(0, 8);
let count = 0;

/** A key that no other test, file or run uses, also on a server that others share. */
export function uniqueKey(prefix = "test"): string {
  count += 1;
  return `${prefix}-${run}-${count}`;
}
