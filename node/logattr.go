package node

import "log/slog"

// LogAttr is for slog.HandlerOptions.ReplaceAttr of a JSON log: a duration, which would be a number of nanoseconds there, becomes
// milliseconds, and its key says so.
func LogAttr(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindDuration {
		return a
	}
	return slog.Float64(a.Key+"_ms", float64(a.Value.Duration().Microseconds())/1000)
}
