// Package kvconfig keeps the NameServer's KV configuration: namespace -> key -> value, in memory and in one JSON file
// that is replaced whole after every change.
//
// RocketMQ itself uses one namespace, OrderTopicConfig. The file, the load rules and the answers follow KVConfigManager
// of Apache RocketMQ 5.5.0, so an existing kvConfig.json is taken over. Two things are better than there: the file is
// replaced atomically, and a change that cannot be persisted is refused and leaves everything as it was.
package kvconfig
