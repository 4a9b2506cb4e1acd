package gossip

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// How long a question to an address that could not be joined may take. All of it fits into the second before a fault is to
// be told.
const (
	probeDial   = 500 * time.Millisecond
	probeAnswer = 300 * time.Millisecond
)

// explainJoin says in words why an address of a seed could not be joined, or (err is nil) says nothing yet. memberlist's
// own error is "EOF" for most of it: whoever has another key or name is owed no reason. So it is tried out: whether
// somebody listens at TCP and at UDP, and whether this node's --cluster is listened to.
func (g *Gossip) explainJoin(ctx context.Context, seed string, a netip.AddrPort, err error) string {
	where := ""
	if seed != a.String() {
		where = " (" + a.String() + ")"
	}
	if g.cfg.Transport != nil { // there are no sockets to try
		if err == nil {
			return "it does not answer" + where
		}
		return err.Error()
	}
	return g.likelyCause(ctx, a, err) + where
}

func (g *Gossip) likelyCause(ctx context.Context, a netip.AddrPort, err error) string {
	d := net.Dialer{Timeout: probeDial}
	conn, dialErr := d.DialContext(ctx, "tcp", a.String())
	var late net.Error
	switch {
	case errors.Is(dialErr, syscall.ECONNREFUSED):
		return "nothing listens there (connection refused)"
	case errors.As(dialErr, &late) && late.Timeout():
		return "its host does not answer: a wrong address, a host that is down, or a firewall"
	case dialErr != nil:
		return "it cannot be connected to: " + syscallOf(dialErr)
	}
	defer conn.Close()
	if text := reason(err); strings.HasPrefix(text, "dial ") { // it has come since
		return "it could not be connected to a moment ago (" + text[strings.LastIndex(text, ": ")+2:] + "), and can be now"
	}
	const stranger = "a program that is no node of epitaph has this port: "
	if nobodyAt(ctx, a) {
		return stranger + "it takes connections, but nothing listens there at UDP, as gossip does"
	}
	switch knowsLabel(conn, g.cfg.Cluster) {
	case spoke:
		return stranger + "it answered with something that is no gossip"
	case hungUp:
		return "it hung up when it was told this node's --cluster: a node of another --cluster, or another program"
	}
	switch text := reason(err); {
	case strings.HasSuffix(text, "EOF"), strings.Contains(text, "a stream without a message"), strings.Contains(text, "reset by peer"), strings.Contains(text, "broken pipe"):
		if g.keys == nil {
			return "it took this node's --cluster and hung up on its first message: it has a gossip key, and this node has none " +
				"(--gossip-key-file)"
		}
		return "it took this node's --cluster and hung up on its first message: its gossip key is another one, or it has none (--gossip-key-file)"
	case err == nil, strings.Contains(text, "timeout"):
		return "it took the connection and says nothing: a node that stands still, or another program"
	default:
		return "its answer cannot be used: " + text
	}
}

// reason is what memberlist says of one address, without its heading, its bullet and the address. Nil is nothing.
func reason(err error) string {
	if err == nil {
		return ""
	}
	text := strings.TrimSpace(err.Error())
	if _, rest, ok := strings.Cut(text, "* failed to join "); ok {
		_, text, _ = strings.Cut(rest, ": ")
	}
	return text
}

// syscallOf is the fault without the addresses, which change.
func syscallOf(err error) string {
	if no, ok := errors.AsType[syscall.Errno](err); ok {
		return no.Error()
	}
	return err.Error()
}

// nobodyAt says that the host refuses UDP to this port: no gossip is there.
func nobodyAt(ctx context.Context, a netip.AddrPort) bool {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", a.String())
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(probeAnswer))
	if _, err := conn.Write(nil); err != nil { // says nothing, and a node passes it over
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	_, err = conn.Read(make([]byte, 1))
	return errors.Is(err, syscall.ECONNREFUSED)
}

// reaction is what somebody does who is told a label and nothing else.
type reaction int

const (
	waits reaction = iota // for what should follow, as a node of that label does
	hungUp
	spoke
)

func knowsLabel(conn net.Conn, label string) reaction {
	_ = conn.SetDeadline(time.Now().Add(probeAnswer))
	if err := memberlist.AddLabelHeaderToStream(conn, label); err != nil {
		return hungUp
	}
	n, err := conn.Read(make([]byte, 1))
	switch {
	case n > 0:
		return spoke
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return hungUp
	}
	return waits
}
