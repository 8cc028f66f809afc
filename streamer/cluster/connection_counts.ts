// Counts the open connections to each node, by its events.

import type { NodeEvents } from "../../resp/connection/node.ts";
import type { NodeName } from "./router.ts";

/** Counts connections, and passes all events on. */
export class ConnectionCounts {
  /** The events of the nodes. */
  readonly events: NodeEvents;
  readonly #counts = new Map<NodeName, number>();

  /** `onConnect` is called before the event. */
  constructor(events: NodeEvents, onConnect: (node: NodeName) => void = () => {}) {
    this.events = {
      connect: (detail) => {
        this.#add(detail.node, 1);
        onConnect(detail.node);
        events.connect(detail);
      },
      disconnect: (detail) => {
        this.#add(detail.node, -1);
        events.disconnect(detail);
      },
      reconnect: (detail) => events.reconnect(detail),
      waiting: (detail) => events.waiting(detail),
      resumed: (detail) => events.resumed(detail),
    };
  }

  /** The open connections to a node. */
  of(node: NodeName): number {
    return this.#counts.get(node) ?? 0;
  }

  /** The open connections to all nodes. */
  get total(): number {
    let total = 0;
    for (const count of this.#counts.values()) total += count;
    return total;
  }

  #add(node: NodeName, change: number): void {
    const count = this.of(node) + change;
    if (count > 0) this.#counts.set(node, count);
    else this.#counts.delete(node);
  }
}
