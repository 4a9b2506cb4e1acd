// Package vanish is the rule about hosts that vanish.
package vanish
