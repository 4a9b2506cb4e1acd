package addresses

// Path is what somebody asked for.
type Path int

// The paths of the address server.
const (
	ClientsPath Path = iota
	BrokersPath
	OtherPath // nothing of it: 404
)

// Status is what an address server shows to operators.
type Status struct {
	View
	Requests [OtherPath + 1]uint64 // by Path
	Changes  [OtherPath]uint64     // of the list at a path, since the start
}

// Count takes note of what an Update changed.
func (s *Status) Count(clients, brokers bool) {
	for path, changed := range [...]bool{ClientsPath: clients, BrokersPath: brokers} {
		if changed {
			s.Changes[path]++
		}
	}
}
