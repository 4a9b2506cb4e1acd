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

	"github.com/epitaph-mq/epitaph/node/addresses"
	"github.com/epitaph-mq/epitaph/node/atomicfile"
)

// told is what the log has said, and what the file holds.
type told struct {
	leftOut   map[addresses.LeftOut]bool
	conflicts map[string]bool
	kept      addresses.Kept
	fault     string // why the file could not be written
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
			log.Warn("a node is in no address list", "member", one.Name, "why", one.Why)
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

// keep writes the file when something in it has changed. The caller holds mu.
func (s *Server) keep() {
	kept := s.lists.Kept()
	if slices.Equal(kept.Clients, s.told.kept.Clients) && slices.Equal(kept.Brokers, s.told.kept.Brokers) &&
		maps.Equal(kept.Members, s.told.kept.Members) || len(kept.Brokers) == 0 {
		return
	}
	text, err := json.MarshalIndent(kept, "", "  ")
	if err == nil {
		err = atomicfile.Replace(s.cfg.File, text)
	}
	if err != nil && err.Error() != s.told.fault {
		s.told.fault = err.Error()
		s.cfg.Logger.Warn("the address lists cannot be kept for the next start", "path", s.cfg.File, "err", err)
	}
	if err == nil {
		s.told.fault = ""
	}
	s.told.kept = kept // what could not be written is not tried at every look
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
