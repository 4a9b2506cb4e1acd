package bench

import (
	"context"
	"time"
)

// GossipSize is what three nodes send each other while nobody leaves, by what they hold.
type GossipSize struct {
	Brokers   int     `json:"brokers"` // broker addresses
	Topics    int     `json:"topics"`
	BytesEach float64 `json:"bytes_per_s_and_node"` // sent, with the headers of IP, UDP and TCP
}

// gossipProfiles are those that the table of sizes has rows for.
func (r *fleetRun) gossipProfiles() (all []Profile) {
	if r.config.wants(SceneSteady) {
		all = append(all, r.config.Profile)
	}
	if r.config.wants(SceneStorm) {
		all = append(all, r.config.Storm)
	}
	return all
}

// gossip measures three nodes of this process at which the brokers of p register as often as brokers do.
func (r *fleetRun) gossip(ctx context.Context, p Profile) error {
	r.progress.Step("gossip of three nodes that hold %d brokers and %d topics", p.Brokers, p.Topics)
	f, err := startField(ctx, 3, p.Brokers, true, r.config.Seed)
	if err != nil {
		return err
	}
	defer f.stop()
	at := make([]*announcers, len(f.nodes))
	for i, n := range f.nodes {
		at[i] = announce(ctx, n.addr, p, min(r.config.StormTime, time.Duration(p.Brokers)*100*time.Millisecond), r.config.Register)
		defer at[i].stop()
	}
	for _, brokers := range at {
		if err := brokers.await(ctx, returnLimit); err != nil {
			return err
		}
	}
	if err := pause(ctx, r.settle()); err != nil {
		return err
	}
	each, err := f.traffic(ctx, r.config.Window)
	if err != nil {
		return err
	}
	r.report.Gossip = append(r.report.Gossip, GossipSize{Brokers: len(p.addresses()), Topics: p.Topics, BytesEach: each.BytesEach})
	r.progress.Step("  %.0f bytes a second from each node", each.BytesEach)
	return nil
}
