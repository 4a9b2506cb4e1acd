// Package mqadmin runs the released mqadmin 5.5.0 against a world with the Java NameServer and against one with ours, and
// compares what the commands print and what they and the NameServer say to each other.
//
//	EPITAPH_INTEROP=1   run at all: it needs Java (a JDK: javac) and Maven
//
// The two worlds are alike: a NameServer, a real broker 5.5.0, a pair of simulated brokers, and a relay in front of the
// NameServer that records all frames. All commands run in one JVM (java/Drive.java), each first in the one world and
// then in the other.
package mqadmin
