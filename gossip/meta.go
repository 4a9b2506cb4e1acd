package gossip

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// Phase is where a member stands between start and stop.
type Phase uint8

// The phases of a member, in their order.
const (
	PhaseUnknown  Phase = iota // a member that says nothing of itself: of another version
	PhaseStarting              // it serves nobody yet
	PhaseWaiting               // it serves brokers, and waits for those that other members hold
	PhaseReady
	PhaseDraining
	PhaseStopping
	phases
)

var phaseNames = [phases]string{"unknown", "starting", "waiting", "ready", "draining", "stopping"}

func (p Phase) String() string {
	if p < phases {
		return phaseNames[p]
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// Meta is what a member says of itself beside its name. It is for people and for readiness, never for routes.
type Meta struct {
	Release    string        // of the program
	Phase      Phase         //
	Age        time.Duration // since its start when it said so: a lower bound, whatever the way took
	NameServer string        // HOST:PORT for brokers and clients; may be empty
	HTTP       string        // HOST:PORT for operators; empty: off
	KVMissing  bool          // it serves routes alone, for its KV store is missing

	// Serve is the address that address servers list it under; invalid: it has none that others could use, or its version
	// tells none. Witnessed says that it has held every broker that the members held which could tell.
	Serve     netip.AddrPort
	Witnessed bool

	// Keys are the fingerprints of its first gossip keys, behind each other with commas, the one for sending first; empty: it has
	// none, or its version tells none.
	Keys string
}

// Limits of what a member says: all of it fits into memberlist's 512 bytes.
const (
	maxRelease = 64
	maxAddress = 160
	metaMax    = 512
	maxPrints  = 4 // fingerprints: a change of keys has two
)

type wireMeta struct {
	_struct          bool `codec:",toarray"` //nolint:unused // read by the codec
	Release          string
	Phase            uint8
	Age              int64 // ms
	NameServer, HTTP string
	// What follows is not read, and is nothing, where a member's version has none of it.
	KVMissing bool
	Serve     string
	Witnessed bool
	Keys      []byte // printBytes of each
}

// metaVersion begins the bytes: a member of another one is a member of which nothing is known.
const metaVersion = 1

// encodeMeta writes what a member says of itself, at most 512 bytes. What is too long is left out.
func encodeMeta(m Meta) []byte {
	if len(m.Release) > maxRelease {
		m.Release = m.Release[:maxRelease]
	}
	if len(m.NameServer) > maxAddress {
		m.NameServer = ""
	}
	if len(m.HTTP) > maxAddress {
		m.HTTP = ""
	}
	w := wireMeta{
		Release: m.Release, Phase: uint8(m.Phase), Age: m.Age.Milliseconds(), NameServer: m.NameServer, HTTP: m.HTTP,
		KVMissing: m.KVMissing, Witnessed: m.Witnessed, Keys: printsToWire(m.Keys),
	}
	if m.Serve.IsValid() {
		w.Serve = m.Serve.String()
	}
	b, err := encode(metaVersion, w)
	if err != nil || len(b) > metaMax {
		return nil
	}
	return b
}

// decodeMeta reads it. Nothing, and what is not understood, is the zero Meta: the member is of another version.
func decodeMeta(b []byte) (Meta, error) {
	if len(b) == 0 {
		return Meta{}, nil
	}
	if len(b) > metaMax {
		return Meta{}, fmt.Errorf("%w: %d bytes of a member's description, want at most %d", errSize, len(b), metaMax)
	}
	kind, payload, err := head(b)
	if err != nil {
		return Meta{}, err
	}
	if kind != metaVersion {
		return Meta{}, fmt.Errorf("%w %d of a member's description", errVersion, kind)
	}
	var w wireMeta
	if err := decode(payload, &w); err != nil {
		return Meta{}, err
	}
	if len(w.Release) > maxRelease || len(w.NameServer) > maxAddress || len(w.HTTP) > maxAddress ||
		w.Phase >= uint8(phases) || w.Age < 0 || w.Age > maxMicros/1000 {
		return Meta{}, fmt.Errorf("%w: description of a member", errFormat)
	}
	return Meta{
		Release: w.Release, Phase: Phase(w.Phase), Age: time.Duration(w.Age) * time.Millisecond,
		NameServer: w.NameServer, HTTP: w.HTTP, KVMissing: w.KVMissing, Serve: servedAt(w.Serve), Witnessed: w.Witnessed, Keys: printsFromWire(w.Keys),
	}, nil
}

func printsToWire(text string) (b []byte) {
	for one := range strings.SplitSeq(text, ",") {
		print, err := hex.DecodeString(one)
		if err == nil && len(print) == printBytes && len(b) < maxPrints*printBytes {
			b = append(b, print...)
		}
	}
	return b
}

// printsFromWire reads fingerprints; what are none is for people only, and no reason to refuse the rest.
func printsFromWire(b []byte) string {
	if len(b)%printBytes != 0 || len(b) > maxPrints*printBytes {
		return ""
	}
	var all []string
	for print := range slices.Chunk(b, printBytes) {
		all = append(all, hex.EncodeToString(print))
	}
	return strings.Join(all, ",")
}

// servedAt reads an address that brokers and clients can be told: what nobody can connect to is none.
func servedAt(text string) netip.AddrPort {
	a, err := netip.ParseAddrPort(text)
	if err != nil || a.Port() == 0 || a.Addr().IsUnspecified() || a.Addr().Zone() != "" || a.Addr().Is4In6() {
		return netip.AddrPort{}
	}
	return a
}

// Announce replaces what this node says of itself; Release and Age are added. It does not wait for the network.
func (g *Gossip) Announce(m Meta) {
	g.meta.mu.Lock()
	changed := g.meta.said != m
	g.meta.said = m
	g.meta.mu.Unlock()
	if changed {
		g.describe()
	}
}

// describe has this node's description told anew.
func (g *Gossip) describe() {
	select {
	case g.meta.changed <- struct{}{}:
	default:
	}
}

// said is this node's description as of now.
func (g *Gossip) said() Meta {
	g.meta.mu.Lock()
	m := g.meta.said
	g.meta.mu.Unlock()
	m.Release = g.cfg.Release
	m.Age = g.cfg.Clock().Elapsed(g.started)
	prints := g.Keys()
	m.Keys = strings.Join(prints[:min(len(prints), maxPrints)], ",")
	return m
}

// announceWait bounds how long one description may wait to be sent; the next one waits behind it.
const announceWait = 2 * time.Second

// announce hands every change to memberlist, which must not happen in its callbacks and may block.
func (g *Gossip) announce(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.meta.changed:
			if err := g.list.UpdateNode(announceWait); err != nil {
				g.cfg.Logger.Debug("description of this node not sent yet; push/pull brings it", "err", err)
			}
		}
	}
}

// HostFor is the address that others reach a port of this node at: host, unless it stands for every address, then the
// one that others reach its gossip at. Only after Start.
func (g *Gossip) HostFor(host string) string {
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host, _, _ = net.SplitHostPort(g.addr)
	}
	return host
}

// ageNow is a lower bound of a member's age: what it said, and the time since this node first heard that.
func ageNow(said time.Duration, heard, now clock.Stamp) time.Duration {
	return said + now.Elapsed(heard)
}
