// Decides how many bytes of one link may be in flight. Pure functions.

/** Most bytes in flight. Enough to keep the server busy while replies are read. A lost connection can duplicate no more. */
export const MAX_WINDOW = 2 * 1024 * 1024;
/** The first window after a reconnect, so that a server that fails again does not get the whole backlog each time. */
export const FIRST_WINDOW = 64 * 1024;
/** The window of one message at a time. */
export const ALONE_WINDOW = 1;

/** The window after replies to so many bytes. It doubles after the replies to a whole window. */
export function widenWindow(window: number, bytes: number): number {
  return Math.min(MAX_WINDOW, window + bytes);
}
