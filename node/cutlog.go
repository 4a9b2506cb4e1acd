package node

import (
	"context"
	"log/slog"

	"github.com/epitaph-mq/epitaph/mq"
)

// sentence is how many bytes a message or a fault has at most, which may hold several names.
const sentence = 1024

// cutLog shortens what is written: names and values come from whoever reaches the port, and a broker's are told with every
// change. What a program made of itself, the stack of a panic, stays whole.
type cutLog struct{ slog.Handler }

func (h cutLog) Handle(ctx context.Context, r slog.Record) error {
	short := slog.NewRecord(r.Time, r.Level, mq.CutTo(r.Message, sentence), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		short.AddAttrs(cutAttr(a))
		return true
	})
	return h.Handler.Handle(ctx, short)
}

func (h cutLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	cut := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		cut[i] = cutAttr(a)
	}
	return cutLog{h.Handler.WithAttrs(cut)}
}

func (h cutLog) WithGroup(name string) slog.Handler { return cutLog{h.Handler.WithGroup(name)} }

func cutAttr(a slog.Attr) slog.Attr {
	switch v := a.Value; v.Kind() {
	case slog.KindString:
		if a.Key != "stack" {
			a.Value = slog.StringValue(mq.Cut(v.String()))
		}
	case slog.KindAny:
		switch v := v.Any().(type) {
		case error:
			if text := v.Error(); len(text) > sentence {
				a.Value = slog.StringValue(mq.CutTo(text, sentence))
			}
		case []string:
			a.Value = slog.AnyValue(cutAll(v))
		}
	}
	return a
}

func cutAll(texts []string) []string {
	cut := make([]string, len(texts))
	for i, text := range texts {
		cut[i] = mq.Cut(text)
	}
	return cut
}
