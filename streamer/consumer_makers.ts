// Creates consumers from their options: checks the options at once, and returns the function that creates the consumer.

import type { NodeName, Router } from "./cluster/router.ts";
import type { FindShards } from "./cluster/shard_walks.ts";
import type { ConnectSettings } from "./connect_options.ts";
import { createGroupConsumer, type GroupConsumerCore } from "./consumer/group_consumer.ts";
import { type GroupOptions, groupSettings } from "./consumer/group_options.ts";
import { identityOf } from "./consumer/group/identity.ts";
import { type DecodingOptions, type RealTimeOptions, realTimeSettings } from "./consumer/options.ts";
import { createRealTimeConsumer, type RealTimeConsumer } from "./consumer/real_time.ts";
import { impatient, type ServerAccess } from "./consumer/server/server.ts";
import type { StreamerEventDetails } from "./events.ts";
import { fieldBytes } from "./model/message_headers.ts";
import { OptionError } from "./model/option_error.ts";
import { invalidOption } from "./model/options.ts";

/**
 * Options of any consumer.
 *
 * @category Consuming
 */
export type ConsumerOptions = (RealTimeOptions | GroupOptions) & Partial<DecodingOptions<unknown>>;

/** Any consumer that a streamer has created. */
export type AnyConsumer = RealTimeConsumer | GroupConsumerCore;

/** Creates a consumer of these streams. */
export type ConsumerMaker = (keys: readonly string[], signal: AbortSignal) => Promise<AnyConsumer>;

/** What consumers need from the streamer that creates them. */
export interface ConsumerMakerContext {
  readonly router: Router;
  readonly settings: ConnectSettings;
  readonly findShards: FindShards;
  /** A function that emits this event. */
  readonly emitter: <Name extends keyof StreamerEventDetails>(
    name: Name,
  ) => (detail: StreamerEventDetails[Name]) => void;
  /** Nodes whose `tracking-unavailable` event was emitted. */
  readonly untracked: Set<NodeName>;
  readonly onEnded: (consumer: AnyConsumer) => void;
  /** A consumer has failed. It can still commit acknowledgements. */
  readonly onFailed: (consumer: GroupConsumerCore) => void;
}

/** Checks the options. Throws `INVALID_OPTION`. */
export function consumerMaker(options: ConsumerOptions, context: ConsumerMakerContext): ConsumerMaker {
  if (typeof options !== "object" || options === null) {
    throw invalidOption("options", options, "an object with a mode");
  }
  if (options.mode === "real-time") return realTimeMaker(options, context);
  if (options.mode === "resumable" || options.mode === "load-balanced") return groupMaker(options, context);
  const { mode }: { readonly mode?: unknown } = options;
  throw invalidOption("mode", mode, `"real-time" or "resumable" or "load-balanced"`);
}

function realTimeMaker(
  options: RealTimeOptions & Partial<DecodingOptions<unknown>>,
  context: ConsumerMakerContext,
): ConsumerMaker {
  const { emitter } = context;
  const own = {
    ...shared(context),
    settings: realTimeSettings(options),
    onTrackingUnavailable: trackingUnavailable(context),
    onReset: emitter("stream-reset"),
    onShards: emitter("shards"),
    onDeadLetter: emitter("dead-letter"),
  };
  return (keys, signal) => createRealTimeConsumer(own, keys, signal);
}

function groupMaker(
  options: GroupOptions & Partial<DecodingOptions<unknown>>,
  context: ConsumerMakerContext,
): ConsumerMaker {
  const { emitter, onFailed } = context;
  const settings = groupSettings(options);
  const events = {
    claimed: emitter("claimed"),
    lost: emitter("lost"),
    released: emitter("released"),
    gap: emitter("gap"),
    groupRecreated: emitter("group-recreated"),
    streamReset: emitter("stream-reset"),
    deadLetter: emitter("dead-letter"),
    shards: emitter("shards"),
    fenceUnavailable: emitter("fence-unavailable"),
    trackingUnavailable: trackingUnavailable(context),
  };
  const own = { ...shared(context), settings, timeout: context.settings.timeout, events, onFailed };
  return async (keys, signal) => {
    const member = await identityOf(settings).catch((error) => {
      throw OptionError.during("create the consumer", error);
    });
    return await createGroupConsumer({ ...own, member }, keys, signal);
  };
}

/** Emits `tracking-unavailable` once for each node. */
function trackingUnavailable({ untracked, emitter }: ConsumerMakerContext) {
  const emit = emitter("tracking-unavailable");
  return (detail: StreamerEventDetails["tracking-unavailable"]) => {
    if (untracked.has(detail.node)) return;
    untracked.add(detail.node);
    emit(detail);
  };
}

/** What both kinds of consumer need. */
function shared({ router, settings, findShards, onEnded }: ConsumerMakerContext) {
  const { timestampFormat, messageField, timeout } = settings;
  const { clock, reconnect, waits } = router;
  const server: ServerAccess = {
    clock,
    reconnect,
    waits,
    barred: new Set<string>(),
    run: (command, options) => router.run(command, options),
    followsRedirects: router.followsRedirects,
    slotOf: (redisKey) => router.slotOf(redisKey),
    connection: (node, options) => router.connection(node, options),
  };
  const creating = impatient(server, timeout);
  const field = fieldBytes(messageField);
  return { router, uri: settings.uri, server, creating, findShards, timestampFormat, field, onEnded };
}
