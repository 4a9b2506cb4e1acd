// Package digest compares what nodes serve, without ever sending a route: each node has one item for every broker
// address it serves (identity, data version, number of topics, hash), and the nodes tell each other sums of the items'
// hashes. It is a pure state machine: packets, time and randomness are handed in, packets come out. Nothing of it
// enters a route table; it only says where nodes differ.
//
// # Protocol
//
// An item's hash is of its key and its value. Items fall into 64 buckets by the hash of their key; a bucket's sum is the
// sum of the hashes in it, and the root is the sum of all buckets.
//
//   - SUMMARY: root, number of items, digests of the KV store and the configuration, age, whether the node is ready. Sent
//     100 ms after the root changed (with more members later) and every second, to at most 32 members; above 33 members to 16 random ones.
//   - COMPARE: sent to a member whose root has differed for some time: the subject (brokers, or on demand the topics of
//     one broker, the KV keys, the options), the buckets that are asked about and the asker's sums of them.
//   - ITEMS: the answer, in parts of at most 1,100 bytes: the items of those buckets whose sums differ.
//
// Where the roots agree nothing more is said. Where they differ each pair of roots is compared once: a divergence that
// stays costs no more than agreement does. Each COMPARE has a fresh nonce and is repeated when its answer is not there;
// an answer counts once. A member that sends no summaries by packet gets and sends them by stream.
package digest
