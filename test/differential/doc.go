// Package differential sends the same seeded requests to the released Java NameServer 5.5.0 and to ours and compares
// the answers after each step: byte for byte, except where Java's own order is that of a hash map (then the bytes are
// the same in another order, and equal when decoded and sorted) and for remarks that name Java exceptions (then the
// code alone).
//
//	EPITAPH_INTEROP=1       run at all: it needs Java and Maven
//	DIFFERENTIAL_STEPS      steps in all, 10,000 unless given
//	DIFFERENTIAL_SEED       the first sequence's seed, 1 unless given
//
// Headers and bodies are also written as fastjson2 takes them though nobody writes them so (twist.go); what is stranger still
// stands in the golden files of package remoting, with what we make of it and why.
//
// Differences that are wanted (docs/spec/nameserver.md#deviations) are in the table `wanted` of compare.go, each with its rule;
// a sequence ends where one of them has parted the tables for good. A difference that 40,000 steps never meet fails too.
package differential
