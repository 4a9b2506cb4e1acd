//go:build !linux

package bench

// windowNet is a network that is nobody else's, on Linux.
type windowNet struct{}

func openWindowNet() (*windowNet, error)     { return nil, errNoNetwork }
func (*windowNet) within(func() error) error { return errNoNetwork }
func (*windowNet) at(int) func(func() error) error {
	return func(func() error) error { return errNoNetwork }
}
func (*windowNet) cut(int) error { return errNoNetwork }
func (*windowNet) close()        {}
