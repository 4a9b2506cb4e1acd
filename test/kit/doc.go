// Package kit is what the tests share: the program built once and run as a process, other processes, waiting for a
// condition, free ports, logs, golden files, certificates, a client that writes the wire by hand, a relay that records
// what passes, and a broker. It imports nothing of ours but the bodies of brokers and the version numbers, so that tests inside a package can use
// it too; package inproc below it runs a node inside the test, package test/java released Java software.
//
// What a run shares comes by environment, and each suite alone works without:
//
//	EPITAPH_BIN         the built program, as a path from the repository's root (make build: bin/epitaph); without it
//	                    Binary lets go build decide whether the one in the cache is this tree's
//	EPITAPH_TEST_CACHE  where jars, compiled Java clients, the built program and the locks of port blocks are kept (else
//	                    epitaph-test in the user's cache directory); lock files let packages that run side by side wait
//	EPITAPH_ACCEPT=1    golden files are written, not compared
package kit
