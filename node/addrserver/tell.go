package addrserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/node/addresses"
	"github.com/epitaph-mq/epitaph/node/atomicfile"
	"github.com/epitaph-mq/epitaph/node/lockfile"
)

// told is what the log has said, and what the file holds.
type told struct {
	leftOut   map[addresses.LeftOut]bool
	conflicts map[string]bool
	kept      addresses.Kept
	fault     string // why the file could not be written
	tried     clock.Stamp
}

// tell writes one line for each change. The caller holds mu.
func (s *Server) tell(before *addresses.View, met bool) {
	const still = "address lists stay as they are, whatever is known"
	log, now := s.cfg.Logger, s.lists.View()
	for _, list := range []struct {
		name        string
		before, now addresses.Addrs
	}{{"clients", before.Clients, now.Clients}, {"brokers", before.Brokers, now.Brokers}} {
		if !slices.Equal(list.before, list.now) {
			log.Info("address list changed", "list", list.name, "now", list.now.String(), "before", list.before.String())
		}
	}
	switch {
	case (now.Still == "") == (before.Still == ""):
	case now.Still == "":
		log.Info("address lists change again")
	case met:
		log.Warn(still, "why", now.Still)
	default:
		log.Info(still, "why", now.Still)
	}
	out := map[addresses.LeftOut]bool{}
	for _, one := range now.LeftOut {
		if out[one] = true; !s.told.leftOut[one] {
			log.Warn("a node is left out of an address list", "member", one.Name, "why", one.Why)
		}
	}
	s.told.leftOut = out
	same := map[string]bool{}
	for _, one := range now.Conflicts {
		key := fmt.Sprint(one)
		if same[key] = true; !s.told.conflicts[key] {
			log.Error("several nodes are listed under one address: correct --advertise-serve at all but one", "addr", one.Addr,
				"members", strings.Join(one.Names, ","))
		}
	}
	s.told.conflicts = same
}

// ownFile makes the file this node's. That of another node of this machine holds the lists of that one, perhaps of another cluster:
// they are neither served nor written over.
func (s *Server) ownFile() {
	var err error
	if s.lock, err = lockfile.Take(s.cfg.File+".lock", s.cfg.Holder()); err == nil {
		return
	}
	if held, ok := errors.AsType[*lockfile.Held](err); ok {
		s.cfg.Logger.Warn("the address lists of the last run are another node's, so they are not served, and those of this node are not kept for "+
			"the next start; give each node its own --data", "path", s.cfg.File, "holder", held.Holder)
		s.lists, s.foreign = addresses.New(s.cfg.Keep, addresses.Kept{}, s.cfg.Clock()), true
		s.publish()
	} // else that they cannot be kept is told with the first that would be
}

// keepAgain is how often what could not be written is tried again.
const keepAgain = 30 * time.Second

// keep writes the file when something in it has changed. The caller holds mu.
func (s *Server) keep() {
	kept, now := s.lists.Kept(), s.cfg.Clock()
	same := slices.Equal(kept.Clients, s.told.kept.Clients) && slices.Equal(kept.Brokers, s.told.kept.Brokers) && maps.Equal(kept.Members, s.told.kept.Members)
	if s.foreign || len(kept.Brokers) == 0 || same && (s.told.fault == "" || now.Sub(s.told.tried) < keepAgain) {
		return
	}
	s.told.kept, s.told.tried = kept, now
	text, err := json.MarshalIndent(kept, "", "  ")
	if err == nil {
		err = atomicfile.Replace(s.cfg.File, text)
	}
	fault := ""
	if err != nil {
		if fault = err.Error(); fault != s.told.fault {
			s.cfg.Logger.Warn("the address lists cannot be kept for the next start; it is tried again", "path", s.cfg.File, "err", err)
		}
	}
	s.told.fault = fault
}

// maxKept is far beyond the lists of as many members as gossip takes.
const maxKept = 1 << 20

// load reads what the last run kept; nothing where there is no file.
func load(file string) (kept addresses.Kept, err error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return kept, nil
	}
	if err != nil {
		return kept, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKept+1))
	if err == nil && len(text) > maxKept {
		err = fmt.Errorf("it has more than %d bytes", maxKept)
	}
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		return addresses.Kept{}, err
	}
	all := slices.Concat(kept.Clients, kept.Brokers, slices.Collect(maps.Values(kept.Members)))
	if slices.ContainsFunc(all, func(a netip.AddrPort) bool { return !a.IsValid() || a.Port() == 0 }) {
		return addresses.Kept{}, errors.New("it holds something that is no address")
	}
	return kept, nil
}
