package world

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting"
)

// Kind is what a process is, as far as tombstones care.
type Kind int

// Kinds of processes.
const (
	V5        Kind = iota // Java 5.x: unregisters first, before it gives up its port and its store lock
	V4                    // Java 4.x: unregisters near the end, when its successor may already run
	Rust                  // says version 5 but closes its servers first
	Container             // a BrokerContainer: registers and unregisters inner brokers as it likes
	Proxied               // a 5.x broker behind a front end that sends a PROXY header
	V5Keeps               // residual: 5.x with clientCloseSocketIfTimeout=false
	kinds
)

var kindNames = [kinds]string{"v5", "v4", "rust", "container", "proxied", "v5keeps"}

// Version is the ordinal that the process says.
func (k Kind) Version() int32 {
	if k == V4 {
		return mq.V4_9_4
	}
	return mq.V5_5_0
}

// Language is the one that the process says.
func (k Kind) Language() remoting.Language {
	if k == Rust {
		return remoting.Rust
	}
	return remoting.Java
}

// Guise is what a process says about itself when it does not say the usual.
type Guise struct {
	Cluster, Addr, Name string
	ID                  int64
	Timeout             time.Duration
}

// set reads the words of an as step behind the process: name=value each.
func (g *Guise) set(words []string) (err error) {
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "cluster":
			g.Cluster = value
		case "addr":
			g.Addr = value
		case "name":
			g.Name = value
		case "id":
			g.ID, err = strconv.ParseInt(value, 10, 64)
		case "timeout":
			g.Timeout, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("unknown %q", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// As lets a process call itself otherwise from now on: the words of an as step.
func (w *World) As(words []string) error {
	num, err := parseArg('p', words[1])
	p := w.procs[int(num)]
	if err != nil || p == nil {
		return fmt.Errorf("no process %s", words[1])
	}
	return p.guise.set(words[2:])
}
