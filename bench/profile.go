package bench

import (
	"errors"
	"fmt"
	"slices"
)

// Profile says which brokers and topics exist. Topic t is on the brokers t, t+1, ... t+Width-1 (modulo
// Brokers), with Queues read and write queues on each.
type Profile struct {
	Name    string `json:"name"`
	Brokers int    `json:"brokers"` // broker names
	Slaves  bool   `json:"slaves"`  // each has a slave beside its master
	Topics  int    `json:"topics"`
	Width   int    `json:"width"` // brokers of each topic
}

// Profiles are the named profiles; the first is the default.
func Profiles() []Profile {
	return []Profile{
		{Name: "small", Brokers: 10, Slaves: true, Topics: 1_000, Width: 4},
		{Name: "many-brokers", Brokers: 1_000, Topics: 20_000, Width: 1},
		{Name: "large", Brokers: 100, Slaves: true, Topics: 100_000, Width: 10},
		{Name: "wide", Brokers: 300, Topics: 10_000, Width: 300},
	}
}

// FindProfile returns the profile of a name.
func FindProfile(name string) (Profile, error) {
	var names []string
	for _, p := range Profiles() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Profile{}, fmt.Errorf("profile: %q is none of %v", name, names)
}

// Validate reports every fault of p.
func (p Profile) Validate() error {
	var faults []error
	if p.Brokers < 1 || p.Brokers > 10_000 {
		faults = append(faults, fmt.Errorf("brokers: %d is not within 1 to 10000", p.Brokers))
	}
	if p.Topics < 1 || p.Topics > 1_000_000 {
		faults = append(faults, fmt.Errorf("topics: %d is not within 1 to 1000000", p.Topics))
	}
	if p.Width < 1 || p.Width > p.Brokers {
		faults = append(faults, fmt.Errorf("width: %d is not within 1 to the %d brokers", p.Width, p.Brokers))
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	if n := p.topicsOf(0); len(n) < 2 {
		// A NameServer refuses the first registration of a broker with exactly one topic.
		return fmt.Errorf("topics: %d topics of width %d give some of %d brokers fewer than 2; ask for more topics",
			p.Topics, p.Width, p.Brokers)
	}
	return nil
}

// topicsOf lists the topics of broker b in ascending order.
func (p Profile) topicsOf(b int) []int {
	topics := make([]int, 0, p.Topics/p.Brokers*p.Width+p.Width)
	for back := range p.Width {
		first := ((b-back)%p.Brokers + p.Brokers) % p.Brokers
		for t := first; t < p.Topics; t += p.Brokers {
			topics = append(topics, t)
		}
	}
	slices.Sort(topics)
	return topics
}
