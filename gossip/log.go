package gossip

import (
	"context"
	"log/slog"
	"strings"
)

// logWriter turns memberlist's lines, "[WARN] memberlist: ...", into records of the right level.
type logWriter struct{ log *slog.Logger }

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
	if strings.Contains(line, "use of closed network connection") {
		level = slog.LevelDebug // this member has stopped, and memberlist does not wait for its own last probes
	}
	w.log.Log(context.Background(), level, strings.TrimPrefix(line, "memberlist: "), "by", "memberlist")
	return len(p), nil
}
