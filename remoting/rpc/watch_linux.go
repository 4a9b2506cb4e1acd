package rpc

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// watchable says that this platform can watch.
const watchable = true

// tcpRTOMax is TCP_RTO_MAX_MS of Linux 6.15.
const tcpRTOMax = 44

// setter sets an option of a socket.
type setter func(fd, level, option, value int) error

func setOption(fd, level, option, value int) error {
	return unix.SetsockoptInt(fd, level, option, value)
}

var errOldKernel = errors.New("the kernel does not count segments with data")

// watchSocket sets what watching needs, all or nothing. TCP_USER_TIMEOUT comes first: it alone keeps the kernel from judging, and
// without it nothing may be asked. paced says that retransmissions are a second apart, which only makes evidence come sooner.
func watchSocket(fd int, patience int64, set setter) (paced bool, err error) {
	if l, ok := lookAt(fd); !ok || l.DataIn == 0 { // a REGISTER has come
		return false, errOldKernel
	}
	paced = true
	options := []struct{ level, option, value int }{
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(patience)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, probeIdle},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, probeInterval},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, probeCount},
		{unix.IPPROTO_TCP, tcpRTOMax, rtoMax},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	}
	var undo []func()
	for _, o := range options {
		before, err := unix.GetsockoptInt(fd, o.level, o.option)
		if err == nil {
			err = set(fd, o.level, o.option, o.value)
		}
		if err != nil && o.option == tcpRTOMax {
			paced = false
			continue
		}
		if err != nil {
			for _, back := range undo {
				back()
			}
			return false, err
		}
		undo = append([]func(){func() { _ = set(fd, o.level, o.option, before) }}, undo...)
	}
	return paced, nil
}

// setPatience changes TCP_USER_TIMEOUT of a watched connection. Where that fails, the kernel is not asked any more.
func setPatience(fd int, patience int64, set setter) error {
	err := set(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(patience))
	if err != nil {
		err = errors.Join(err, set(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0))
	}
	return err
}

// probeSocket sets TCP_KEEPIDLE anew, which makes Linux start the timer anew: it is over if nothing has come for as long.
func probeSocket(fd int) error {
	return setOption(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, probeIdle)
}

func lookAt(fd int) (Look, bool) {
	info, ok := tcpInfo(fd)
	if !ok {
		return Look{}, false
	}
	return Look{
		Heard:  time.Duration(min(info.Last_ack_recv, info.Last_data_recv)) * time.Millisecond,
		Probes: info.Probes, Retransmits: info.Retransmits, DataIn: info.Data_segs_in, DataOut: info.Data_segs_out,
		Unacked: info.Unacked, Closed: info.State == tcpClose,
	}, true
}
