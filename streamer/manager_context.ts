// Creates the context of managers from a streamer's router.

import type { NodeName, Router } from "./cluster/router.ts";
import { runAtOwner } from "./cluster/scanning/run_at_owner.ts";
import { ScanRounds } from "./cluster/scanning/scan_rounds.ts";
import type { ConnectSettings } from "./connect_options.ts";
import type { ManagerContext, Primary } from "./manager/shard_keys.ts";
import { fieldBytes } from "./model/message_headers.ts";
import type { PatientAccess } from "./patience.ts";

/** The context of all managers of one streamer. */
export function managerContext(router: Router, settings: ConnectSettings, access: PatientAccess): ManagerContext {
  const { timestampFormat, messageField, limits } = settings;
  const primary = (name: NodeName): Primary => ({
    name,
    run: access.patiently((command, options) => runAtOwner(router, name, command, options)),
  });
  return {
    timestampFormat,
    field: fieldBytes(messageField),
    replyLimit: limits.reply,
    run: access.patiently((command, options) => router.run(command, options)),
    read: access.patiently((command, options) => router.run(command, { ...options, large: true })),
    alone: access.alone,
    primaryOf: (redisKey) => primary(router.nodeOf(router.slotOf(redisKey))),
    serverOf: (redisKey) => router.serverOf(router.nodeOf(router.slotOf(redisKey))),
    primaries: () => router.primaries().map(primary),
    primary,
    rounds: (signal) => new ScanRounds(router, { signal }),
    findShards: access.findShards,
  };
}
