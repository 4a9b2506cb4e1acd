package bench

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
)

// The servers that are compared, in the order of the tables.
const (
	Ours      = "epitaph"
	Ceiling   = "ceiling"
	JavaBig   = "java-4g"
	JavaSmall = "java-512m"
	Rust      = "rust"

	OursTLS    = "epitaph-tls"
	CeilingTLS = "ceiling-tls"
)

// RustProgram is the NameServer that `cargo install rocketmq-namesrv --version 1.0.0 --locked` installs.
const RustProgram = "rocketmq-namesrv-rust"

// Peers is where the servers are that are compared.
type Peers struct {
	Ours   []string // command line of our server; {addr} and {dir} are replaced
	JavaCP string   // class path of the Java NameServer; "": named as missing
	Rust   string   // program of the Rust NameServer; "": RustProgram on the PATH
}

// server is one implementation that can be started afresh.
type server struct {
	key, title string
	cmd        command
	missing    error // why it cannot be measured on this machine
	fixed      bool  // the ceiling
	tls        bool  // measured over TLS, and by that alone
}

// findServers lists all servers; those that this machine lacks say why. dir keeps the ceiling's program, which answers
// with a route of p.
func findServers(ctx context.Context, peers Peers, p Profile, dir string) []server {
	return []server{
		findCeiling(ctx, p, dir),
		findJava(JavaBig, "Java 5.5.0, 4 GB as shipped", peers.JavaCP, "-Xms4g", "-Xmx4g"),
		findJava(JavaSmall, "Java 5.5.0, 512 MB", peers.JavaCP, "-Xms512m", "-Xmx512m"),
		findRust(peers.Rust),
		{key: Ours, title: "epitaph", cmd: command{argv: peers.Ours}},
	}
}

// findEncrypted lists what is measured over TLS, all with one certificate.
func findEncrypted(ctx context.Context, peers Peers, p Profile, dir string) ([]server, error) {
	id, err := newIdentity()
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	ours := append(slices.Clone(peers.Ours), "--set", "tls.server.mode=enforcing", "--set", "tls.test.mode.enable=false",
		"--set", "tls.server.certPath={dir}/cert", "--set", "tls.server.keyPath={dir}/key")
	ceiling := server{key: CeilingTLS, title: "ceiling (OpenSSL, fixed answer), TLS 1.3", fixed: true, tls: true}
	program, err := buildCeilingTLS(ctx, dir)
	if err == nil {
		ceiling.cmd, err = ceilingCommand(program, p.routeAnswer())
		ceiling.cmd.argv = append(ceiling.cmd.argv, "{dir}/cert", "{dir}/key")
	}
	ceiling.cmd, ceiling.missing = id.present(ceiling.cmd), err
	return []server{ceiling, {key: OursTLS, title: "epitaph, TLS 1.3", cmd: id.present(command{argv: ours}), tls: true}}, nil
}

func findCeiling(ctx context.Context, p Profile, dir string) server {
	s := server{key: Ceiling, title: "ceiling (C, fixed answer)", fixed: true}
	program, err := buildCeiling(ctx, dir)
	if err != nil {
		s.missing = err
		return s
	}
	s.cmd, s.missing = ceilingCommand(program, p.routeAnswer())
	return s
}

// findJava starts the NameServer with the flags of its own script (runserver.sh of 5.5.0 on Java 9 and later),
// but for the heap size and without the log of its garbage collector.
func findJava(key, title, classPath string, heap ...string) server {
	s := server{key: key, title: title}
	java, err := exec.LookPath("java")
	switch {
	case err != nil:
		s.missing = errors.New("java is not on the PATH; install a JDK 17")
	case classPath == "":
		s.missing = errors.New("no class path of org.apache.rocketmq:rocketmq-namesrv:5.5.0; `make bench-compare`, `bench-fleet` and `bench-clients` fetch it")
	}
	argv := append([]string{java, "-server"}, heap...)
	s.cmd.argv = append(argv,
		"-XX:MetaspaceSize=128m", "-XX:MaxMetaspaceSize=320m", "-XX:+UseG1GC", "-XX:G1HeapRegionSize=16m",
		"-XX:G1ReservePercent=25", "-XX:InitiatingHeapOccupancyPercent=30", "-XX:SoftRefLRUPolicyMSPerMB=0",
		"-XX:-OmitStackTraceInFastThrow", "-XX:-UseLargePages", "-Duser.home={dir}",
		"-cp", classPath, "org.apache.rocketmq.namesrv.NamesrvStartup", "-c", "{dir}/namesrv.conf")
	s.cmd.env = []string{"ROCKETMQ_HOME={dir}"}
	s.cmd.files = map[string]string{
		"namesrv.conf": "listenPort={port}\nbindAddress={host}\nkvConfigPath={dir}/kvConfig.json\n",
	}
	return s
}

func findRust(program string) server {
	s := server{key: Rust, title: "Rust 1.0.0"}
	if program == "" {
		program = RustProgram
	}
	path, err := exec.LookPath(program)
	if err != nil {
		s.missing = fmt.Errorf("%s is not there; cargo install rocketmq-namesrv --version 1.0.0 --locked", program)
		return s
	}
	s.cmd.argv = []string{path, "--rocketmqHome", "{dir}", "--listenPort", "{port}", "--bindAddress", "127.0.0.1",
		"--kvConfigPath", "{dir}/kvConfig.json"}
	return s
}
