// Limits how many messages are delivered and not acknowledged, and passes on demand: the one place where both are known.

/** The counts that limit deliveries. */
export interface DeliveryLoad {
  /** Messages that were delivered and not acknowledged. */
  readonly unacked: number;
  /** Acknowledgements to send. */
  readonly unsent: number;
}

/** The largest counts with which messages are delivered. */
export interface DeliveryLimits {
  readonly maxUnacked: number;
  readonly maxUnsent: number;
}

/** What a gate calls. */
export interface DeliveryFlow {
  /** Messages can be delivered after a delivery was refused. */
  onCapacity(): void;
  /** A caller waits for a message, or a page was delivered completely. */
  onDemand(): void;
}

/** Constructed before everything that delivers or settles messages; {@linkcode connect} sets what it calls. */
export class DeliveryGate {
  readonly #load: DeliveryLoad;
  readonly #limits: DeliveryLimits;
  #flow: DeliveryFlow | undefined;
  #backpressured = false; // whether a delivery was refused since there was capacity last

  constructor(load: DeliveryLoad, limits: DeliveryLimits) {
    this.#load = load;
    this.#limits = limits;
  }

  /** Sets the functions that are called from now on. */
  connect(flow: DeliveryFlow): void {
    this.#flow = flow;
  }

  /** How many more messages can be delivered. If none, `onCapacity` is called once that has changed. */
  capacity(): number {
    const { unacked, unsent } = this.#load;
    const { maxUnacked, maxUnsent } = this.#limits;
    const capacity = Math.min(maxUnacked - unacked, maxUnsent - unsent);
    if (capacity > 0) return capacity;
    this.#backpressured = true;
    return 0;
  }

  /** A delivery is refused for another reason: the next {@linkcode onCapacity} is passed on. */
  refuse(): void {
    this.#backpressured = true;
  }

  /** There may be more capacity. Called for each acknowledgement, and cheap unless a delivery was refused. */
  onCapacity(): void {
    if (!this.#backpressured) return;
    this.#backpressured = false;
    this.#flow?.onCapacity();
  }

  /** A caller waits for a message, or a page was delivered completely. */
  onDemand(): void {
    this.#flow?.onDemand();
  }
}
