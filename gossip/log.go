package gossip

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// logWriter turns memberlist's lines, "[WARN] memberlist: ...", into records of the right level, and counts those that
// tell of a message that memberlist dropped: it has no other way of saying so.
type logWriter struct {
	log     *slog.Logger
	dropped []dropped
	heard   heard
	rest    *rate.Limiter // of lines that are none of these: what whoever has the key sends, he could fill the log with otherwise
	unsaid  *atomic.Uint64
}

// Of lines that memberlist says beside, so many are told at once, and one each second.
const restAtOnce = 20

// heard is called with what only memberlist's lines tell.
type heard struct {
	refuting func()              // this member contradicts that it is dead
	unread   func(from string)   // a stream from there cannot be read
	onlyTCP  func(member string) // it answered a probe by TCP, and none by UDP
}

// dropped is one reason for which memberlist drops what came in.
type dropped struct {
	count *atomic.Uint64
	line  string // what the log says
	cause string // as a code, that of the metrics
	texts []string
	told  *rate.Sometimes // whoever reaches the port could fill the log otherwise
}

func newLogWriter(log *slog.Logger, c *counters, h heard) logWriter {
	const refused, lost = "a message of gossip was refused", "a message of gossip was lost"
	why := func(count *atomic.Uint64, line, cause string, texts ...string) dropped {
		return dropped{count, line, cause, texts, &rate.Sometimes{First: 3, Interval: time.Second}}
	}
	// How lines of memberlist v0.7.0 (net.go, security.go, label.go) begin and what they hold. The first reason that fits
	// counts. A label stands in its line as whoever sent it wrote it, so those lines come first and are read no further.
	return logWriter{log: log, heard: h, rest: rate.NewLimiter(1, restAtOnce), unsaid: new(atomic.Uint64), dropped: []dropped{
		why(&c.refusedLabel, refused, "label", "discarding packet with unacceptable label", "discarding stream with unacceptable label",
			"unacceptable label", "label header", "cannot decode label"),
		why(&c.refusedKey, refused, "key", "Decrypt packet failed", "no installed keys could decrypt", "remote state is not encrypted",
			"remote state is encrypted", "payload is too small to decrypt", "cannot decrypt empty", "unsupported encryption version"),
		why(&c.refusedSize, refused, "size", "exceeds limit", "larger than limit"),
		why(&c.refusedFormat, refused, "format", "Failed to decode", "failed to receive", "Failed to receive", "not supported", "invalid checksum",
			"missing message type byte", "invalid msgType", "Failed to decompress", "Failed to read remote state",
			"Failed push/pull merge", "ignoring alive message"),
		why(&c.inboxFull, lost, "inbox_full", "handler queue full", "Too many pending push/pull requests"),
	}}
}

var _ io.Writer = logWriter{}

var memberlistLevels = []struct {
	prefix string
	level  slog.Level
}{
	{"[DEBUG] ", slog.LevelDebug},
	{"[INFO] ", slog.LevelDebug}, // what an operator wants to know of members is logged by the delegate
	{"[WARN] ", slog.LevelWarn},
	{"[ERR] ", slog.LevelError},
	{"[ERROR] ", slog.LevelError},
}

func (w logWriter) Write(p []byte) (int, error) {
	line := strings.TrimSpace(string(p))
	level := slog.LevelInfo
	for _, l := range memberlistLevels {
		if rest, ok := strings.CutPrefix(line, l.prefix); ok {
			line, level = rest, l.level
			break
		}
	}
	text := strings.TrimPrefix(line, "memberlist: ")
	label := strings.Contains(text, " unacceptable label ") && strings.HasPrefix(text, "discarding ")
	if !label && strings.Contains(text, "use of closed network connection") {
		level = slog.LevelDebug // this member has stopped, and memberlist does not wait for its own last probes
	}
	say := func(line, cause string) {
		w.log.Log(context.Background(), level, line, "reason", cause, "by", "memberlist", "text", text)
	}
	if level >= slog.LevelWarn {
		if strings.HasPrefix(text, "Refuting a suspect") || strings.HasPrefix(text, "Refuting a dead") {
			w.heard.refuting()
		}
		if rest, ok := strings.CutPrefix(text, "Was able to connect to "); ok {
			if name, _, ok := strings.Cut(rest, " over TCP but UDP probes failed"); ok {
				w.heard.onlyTCP(name)
				level = slog.LevelDebug // it says so at every probe
			}
		}
		if strings.HasPrefix(text, "failed to receive: ") {
			// memberlist says so before it answers with the reason, which it owes nobody who lacks the key.
			if i := strings.LastIndex(text, "from="); i >= 0 {
				w.heard.unread(text[i+len("from="):])
			}
		}
		for _, d := range w.dropped {
			if slices.ContainsFunc(d.texts, func(known string) bool { return strings.Contains(text, known) }) {
				d.count.Add(1)
				d.told.Do(func() { say(d.line, d.cause) })
				return len(p), nil
			}
		}
	}
	if strings.HasPrefix(text, "Failed fallback TCP ping: ") {
		level = slog.LevelDebug // of a member that starts again, or is lost, which the delegate tells
	}
	if level >= slog.LevelInfo {
		if !w.rest.Allow() {
			w.unsaid.Add(1)
			return len(p), nil
		}
		if n := w.unsaid.Swap(0); n > 0 {
			text = fmt.Sprintf("(%d lines left out) %s", n, text)
		}
	}
	// What it says beside is no line of ours: its words are a field, so that ours stay the same.
	say("the library of gossip says", "")
	return len(p), nil
}
