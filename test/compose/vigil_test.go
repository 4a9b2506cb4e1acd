package compose

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/test/kit"
)

var everywhere, others = []int{0, 1, 2}, []int{0, 1}

// vigil asks the nodes again and again whom they list.
type vigil struct {
	mu       sync.Mutex
	here     [3]map[string]bool
	since    [3]map[string]time.Time // of the last change
	expected [3]map[string]time.Time // who must be listed, asked after that moment
	missed   []string                // who was not
}

func watchNodes(t *testing.T) *vigil {
	v := &vigil{}
	var group sync.WaitGroup
	for i, server := range nameServers("127.0.0.1") {
		v.here[i], v.since[i], v.expected[i] = map[string]bool{}, map[string]time.Time{}, map[string]time.Time{}
		group.Go(func() {
			ticker := time.NewTicker(20 * time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-t.Context().Done():
					return
				case <-ticker.C:
				}
				asked := time.Now()
				if all, err := kit.Ask(server, kit.ClusterInfo); err == nil {
					if brokers, err := all.Brokers(nil); err == nil {
						v.note(i, brokers, asked)
					}
				}
			}
		})
	}
	t.Cleanup(group.Wait) // its context has ended by then
	return v
}

func (v *vigil) note(node int, brokers map[string]map[string]string, asked time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now, here := time.Now(), map[string]bool{}
	for name, addresses := range brokers {
		for _, address := range addresses {
			here[name+"@"+address] = true
		}
	}
	for key := range here {
		if !v.here[node][key] {
			v.since[node][key] = now
		}
	}
	for key := range v.here[node] {
		if !here[key] {
			v.since[node][key] = now
		}
	}
	for key, from := range v.expected[node] {
		if !here[key] && from.Before(asked) {
			v.missed = append(v.missed, fmt.Sprintf("%s, at %s", key, services[node]))
			delete(v.expected[node], key) // told once
		}
	}
	v.here[node] = here
}

// turned waits until all nodes list a broker, or none does, and says since when each.
func (v *vigil) turned(t *testing.T, key string, listed bool) (since [3]time.Time) {
	t.Helper()
	return v.turnedAt(t, everywhere, key, listed)
}

func (v *vigil) turnedAt(t *testing.T, nodes []int, key string, listed bool) (since [3]time.Time) {
	t.Helper()
	for _, i := range nodes {
		kit.Await(t, 2*patience, fmt.Sprintf("%s lists %s: %t", services[i], key, listed), func() error {
			v.mu.Lock()
			defer v.mu.Unlock()
			since[i] = v.since[i][key]
			if since[i].IsZero() || v.here[i][key] != listed {
				return fmt.Errorf("%t since %s", v.here[i][key], since[i])
			}
			return nil
		})
	}
	return since
}

// arrived waits until all nodes list the brokers, by what these said since they started, and expects that to stay so.
func (v *vigil) arrived(t *testing.T, all ...*box) {
	t.Helper()
	v.arrivedAt(t, everywhere, all...)
}

func (v *vigil) arrivedAt(t *testing.T, nodes []int, all ...*box) {
	t.Helper()
	for _, b := range all {
		for _, i := range nodes {
			kit.Await(t, 2*patience, fmt.Sprintf("%s registered at %s", b.key, services[i]), func() error {
				if one, ok := b.listed(t, i); !ok || one.Registered.Before(b.started) {
					return fmt.Errorf("it started at %s: %+v", b.started, one)
				}
				return nil
			})
		}
		v.turnedAt(t, nodes, b.key, true)
		v.mu.Lock()
		for _, i := range nodes {
			v.expected[i][b.key] = time.Now()
		}
		v.mu.Unlock()
	}
}

// leaves says that brokers are about to leave.
func (v *vigil) leaves(all ...*box) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, b := range all {
		for i := range services {
			delete(v.expected[i], b.key)
		}
	}
}

// noneMissed fails for each broker that lived and was not listed.
func (v *vigil) noneMissed(t *testing.T) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, one := range v.missed {
		t.Errorf("a living broker was not listed: %s", one)
	}
}

// decided waits until the deaf node has decided on a departure after a moment, other than that it held nothing, and says what, newest first.
func decided(t *testing.T, b *box, after time.Time) (all []api.Decision) {
	t.Helper()
	kit.Await(t, patience, services[deaf]+" decides on "+b.name, func() error {
		var told api.Tombstones
		if err := kit.GetJSON(httpOf(deaf)+"/v1/tombstones", &told); err != nil {
			return err
		}
		all = slices.DeleteFunc(told.Decisions, func(d api.Decision) bool {
			return d.Broker != b.name || d.At.Before(after) || d.Outcome == "not_held"
		})
		if len(all) == 0 {
			return errors.New("it has not")
		}
		return nil
	})
	return all
}

func evicted(d api.Decision) bool { return d.Outcome == "evicted" }
