// Package output writes logs and screens apart from the work: whoever writes a line never waits for whoever reads it.
package output
