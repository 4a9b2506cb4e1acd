// Package config is what a node must know before it starts: the original's options and system properties, our own
// settings, where each comes from, what is wrong with it, and which of them change while the node runs (code 318).
package config
