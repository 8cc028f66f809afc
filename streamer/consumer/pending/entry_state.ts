// The states of an entry, from its arrival at this consumer to its confirmed acknowledgement. Only this module knows them.

/**
 * `queued`: read ahead. `inFlight`: delivered to the program, and not acknowledged. `nacked`: waits to be delivered again.
 * `settling`: being dead-lettered, or acknowledged together with its outputs. `released`: delivered to the program, and released since. `acked`: an
 * acknowledgement is to be sent. `sending`: the acknowledgement is being sent. `done`: nothing is left to do.
 *
 * The first four need a lease on the server.
 */
export const ENTRY_STATE = Object.freeze({
  queued: 0,
  inFlight: 1,
  nacked: 2,
  settling: 3,
  released: 4,
  acked: 5,
  sending: 6,
  done: 7,
});

/** How many states there are. */
export const STATES = 8;

/** Whether something is left to do about an entry. */
export function isTracked(state: number): boolean {
  return state !== ENTRY_STATE.done && state !== ENTRY_STATE.released;
}
