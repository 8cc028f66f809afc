// Divides the test files of a run into pieces, each of which one process runs: much of a test is waiting. Pure.

/** What a file of a folder takes, as a rule, in seconds. The first one that fits counts. */
const SECONDS: readonly (readonly [folder: string, seconds: number])[] = [
  ["tests/faults/cluster/", 15],
  ["tests/server/cluster/", 10],
  ["tests/server/sentinel/", 15],
  ["tests/faults/watched/", 15],
  ["tests/support/servers/", 8],
  ["tests/server/recipes/", 8],
  ["tests/server/examples/", 8],
  ["tests/faults/", 5],
  ["tests/server/", 3],
  ["", 0.3],
];
/** Seconds of a piece, about: small enough to be spread evenly, large enough that loading the runtime does not count. */
const LONG = 45;

/** Pieces with all of these files, those first that take longest. */
export function piecesOf(files: readonly string[]): string[][] {
  const ordered = [...files].sort((a, b) => secondsOf(b) - secondsOf(a));
  const count = Math.ceil(ordered.reduce((sum, file) => sum + secondsOf(file), 0) / LONG);
  const pieces = Array.from({ length: Math.max(1, Math.min(count, files.length)) }, (): string[] => []);
  for (const [at, file] of ordered.entries()) pieces[at % pieces.length].push(file);
  return pieces.map((piece) => piece.sort());
}

function secondsOf(file: string): number {
  return SECONDS.find(([folder]) => file.startsWith(folder))?.[1] ?? 0;
}
