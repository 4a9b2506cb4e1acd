package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/cli/output"
)

// What the original's logback file says of namesrv.log.
const (
	mqLogBytes = 100 << 20
	mqLogsKept = 5
)

// original is the clock and the form of the original's log: its time is that of GMT+8 everywhere.
var original = time.FixedZone("GMT+8", 8*3600)

// mqLog makes the log of mqnamesrv: lines go to stderr and, as the original's, to logs/rocketmqlogs/namesrv.log below
// home, unless --log-to names a stream; "file" is the file alone. Where no file can be written, a warning says so.
// file is for what the original writes into that file only; it may lead nowhere.
func (p *program) mqLog(s logSettings, home string) (log, file *slog.Logger, err error) {
	nowhere := slog.New(slog.DiscardHandler)
	wanted, alone := s.to == "" || s.to == "file", s.to == "file"
	if alone {
		s.to = ""
	}
	if log, err = p.logger(s); err != nil || !wanted {
		if err != nil && s.to != "" && s.to != "stderr" && s.to != "stdout" {
			err = fmt.Errorf("%w, or file", err)
		}
		return log, nowhere, err
	}
	rolling, err := output.NewRolling(filepath.Join(home, "logs", "rocketmqlogs", "namesrv.log"), mqLogBytes, mqLogsKept)
	if err != nil {
		log.Warn("no log file can be written, so lines go to stderr alone; EPITAPH_LOG_TO=stderr says that none is wanted", "err", err)
		return log, nowhere, nil
	}
	queue := output.NewQueue(rolling, output.MaxWaiting)
	p.streams.file = queue
	queue.Tell(droppedLines(func(w io.Writer) slog.Handler { return newOriginalHandler(w, &p.level) }))
	file = slog.New(newOriginalHandler(queue, &p.level))
	if alone {
		return file, file, nil
	}
	return slog.New(slog.NewMultiHandler(log.Handler(), file.Handler())), file, nil
}

// originalHandler writes lines as the original's pattern has them, "2026-11-28 04:31:10 INFO main - text", with the
// fields of ours behind the text.
type originalHandler struct {
	to     io.Writer
	fields slog.Handler // writes to line
	line   *sharedLine
}

type sharedLine struct {
	sync.Mutex
	bytes.Buffer
}

func newOriginalHandler(w io.Writer, level slog.Leveler) *originalHandler {
	line := &sharedLine{}
	fields := slog.NewTextHandler(&line.Buffer, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
			return slog.Attr{}
		}
		return a
	}})
	return &originalHandler{to: w, fields: fields, line: line}
}

func (h *originalHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.fields.Enabled(ctx, level)
}

func (h *originalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.line.Lock()
	defer h.line.Unlock()
	h.line.Reset()
	fmt.Fprintf(&h.line.Buffer, "%s %s main - %s ", r.Time.In(original).Format(time.DateTime), r.Level, r.Message)
	if err := h.fields.Handle(ctx, r); err != nil {
		return err
	}
	line := bytes.TrimRight(h.line.Bytes(), " \n")
	_, err := h.to.Write(append(line, '\n'))
	return err
}

func (h *originalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &originalHandler{to: h.to, fields: h.fields.WithAttrs(attrs), line: h.line}
}

func (h *originalHandler) WithGroup(name string) slog.Handler {
	return &originalHandler{to: h.to, fields: h.fields.WithGroup(name), line: h.line}
}
