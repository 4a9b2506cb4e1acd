// Package systemd tells the service manager that started this process how it fares: sd_notify(3), as far as a server needs it.
package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// patience bounds one message: a manager that is busy must not hold the server up.
const patience = time.Second

// Manager is the service manager. A nil one takes everything and does nothing.
type Manager struct {
	socket   string
	watchdog time.Duration
}

// Find is the manager that the environment names, or nil. The error says that it names one that cannot be told, or a watchdog
// whose time is none; env gives the value of a variable.
func Find(env func(name string) string) (*Manager, error) {
	socket := env("NOTIFY_SOCKET")
	if socket == "" {
		return nil, nil
	}
	if !strings.HasPrefix(socket, "/") && !strings.HasPrefix(socket, "@") {
		return nil, fmt.Errorf("NOTIFY_SOCKET=%q: want a path, or @ and a name", socket)
	}
	m := &Manager{socket: socket}
	if pid := env("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return m, nil // it is another process that is watched
	}
	if text := env("WATCHDOG_USEC"); text != "" {
		usec, err := strconv.ParseInt(text, 10, 64)
		if err != nil || usec <= 0 || usec > int64(24*time.Hour/time.Microsecond) {
			return m, fmt.Errorf("WATCHDOG_USEC=%q: want microseconds, of a day at most", text)
		}
		m.watchdog = time.Duration(usec) * time.Microsecond
	}
	return m, nil
}

// Watchdog is the time within which the manager wants to hear WATCHDOG=1 again and again; 0: it does not.
func (m *Manager) Watchdog() time.Duration {
	if m == nil {
		return 0
	}
	return m.watchdog
}

// Tell sends assignments such as READY=1 in one message. Each message is sent by a socket of its own, so that a manager that was
// started anew hears it.
func (m *Manager) Tell(assignments ...string) error {
	if m == nil {
		return nil
	}
	c, err := net.Dial("unixgram", m.socket)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err = c.Write([]byte(strings.Join(assignments, "\n")))
	return err
}

// Status is the assignment that shows text, in one line, behind the unit's state.
func Status(text string) string { return "STATUS=" + strings.Join(strings.Fields(text), " ") }

// Extend is the assignment that gives a start or a stop so much more time from now on.
func Extend(by time.Duration) string { return fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", by.Microseconds()) }
