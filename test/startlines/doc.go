// Package startlines tries start lines of RocketMQ's NameServer, as they are found in the wild, with epitaph in the
// original's place.
package startlines
