// Why tests are left out on a cluster: the texts for the option `oneServer` of `test`.

/** A library that is led through a proxy to one node learns the addresses of the others, and goes there directly. */
export const PROXIED = "a proxy stands before one server";
/** It would be the same test again. */
export const OWN = "the server is the test's own";
/** A cluster has database 0 alone. */
export const DATABASES = "it needs numbered databases";
/** On a cluster each node has connections, and each slot its own commands. */
export const COUNTED = "it counts the connections or commands of one server";
/** In a transaction or a script. */
export const TOGETHER = "it changes several keys in one step";
/** On a cluster, shards of several slots of a node are watched. */
export const BLOCKED = "it needs one blocked read for several shards";
