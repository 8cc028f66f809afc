/**
 * Kafka-like streaming on Redis Streams, for Deno, Bun and Node: pipelined producers, and consumers that read ahead.
 *
 * @example Send and receive
 * ```ts no-eval
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect("redis://localhost:6379");
 * const consumer = await streamer.createConsumer("orders", { mode: "real-time" });
 * const producer = await streamer.createProducer("orders");
 * producer.send("paid"); // not awaited: pipelined
 * const { id } = await producer.send(new Uint8Array([1, 2, 3]), { headers: { kind: "binary" } });
 * for await (const message of consumer) {
 *   console.log(message.id, message.headers.get("kind"), message.bytes());
 *   if (message.id === id) break;
 * }
 * ```
 *
 * @module
 */

export { connect, type ConsumerOptions, RedisStreamer, type StreamerStats } from "./streamer/streamer.ts";
export type { ConnectOptions } from "./streamer/connect_options.ts";
export type {
  StreamerEventDetails,
  StreamerEventListener,
  StreamerEventMap,
  StreamerEventTarget,
  StreamerGroupEntries,
} from "./streamer/events.ts";
export { type ParsedStreamUrl, StreamUrl } from "./streamer/model/url.ts";
export type { MessageId, SeqPos, TimestampFormat } from "./streamer/model/id.ts";
export {
  type Codec,
  jsonCodec,
  type OnDecodeError,
  type StandardIssue,
  type StandardResult,
  type StandardSchema,
} from "./streamer/model/codec.ts";
export type { StreamShard } from "./streamer/model/key.ts";
export { Message, MessageHeaders, type MessageIdentifier, TypedMessage } from "./streamer/model/message.ts";
export type { Delivery, Payload, ProducerOptions, SendOptions } from "./streamer/producer/options.ts";
export type { Sharder, SharderFactory } from "./streamer/producer/sharder.ts";
export { keyHashSharder, randomSharder, roundRobinSharder } from "./streamer/producer/sharders.ts";
export type { EndOptions, GenericProducer, Producer, TrimOptions } from "./streamer/producer/producer.ts";
export type { ProducerStats } from "./streamer/producer/engine.ts";
export { Receipt, type SendOutcome, type SendReceipt } from "./streamer/producer/receipt.ts";
export type {
  AutoStreamReset,
  DecodingOptions,
  OnStreamReset,
  ReadingOptions,
  RealTimeDecodingOptions,
  RealTimeOptions,
} from "./streamer/consumer/options.ts";
export type {
  DeadLetterOptions,
  DelayedCommit,
  DelayedOptions,
  DisabledCommit,
  DisabledOptions,
  GroupOptions,
  GroupReadingOptions,
  ImmediateCommit,
  ImmediateOptions,
  LoadBalanced,
  Resumable,
  RollingCommit,
  RollingOptions,
} from "./streamer/consumer/group_options.ts";
export type { OnGroupLost } from "./streamer/consumer/group_policy.ts";
export type {
  AckConsumer,
  CommitConsumer,
  Consumer,
  ConsumerStats,
  GroupConsumer,
  MoveOptions,
  NackOptions,
  WaitOptions,
} from "./streamer/consumer/consumer.ts";
export { Manager } from "./streamer/manager/manager.ts";
export type {
  CreateGroupOptions,
  DeleteConsumerOptions,
  ManagerTrimOptions,
  RangeAllOptions,
  RangeOptions,
  ScannedStreams,
  ScanStreamsOptions,
  ShardChoice,
  SignalOptions,
  StreamConsumerInfo,
  StreamGroupInfo,
  StreamInfo,
  StreamsOptions,
} from "./streamer/manager/options.ts";
export type { RangeBound, RangeStart } from "./streamer/model/span.ts";
export { processMessages as process } from "./streamer/process.ts";
export type {
  OneOutput,
  Output,
  OutputMessage,
  ProcessableConsumer,
  ProcessContext,
  ProcessCounts,
  ProcessHandler,
  ProcessOptions,
  ProcessOrder,
  ProcessOutlet,
} from "./streamer/process_options.ts";
export type { ReconnectOptions } from "./resp/connection/backoff.ts";
export type { TlsOptions } from "./resp/transport/transport.ts";
export type { RespLimits } from "./resp/limits.ts";
export {
  type ClientErrorCode,
  type FailedOutcome,
  RedisError,
  type RedisErrorOptions,
  StreamerError,
  type StreamerErrorOptions,
} from "./resp/errors.ts";
