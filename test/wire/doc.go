// Package wire holds the black-box tests of the name server's wire behaviour, one test per row of docs/compat.md.
//
// Every test talks to an address with bytes built here by hand, so that a mistake of package remoting cannot cancel
// itself out. The target is the epitaph binary; EPITAPH_WIRE_TARGET=java runs the same tests against the released
// Java name server 5.5.0, where every row must pass, and every wanted deviation must be seen to be one.
package wire
