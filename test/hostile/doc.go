// Package hostile runs the real program as a process of its own under what peers do that are broken or wish it ill:
// thousands of idle connections, thousands of frames that never become complete, readers that do not read, floods of
// connects. Each test prints what it cost, bounds the memory, and asks the server all the while as an honest peer. TestRows plays
// the table of docs/hostile.md against nodes in memory cgroups as small as docker-compose.yml's, TestFleet its second one, while a
// fleet of clients polls.
//
//	EPITAPH_HOSTILE=long go test -v ./test/hostile  # as in make hostile; without it, a tenth of the numbers
package hostile
