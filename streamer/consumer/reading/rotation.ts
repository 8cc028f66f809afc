// Which shards one read asks for: all of them, or some in turn after all of them together were too large. Pure decisions.

/** Which shards are read together: all, blocking until entries arrive; or `width` of them at a time, in turn. */
export type ShardRotation =
  | { readonly kind: "all" }
  | { readonly kind: "some"; readonly width: number; readonly from: number; readonly empty: number };

/** The rotation that reads all shards together. */
export const ALL_SHARDS: ShardRotation = { kind: "all" };

/** The rotation after a page of one entry of each shard was too large; `undefined` if the page was of one shard. */
export function narrowRotation(rotation: ShardRotation, shards: number): ShardRotation | undefined {
  const width = rotation.kind === "all" ? shards : Math.min(rotation.width, shards);
  if (width <= 1) return undefined;
  return { kind: "some", width: Math.ceil(width / 2), from: rotation.kind === "all" ? 0 : rotation.from, empty: 0 };
}

/** The rotation after a page: the next shards, or all again after a whole round without entries. */
export function nextRotation(
  rotation: ShardRotation,
  page: { readonly total: number },
  shards: number,
): ShardRotation {
  if (rotation.kind === "all") return rotation;
  const empty = page.total > 0 ? 0 : rotation.empty + rotation.width;
  return empty >= shards ? ALL_SHARDS : { ...rotation, from: (rotation.from + rotation.width) % shards, empty };
}

/** The shards that a read asks for now. */
export function inRotation<S>(rotation: ShardRotation, shards: readonly S[]): readonly S[] {
  if (rotation.kind === "all") return shards;
  const start = rotation.from % shards.length;
  return [...shards.slice(start), ...shards.slice(0, start)].slice(0, rotation.width);
}
