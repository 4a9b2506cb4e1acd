// Package bench measures NameServers over the wire, like any client: how fast they answer (load), how that
// compares with the machine's limit and with other implementations (compare), and how long several of them disagree
// about a broker that left (convergence).
//
// What is measured and what would make a number a lie is written down in docs/performance.md and docs/convergence.md,
// which these commands make. The parts:
//
//	load_config.go  what one load run is asked to do
//	profile.go      which brokers and topics exist, and the register bodies that announce them
//	frames.go       requests built once and patched in place
//	conn.go         one connection: what is in flight, what came back, was it right
//	closed.go       closed loop: a fixed number in flight; open.go: a given rate, timed from the intended start
//	session.go      registered brokers kept alive around any number of measured cells
//	process_*.go    CPU and memory of a process by its id
//	ceiling.go      the limit of this machine with this generator; identity.go: the certificate of what is measured over TLS
//	cpu_profile.go  where the CPU of ours goes, by its own profiles
//	compare*.go     several servers, interleaved, each round afresh
//	fleet*.go       thousands of polling clients: fleet_schedule.go plans, fleet_crowd.go drives their connections,
//	                fleet_queues.go says what is due, fleet_scenes.go what happens, fleet_report.go the page
//	converge*.go    nodes of one process (or elsewhere), brokers that leave, clients that watch
//	vanish*.go      the same nodes, and hosts that vanish: addresses of another network namespace that are taken away
//	story*.go       the same as a story in the terminal
//	window*.go      real clients and brokers while one of these goes: window_cluster.go runs them, window_tally.go adds up what
//	                they say, window_report.go makes the page
//	table.go, plot.go, progress.go, latency.go: shared with whatever else reports here
package bench
