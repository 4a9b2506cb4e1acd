package node

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func TestCutLog(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(cutLog{slog.NewTextHandler(&out, nil)})
	long := strings.Repeat("x", 5000)
	for name, write := range map[string]func(){
		"a text":            func() { log.Info("m", "k", long) },
		"one of several":    func() { log.Info("m", "k", []string{"a", long}) },
		"a fault":           func() { log.Info("m", "err", errors.New(long)) },
		"a message":         func() { log.Info(long) },
		"before the line":   func() { log.With("k", long).Info("m") },
		"in a group":        func() { log.WithGroup("g").Info("m", "k", long) },
		"in an attribute":   func() { log.LogAttrs(t.Context(), slog.LevelInfo, "m", slog.String("k", long)) },
		"an attribute with": func() { log.With(slog.String("k", long)).Info("m") },
	} {
		out.Reset()
		write()
		if n := out.Len(); n > 1200 || !strings.Contains(out.String(), "… (5000 bytes)") {
			t.Errorf("%s: a line of %d bytes: %.80s", name, n, out.String())
		}
	}
	out.Reset()
	log.Info("m", "stack", long, "k", strings.Repeat("y", 256), "n", 1)
	if !kit.ContainsAll(out.String(), "stack="+long+" ", "k="+strings.Repeat("y", 256)+" ", "n=1") {
		t.Errorf("%.80s", out.String())
	}
}

// Whatever a stranger sends, no line of the log is long.
func TestStrangersWriteShortLines(t *testing.T) {
	var log lockedBuffer
	n := startNodeTo(t, slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}), nil)
	c := dial(t, n)
	long := func(size int) string { return strings.Repeat("x", size) }
	huge := long(1 << 20)
	header := brokerHeader("0")
	header["clusterName"], header["brokerName"], header["brokerAddr"] = long(1000), long(1000), long(1000)
	ask(t, c, remoting.RegisterBroker, header, twoTopics)
	header["brokerName"] = long(900)
	ask(t, c, remoting.RegisterBroker, header, twoTopics) // one address under two names
	ask(t, c, remoting.UnregisterBroker, map[string]string{"clusterName": huge, "brokerName": huge, "brokerAddr": huge}, "")
	ask(t, c, remoting.UnregisterBroker, header, "")
	ask(t, c, remoting.DeleteKVConfig, map[string]string{"namespace": huge, "key": huge}, "")
	ask(t, c, remoting.PutKVConfig, map[string]string{"namespace": long(1000), "key": long(1000), "value": "v"}, "")
	ask(t, c, remoting.UpdateNamesrvConfig, nil, "productEnvName="+long(60_000))
	ask(t, c, remoting.UpdateNamesrvConfig, nil, "bindAddress="+long(60_000)+"\nwaitSecondsForService="+long(1000))
	ask(t, c, remoting.DeleteTopicInNamesrv, map[string]string{"topic": huge, "clusterName": huge}, "")
	lines := 0
	for line := range strings.Lines(log.String()) {
		lines++
		if len(line) > 3000 {
			t.Errorf("a line of %d bytes: %.200s", len(line), line)
		}
	}
	if lines < 6 || !strings.Contains(log.String(), "… (1000 bytes)") {
		t.Errorf("%d lines", lines)
	}
}
