//go:build !linux

package bench

import (
	"errors"
	"net"
	"time"
)

var errFleetLinux = errors.New("fleet: needs epoll and pinned cores, so it runs on Linux only")

type poller struct{}

func newPoller() (*poller, error)                           { return nil, errFleetLinux }
func (p *poller) close()                                    {}
func (p *poller) watch(int, bool, int32, int32, bool) error { return errFleetLinux }
func (p *poller) wait(time.Duration) ([]readiness, error)   { return nil, errFleetLinux }
func openSocket(_, _ *net.TCPAddr) (int, error)             { return -1, errFleetLinux }

type cores struct{ server, own int }

func splitCores() (*cores, error)           { return nil, errFleetLinux }
func (c *cores) release()                   {}
func (c *cores) start(f func() error) error { return f() }
func raiseFileLimit() (int, error)          { return 0, errFleetLinux }
