/**
 * Kafka-like streaming on Redis Streams, for Deno, Bun and Node: pipelined producers, prefetching consumers, consumer groups.
 *
 * Start with {@linkcode connect}. Everything else comes from the {@linkcode RedisStreamer} that it returns:
 *
 * | To | use | options |
 * | --- | --- | --- |
 * | connect to a server | {@linkcode connect}, {@linkcode StreamUrl} | {@linkcode ConnectOptions} |
 * | send messages to one stream | `createProducer` → {@linkcode Producer} | {@linkcode ProducerOptions}, {@linkcode SendOptions} |
 * | send messages to many streams | `createGenericProducer` → {@linkcode GenericProducer} | {@linkcode ProducerOptions} |
 * | read every message | `createConsumer` → {@linkcode Consumer} | {@linkcode RealTimeOptions} |
 * | read in a consumer group | `createConsumer` → {@linkcode GroupConsumer}, {@linkcode AckConsumer}, {@linkcode CommitConsumer} | {@linkcode GroupOptions} |
 * | read, handle and write at the same time | {@linkcode processMessages}, also exported as `process` | {@linkcode ProcessOptions} |
 * | send and receive typed values | {@linkcode jsonCodec}, {@linkcode fieldsCodec}, {@linkcode Codec} | {@linkcode DecodingOptions} |
 * | divide a stream into shards | {@linkcode keyHashSharder}, {@linkcode roundRobinSharder}, {@linkcode randomSharder}, {@linkcode Sharder} | |
 * | inspect, trim and delete streams and groups | `createManager` → {@linkcode Manager} | |
 * | observe connections, claims and dead letters | {@linkcode StreamerEventMap} | |
 * | handle errors | {@linkcode StreamerError}, {@linkcode RedisError}, {@linkcode ClientErrorCode} | |
 *
 * Received messages are {@linkcode Message}s, and sent messages resolve to {@linkcode Receipt}s.
 *
 * Other entry points: `@sea/streamer-redis/file` reads and writes `.ss` files, `@sea/streamer-redis/resp` has the RESP3 encoder and
 * decoder without sockets, and `@sea/streamer-redis/cli` is the command line.
 *
 * @example Send and receive
 * ```ts
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
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
 * @example Share the messages of a stream among workers
 * ```ts
 * import { connect, processMessages } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * const producer = await streamer.createProducer("jobs");
 * for (let n = 1; n <= 3; n++) producer.send(`job ${n}`);
 *
 * const consumer = await streamer.createConsumer("jobs", {
 *   mode: "load-balanced",
 *   group: "workers",
 *   autoStreamReset: "earliest",
 *   autoCommit: "disabled",
 * });
 * const stop = new AbortController();
 * let count = 0;
 * await processMessages(consumer, (message) => {
 *   console.log(message.text());
 *   if (++count === 3) stop.abort();
 * }, { signal: stop.signal });
 * ```
 *
 * @module
 */

export { connect } from "./streamer/connect.ts";
export type { ConsumerOptions } from "./streamer/consumer_makers.ts";
export { RedisStreamer, type StreamerJson, type StreamerStats } from "./streamer/streamer.ts";
export type { NodeStats } from "./streamer/cluster/router.ts";
export type { ConnectOptions, SentinelOptions } from "./streamer/connect_options.ts";
export type {
  StreamerEventDetails,
  StreamerEventListener,
  StreamerEventMap,
  StreamerEventTarget,
  StreamerGroupEntries,
} from "./streamer/events.ts";
export { type ParsedStreamUrl, StreamUrl } from "./streamer/model/url.ts";
export type { MessageId, SeqPos, TimestampFormat } from "./streamer/model/id.ts";
export type { Codec, EncodedMessage, HeadersInput, OnDecodeError } from "./streamer/model/codec.ts";
export { fieldsCodec } from "./streamer/model/codecs/fields_codec.ts";
export { type JsonCodec, jsonCodec, type JsonCodecOptions } from "./streamer/model/codecs/json_codec.ts";
export type { StandardIssue, StandardResult, StandardSchema } from "./streamer/model/codecs/standard_schema.ts";
export type { StreamShard } from "./streamer/model/key.ts";
export {
  type CodecMessage,
  Message,
  type MessageIdentifier,
  type MessageIdentifierJson,
  type MessageJson,
  TypedMessage,
} from "./streamer/model/message.ts";
export { MessageHeaders } from "./streamer/model/message_headers.ts";
export type { PayloadJson } from "./streamer/model/printing.ts";
export type { Delivery, Payload, ProducerOptions, SendOptions } from "./streamer/producer/options.ts";
export type { Sharder, SharderFactory } from "./streamer/producer/sharding/sharder.ts";
export { keyHashSharder, randomSharder, roundRobinSharder } from "./streamer/producer/sharding/sharders.ts";
export type { EndOptions, GenericProducer, Producer, TrimOptions } from "./streamer/producer/producer.ts";
export type { ProducerJson, ProducerStats } from "./streamer/producer/stats.ts";
export { Receipt, type ReceiptJson, type SendOutcome, type SendReceipt } from "./streamer/producer/messages/receipt.ts";
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
  OnGroupLost,
  Resumable,
  RollingCommit,
  RollingOptions,
} from "./streamer/consumer/group_options.ts";
export type {
  AckConsumer,
  BatchesOptions,
  CommitConsumer,
  Consumer,
  ConsumerEndOptions,
  ConsumerJson,
  ConsumerStats,
  GroupConsumer,
  MessagesOptions,
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
export { processMessages, processMessages as process } from "./streamer/process/process.ts";
export { exponentialDelay, type ExponentialDelayOptions, type RetryDelay } from "./streamer/process/retry_delay.ts";
export type { ProcessableConsumer } from "./streamer/process/consumer_port.ts";
export type {
  OneOutput,
  Output,
  OutputMessage,
  ProcessContext,
  ProcessCounts,
  ProcessDelivery,
  ProcessHandler,
  ProcessOptions,
  ProcessOrder,
  ProcessOutlet,
} from "./streamer/process/options.ts";
export type { ReconnectOptions } from "./resp/connection/reconnect/backoff.ts";
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
