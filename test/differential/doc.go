// Package differential sends the same seeded requests to the released Java NameServer 5.5.0 and to ours and compares
// the answers after each step: byte for byte, except where Java's own order is that of a hash map (then the bytes are
// the same in another order, and equal when decoded and sorted) and for remarks that name Java exceptions (then the
// code alone).
//
//	EPITAPH_INTEROP=1       run at all: it needs Java and Maven
//	DIFFERENTIAL_STEPS      steps in all, 10,000 unless given
//	DIFFERENTIAL_SEED       the first sequence's seed, 1 unless given
//
// Differences that are wanted (Appendix B of the contract) are in the table `wanted` of compare.go, each with its row;
// sequences that would do nothing but show them again are not generated (see generate.go).
package differential
