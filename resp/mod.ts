/**
 * Encoder and incremental decoder for RESP3 and RESP2, the protocols of Redis, without sockets.
 *
 * {@linkcode RespEncoder} and {@linkcode encodeCommand} encode commands. {@linkcode RespDecoder} decodes replies from pieces of any
 * size, within limits for hostile input.
 *
 * @example Encode a command, decode its reply
 * ```ts
 * import { encodeCommand, RespDecoder } from "@sea/streamer-redis/resp";
 *
 * const request = encodeCommand(["XLEN", "orders"]); // to be written to a socket
 * const decoder = new RespDecoder();
 * decoder.feed(new TextEncoder().encode(":3\r\n")); // what the socket answered
 * console.log(request.length, decoder.read()?.value); // 26 3
 * ```
 *
 * @module
 */

export { encodeCommand, type RespArgument, RespEncoder, type RespEncoderOptions } from "./encoder.ts";
export { RespDecoder, type RespDecoderOptions, type RespReply } from "./decoder.ts";
export { DEFAULT_LIMITS, type ReplyLimits, type RespLimits } from "./limits.ts";
export { RespErrorReply, RespMap, RespSet, type RespValue, RespVerbatim } from "./value.ts";
export { RespFrame, type RespReplyBytes } from "./decoding/frame.ts";
export {
  type ClientErrorCode,
  type FailedOutcome,
  RedisError,
  type RedisErrorOptions,
  StreamerError,
  type StreamerErrorOptions,
} from "./errors.ts";
