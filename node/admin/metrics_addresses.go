package admin

import "github.com/epitaph-mq/epitaph/node/addresses"

// addressSeries are those of the address server; all zero where there is none.
func addressSeries() (all []series) {
	const (
		size, sizeHelp       = "address_list_size", "Addresses that the address server lists; 0 when it is off, or knows none."
		changes, changesHelp = "address_list_changes_total", "Times that a list of the address server changed."
		asked, askedHelp     = "address_requests_total", "Requests at the address server, by the list that was asked for."
	)
	names := [...]string{addresses.ClientsPath: "clients", addresses.BrokersPath: "brokers", addresses.OtherPath: "none"}
	for path, name := range names {
		all = append(all, counter(asked, askedHelp, func(r *reading) uint64 { return r.addresses.Requests[path] }).with("list", name))
		if addresses.Path(path) != addresses.OtherPath {
			all = append(all, counter(changes, changesHelp, func(r *reading) uint64 { return r.addresses.Changes[path] }).with("list", name))
		}
	}
	return append(all,
		gauge(size, sizeHelp, func(r *reading) uint64 { return uint64(len(r.addresses.Clients)) }).with("list", "clients"),
		gauge(size, sizeHelp, func(r *reading) uint64 { return uint64(len(r.addresses.Brokers)) }).with("list", "brokers"),
		gauge("address_lists_still", "1 while the lists stay as they are, for this node may be the one that is cut off.",
			func(r *reading) uint64 { return flag(r.addresses.Still != "") }),
		gauge("address_left_out", "Living members that are left out of a list, for their address is not known, would help nobody or does not answer.",
			func(r *reading) uint64 { return uint64(len(r.addresses.LeftOut)) }),
		gauge("address_conflicts", "Addresses under which several living members are listed.",
			func(r *reading) uint64 { return uint64(len(r.addresses.Conflicts)) }))
}
