// Assigns targets to links. A target changes its link only while none of its messages is in flight. Until then its later messages
// wait in its backlog, so that their order is kept.

import { Fence } from "../../../resp/connection/fence.ts";
import { refusalDelay } from "../../../resp/connection/reconnect/backoff.ts";
import type { RedisError, StreamerError } from "../../../resp/errors.ts";
import type { NodeName, Redirect, RouteChange, Router } from "../../cluster/router.ts";
import type { Waiting } from "../ids/verifier.ts";
import type { SendRecord } from "../messages/receipt.ts";
import { Backlog, type Carrier, type Target } from "../messages/target.ts";
import { Link } from "./link/link.ts";
import type { LinkOptions, NodeLink, TargetRoutes } from "./link/ports.ts";
import { Tick } from "./tick.ts";

/** Redirects in a row that are followed immediately. Each later one waits as long as a refused command does. */
const AT_ONCE = 16;

/** Collaborators of the routes. */
export interface RoutesOptions {
  readonly router: Router;
  readonly links: LinkOptions;
  /** All targets of the producer. */
  readonly targets: Iterable<Target<SendRecord>>;
}

/** The links of one producer, one per node, and its waiting targets. */
export class Routes implements TargetRoutes {
  /** At the end of each tick the messages of that tick are written. */
  readonly tick: Tick;
  readonly #options: RoutesOptions;
  readonly #router: Router;
  readonly #links = new Map<NodeName, Link>();
  readonly #fences = new Map<NodeName, Fence>();
  readonly #waiting = new Set<Target<SendRecord>>(); // targets with a closed backlog
  readonly #unwatch: () => void;
  #moving = new Set<Target<SendRecord>>(); // targets that change their link at the end of this tick
  #asked = false; // whether there was an ASK redirect
  #closed = false;

  constructor(options: RoutesOptions) {
    const { router } = options;
    const links = this.#links;
    this.#options = options;
    this.#router = router;
    this.tick = new Tick(router.clock, () => {
      for (const link of links.values()) link.pump();
    });
    this.#unwatch = router.onChange((change) => this.#changed(change));
    const primaries = router.primaries();
    if (primaries.length === 1) this.#linkTo(primaries[0]); // with several nodes the first message decides
  }

  /** Messages that were written and whose replies are outstanding. */
  get inFlight(): number {
    let inFlight = 0;
    for (const link of this.#links.values()) inFlight += link.inFlight;
    return inFlight;
  }

  /** Assigns a target to its link. */
  place(target: Target<SendRecord>): Carrier<SendRecord> {
    target.link = this.#linkTo(this.#router.nodeOf(target.slot));
    if (target.start?.started === false) this.#start(target);
    return target.link;
  }

  /** Records the node of a redirect. Returns whether the target moves there immediately. */
  redirect(target: Target<SendRecord>, refusal: RedisError): boolean {
    const { slot, link } = target;
    const redirect = link === undefined ? undefined : this.#router.redirected(slot, refusal, link.node);
    if (redirect === undefined) return false;
    target.next = redirect;
    return target.redirects < AT_ONCE;
  }

  /** Adds a message to its target's backlog, after a temporary refusal or a lost connection. Later messages wait, too. */
  wait(record: SendRecord, cause: unknown): void {
    const backlog = this.#close(record.target);
    backlog.isRefused = true;
    backlog.refuse(record, cause);
  }

  /** Holds a target until the verifier has found out about it, and about this message. It asks once no message is in flight. */
  hold(target: Target<SendRecord>, waiting?: Waiting): void {
    const backlog = this.#close(target);
    target.isHeld = true;
    if (waiting !== undefined) backlog.refuse(waiting.record, waiting.cause);
  }

  /** The verifier has found out about a target: its messages can be written. */
  resume(target: Target<SendRecord>): void {
    target.isHeld = false;
    if (target.start?.started === false) return this.#startAgain(target);
    if (target.next !== undefined || target.refusingSince !== undefined) this.answered(target);
    else this.#release(target);
  }

  /** A link is connected: the targets that wait for it are verified. */
  connected(link: NodeLink): void {
    for (const target of this.#waiting) if (target.isHeld && target.link === link) this.answered(target);
  }

  /** Asks for the end of a target's stream, which decides its first id. */
  #start(target: Target<SendRecord>): void {
    this.hold(target);
    this.#options.links.safeguard.ask(target);
  }

  /** The end of a target's stream could not be found out. Its messages were rejected. It is asked for again for later ones. */
  #startAgain(target: Target<SendRecord>): void {
    if (target.unsettled > 0) return this.#start(target);
    target.backlog?.timer?.stop();
    this.#waiting.delete(target);
    target.backlog =
      target.next =
      target.link =
      target.askedBy =
        undefined;
  }

  /** A target's message was stored. Returns the messages refused before it: these can no longer be stored in order. */
  recovered(target: Target<SendRecord>): ReturnType<Backlog<SendRecord>["overtaken"]> {
    target.refusingSince = undefined;
    target.isProbing = false;
    target.redirects = 0;
    if (target.next !== undefined && target.link?.node === this.#router.nodeOf(target.slot)) target.next = undefined;
    return target.backlog?.overtaken() ?? [];
  }

  /** Opens a target's backlog once none of its messages is in flight: immediately at another node, or after a pause here. */
  answered(target: Target<SendRecord>): void {
    const { backlog } = target;
    if (backlog === undefined) return;
    if (backlog.open && target.window !== undefined && !target.isProbing) return target.link?.probed(target);
    if (target.inFlight > 0) return;
    if (backlog.open) return target.link?.probed(target);
    if (target.isHeld && target.link?.isUp) this.#options.links.safeguard.ask(target);
    if (target.next !== undefined && target.redirects < AT_ONCE) {
      backlog.timer?.stop();
      backlog.timer = undefined;
      return this.#moveSoon(target);
    }
    if (backlog.timer !== undefined || target.isHeld) return;
    if (target.next === undefined && target.link?.isPaused) return this.#release(target); // the link waits for all
    const { clock, reconnect } = this.#router;
    const refusing = clock.now() - (target.refusingSince ?? clock.now());
    backlog.timer = clock.after(refusalDelay(reconnect, refusing, clock.random()), () => {
      backlog.timer = undefined;
      if (target.next !== undefined) this.#moveSoon(target);
      else this.#release(target);
    });
  }

  #release(target: Target<SendRecord>): void {
    if (target.isHeld) return;
    this.#waiting.delete(target);
    target.link?.release(target);
  }

  /** A link lost its connection. Its messages in flight wait for the reconnect, unless their slot has another owner now. */
  returned(link: NodeLink, records: readonly SendRecord[], cause: StreamerError): void {
    if (this.#closed) return;
    const again: SendRecord[] = [];
    for (const record of records) {
      const { target } = record;
      if (target.backlog === undefined) {
        const node = this.#router.nodeOf(target.slot);
        if (node !== link.node) this.#head(target, { node, asking: false });
      }
      if (target.start !== undefined) this.hold(target, { record, cause });
      else if (target.backlog === undefined) again.push(record);
      else this.wait(record, cause);
    }
    link.putBack(again);
    this.#forgetIdle(link);
    if (this.#asked) this.#sendBack(link);
    for (const target of this.#waiting) if (target.link === link) this.answered(target);
  }

  /** Idle targets start again at their next message, since their streams may have changed meanwhile. */
  #forgetIdle(link: NodeLink): void {
    for (const target of this.#options.targets) {
      if (target.start === undefined) return; // so it is for all of them
      if (target.link !== link || !target.isIdle) continue;
      target.start.stop();
      target.link = target.askedBy = undefined;
    }
  }

  /** A silent link: perhaps its node was replaced. If it is certain, its messages in flight are sent to the other nodes. */
  silent(link: NodeLink): void {
    if (this.#isLeft(link)) link.abandon();
    else this.#router.suspect(link.node);
  }

  fenceOf(node: NodeName): Fence {
    const fence = this.#fences.get(node) ?? new Fence();
    this.#fences.set(node, fence);
    return fence;
  }

  /** Closes all links. A second call has no effect. */
  close(): void {
    this.#closed = true;
    this.#unwatch();
    for (const link of this.#links.values()) link.close();
    for (const { backlog } of this.#waiting) backlog?.timer?.stop();
  }

  #linkTo(node: NodeName): Link {
    let link = this.#links.get(node);
    if (link === undefined) {
      link = new Link(node, this.#router.destination(node), this, this.#options.links);
      this.#links.set(node, link);
    }
    return link;
  }

  #close(target: Target<SendRecord>): Backlog<SendRecord> {
    const backlog = target.backlog ??= new Backlog<SendRecord>();
    backlog.open = false;
    this.#waiting.add(target);
    return backlog;
  }

  /** Slots moved to another node: so do their targets. */
  #changed({ slots, away }: RouteChange): void {
    const changed = slots === "all" ? undefined : new Set(slots);
    for (const target of this.#options.targets) {
      if (changed === undefined || changed.has(target.slot)) this.#reroute(target, away);
    }
    for (const link of this.#links.values()) if (link.isSilent && this.#isLeft(link)) link.abandon();
    this.#closeUnused();
  }

  /** Whether all targets with messages in flight on a link go to other nodes. */
  #isLeft(link: NodeLink): boolean {
    for (const target of this.#options.targets) {
      if (target.link !== link || target.inFlight === 0) continue;
      if (target.next === undefined || target.next.node === link.node) return false;
    }
    return true;
  }

  #reroute(target: Target<SendRecord>, away: NodeName | undefined): void {
    const { link, next } = target;
    if (link === undefined) return;
    const node = this.#router.nodeOf(target.slot);
    if (node === target.askedBy && link.node !== away) return; // its slot is still being moved
    if (node === link.node) {
      target.askedBy = undefined;
      if (next === undefined || next.asking) return;
    }
    this.#head(target, { node, asking: false });
  }

  /** A node that imports slots was lost: the owners of the slots redirect again. */
  #sendBack(link: NodeLink): void {
    for (const target of this.#options.targets) {
      if (target.link !== link || target.askedBy === undefined) continue;
      this.#head(target, { node: this.#router.nodeOf(target.slot), asking: false });
    }
  }

  #head(target: Target<SendRecord>, next: Redirect): void {
    if (target.isIdle) {
      target.link = target.askedBy = undefined; // assigned again at its next message
      return;
    }
    target.next = next;
    this.#close(target).isRefused = true;
    this.answered(target);
  }

  /** Moves a target at the end of this tick, together with others: the queued messages are then sorted only once. */
  #moveSoon(target: Target<SendRecord>): void {
    if (this.#moving.size === 0) queueMicrotask(() => this.#move());
    this.#moving.add(target);
  }

  #move(): void {
    const moving = this.#moving;
    this.#moving = new Set();
    if (this.#closed) return;
    const left = new Set<Carrier<SendRecord>>();
    for (const { link } of moving) if (link !== undefined) left.add(link);
    for (const link of left) link.withhold();
    for (const target of moving) {
      const { link, next } = target;
      if (next === undefined || link === undefined) {
        this.answered(target);
        continue;
      }
      target.next = undefined;
      if (target.refusingSince !== undefined) target.redirects++;
      if (next.asking) this.#asked = true;
      target.askedBy = next.asking ? link.node : undefined;
      if (!target.isHeld) this.#waiting.delete(target); // a held one waits for its new link to be connected
      this.#linkTo(next.node).adopt(target, link.surrender(target));
    }
    this.#closeUnused();
  }

  /** Closes the links of nodes that no longer own slots, once they have no target. */
  #closeUnused(): void {
    const primaries = new Set(this.#router.primaries());
    const unused = [...this.#links.values()].filter(({ node }) => !primaries.has(node));
    if (unused.length === 0) return;
    const used = new Set<Carrier<SendRecord> | undefined>();
    for (const { link } of this.#options.targets) used.add(link);
    for (const link of unused) {
      if (used.has(link)) continue;
      this.#links.delete(link.node);
      link.close();
      if (!this.#fences.get(link.node)?.needed) this.#fences.delete(link.node);
    }
  }
}
