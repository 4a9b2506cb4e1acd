// Package compose runs docker-compose.yml on a real Docker engine. The engine, its containers and the tests live in
// network, mount and process namespaces of their own: no rule, bridge, port or process of the machine is touched, and
// everything ends with the test binary.
//
//	EPITAPH_COMPOSE=1     the nodes, and released brokers in containers beside them: what CI runs (make compose-test)
//	EPITAPH_COMPOSE=long  also what takes those longer, every start line of others for the image in RocketMQ's place, memory, the profiles,
//	                      and a port that is taken (make night-compose)
//
// It needs Linux, root, unshare, nsenter, iptables, ip, dockerd, docker, docker-compose; Java and Maven for the brokers, prometheus for the
// observe profile. What is missing is skipped, saying so.
//
// No image is pulled. What stands in for one, under its name:
//
//   - golang:1.26: a shell and a "go" that hands out the binary which the test built outside with the Dockerfile's flags.
//     Every other step of the Dockerfile is run as it is, but that which writes the SBOM: its file is a stand-in, too.
//   - debian:bookworm-slim: this machine's static busybox, and an "apt-get" that does nothing.
//   - apache/rocketmq:5.5.0: this machine's JRE and the jars of the release from Maven, laid out like the official
//     image, with scripts of the same names that start Java as a child of a shell, as the official ones do. A broker 4.9.7 runs in
//     it with its own jars.
//   - prom/prometheus: this machine's prometheus with the flags of the official image.
//
// Grafana is not packaged for this machine: its board is checked against the metric list (test/observe), and not run.
package compose
