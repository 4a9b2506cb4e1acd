// Package cli is the command line of epitaph: the only place that knows flags, environment variables, signals and exit
// statuses. Each command has a file of its own; flags.go holds what several share.
package cli
