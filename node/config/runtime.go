package config

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/epitaph-mq/epitaph/node/atomicfile"
	"github.com/epitaph-mq/epitaph/node/properties"
)

// Errors of Runtime.Update; their texts are the remarks of the answers.
var (
	// ErrLocked is answered with code 16 (NO_PERMISSION), as in the original.
	ErrLocked = errors.New("Can not update config in black list.") //nolint:staticcheck // the original's text
	// ErrReadOnly is answered with code 16 too; the original has no such mode.
	ErrReadOnly = errors.New("the configuration is read-only (--read-only-config)")
	// ErrText is answered with code 1, as in the original.
	ErrText = errors.New("string2Properties error")
	// ErrTooLong is answered with code 1; the original has no such limit.
	ErrTooLong = fmt.Errorf("the text of an update has more than %d bytes", MaxUpdate)
)

// MaxUpdate is how many bytes of text one Update takes.
const MaxUpdate = 64 << 10

// Caller is who asked for a change, for the log.
type Caller struct {
	Remote string // address and port, as a PROXY header names it
	Source string // the address that counts
}

// Runtime is the configuration of a running node: what code 319 shows and 318 changes. It follows
// org.apache.rocketmq.remoting.Configuration. Its methods may be called from any goroutine.
type Runtime struct {
	log      *slog.Logger
	locked   map[string]bool
	readOnly bool
	live     atomic.Pointer[Options]
	frozen   atomic.Pointer[error] // why no change can be kept; nil: it can

	mu  sync.Mutex // guards the following, and is held while a change is persisted
	cfg Config
}

// NewRuntime takes over a validated configuration.
func NewRuntime(cfg Config, log *slog.Logger) *Runtime {
	r := &Runtime{log: log, readOnly: cfg.ReadOnlyConfig, cfg: cfg, locked: make(map[string]bool)}
	r.cfg.Extra = maps.Clone(cfg.Extra)
	for _, opt := range options {
		if opt.locked {
			r.locked[opt.name] = true
		}
	}
	for _, name := range strings.Split(cfg.Options.ConfigBlackList, ";") {
		r.locked[name] = true
	}
	o := cfg.Options
	r.live.Store(&o)
	return r
}

// Options returns the current values without taking a lock. They must not be changed.
func (r *Runtime) Options() *Options { return r.live.Load() }

// ReadOnly tells whether every Update is refused.
func (r *Runtime) ReadOnly() bool { return r.readOnly }

// Freeze refuses every change from now on, for the reason why: the file is another one's. Thaw ends that.
func (r *Runtime) Freeze(why error) { r.frozen.Store(&why) }

// Thaw takes changes again.
func (r *Runtime) Thaw() { r.frozen.Store(nil) }

// Frozen is why every change is refused for now; nil: changes are taken.
func (r *Runtime) Frozen() error {
	if why := r.frozen.Load(); why != nil {
		return *why
	}
	return nil
}

// Update handles the body of code 318: properties text. A key that may not be changed refuses the whole text; unknown
// keys are dropped silently; a number that does not parse leaves its option as it was. What the next start would refuse, or
// what would harm this node or its stop (node/config/risks.go), refuses the whole text: the error joins a *Fault for each. What is listed
// is persisted to configStorePath, with escapes, so that no value becomes another key at the next start. What cannot be
// persisted changes nothing, and the error says why. An empty body does nothing.
func (r *Runtime) Update(body []byte, by Caller) error {
	refused := func(err error) error {
		r.log.Warn("configuration not changed", "remote", by.Remote, "source", by.Source, "path", "", "err", err)
		return err
	}
	switch {
	case r.readOnly:
		return refused(ErrReadOnly)
	case len(body) == 0:
		return nil
	case len(body) > MaxUpdate:
		return refused(ErrTooLong)
	}
	entries, err := properties.Parse(properties.FromText(body))
	if err != nil {
		_ = refused(err)
		return ErrText
	}
	for _, e := range entries {
		if r.locked[e.Key] {
			return refused(ErrLocked)
		}
	}
	if why := r.Frozen(); why != nil {
		return refused(why)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.cfg
	next.Extra = maps.Clone(r.cfg.Extra)
	changes := make([][]any, 0, len(entries))
	for _, e := range entries {
		if change := r.apply(&next, e, by); change != nil {
			changes = append(changes, change)
		}
	}
	if err := next.risksOf(&r.cfg); err != nil {
		return refused(err)
	}
	if err := atomicfile.Replace(next.Options.ConfigStorePath, properties.Store(next.values())); err != nil {
		r.log.Error("configuration not changed", "remote", by.Remote, "source", by.Source, "path", next.Options.ConfigStorePath, "err", err)
		return fmt.Errorf("persist configuration: %w", err)
	}
	r.cfg = next
	r.live.Store(&next.Options)
	for _, change := range changes {
		r.log.Info("configuration changed", append(change, "remote", by.Remote, "source", by.Source)...)
	}
	return nil
}

// apply sets one entry in next, and returns what the log says of it.
func (r *Runtime) apply(next *Config, e properties.Entry, by Caller) (change []any) {
	opt, known := optionNamed(e.Key)
	if !known {
		if before, known := next.Extra[e.Key]; known {
			next.Extra[e.Key] = e.Value
			return []any{"key", e.Key, "value", e.Value, "before", before}
		}
		return nil
	}
	before := opt.text(&next.Options)
	if !opt.setJava(&next.Options, e.Value) {
		r.log.Warn("configuration value ignored", "remote", by.Remote, "source", by.Source, "key", e.Key, "value", e.Value, "want", opt.want())
		return nil
	}
	if after := opt.text(&next.Options); after != before {
		return []any{"key", e.Key, "value", after, "before", before}
	}
	return nil
}

// Reload takes over what of next can change while the node runs: the live options and the keys that are no options. next
// comes from the operator's own files, so nothing is persisted, locked or refused. later are the names of options that
// differ and will take effect at the next start only.
func (r *Runtime) Reload(next *Config) (later []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	merged := r.cfg
	merged.Extra = maps.Clone(next.Extra)
	for _, opt := range options {
		before, after := opt.text(&merged.Options), opt.text(&next.Options)
		switch {
		case before == after, opt.name == "listenPort" && next.Options.ListenPort == 0:
		case opt.live:
			opt.setJava(&merged.Options, after)
			r.log.Info("configuration changed", "key", opt.name, "value", after, "before", before, "remote", "")
		default:
			later = append(later, opt.name)
		}
	}
	r.cfg = merged
	r.live.Store(&merged.Options)
	return later
}

// Bound replaces a listen port 0 by the one that the system picked, which the original lists and persists too.
func (r *Runtime) Bound(port int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.cfg.Options
	next.ListenPort = port
	r.cfg.Options = next
	r.live.Store(&next)
}

// Listing is the body of code 319.
func (r *Runtime) Listing() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return properties.Format(r.cfg.values())
}
