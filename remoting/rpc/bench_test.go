package rpc

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
)

// BenchmarkRoute measures a server whose handler does nothing: 64 connections that keep depth requests of 149 bytes in
// flight and get 1,073 bytes for each. Client and server share the process and its cores.
func BenchmarkRoute(b *testing.B) {
	for _, depth := range []int{1, 16} {
		b.Run(fmt.Sprintf("conns=64/depth=%d", depth), func(b *testing.B) { benchRoute(b, 64, depth, nil) })
		b.Run(fmt.Sprintf("timed,conns=64/depth=%d", depth), func(b *testing.B) {
			benchRoute(b, 64, depth, func(c *Config) { c.Timed = func(int32, time.Duration) {} })
		})
	}
}

func benchRoute(b *testing.B, conns, depth int, change func(*Config)) {
	body := make([]byte, 963)
	s := start(b, handlerFunc{serve: func(_ *Conn, _ *remoting.Request, resp *remoting.Response) { resp.Body = body }}, change)
	one := request(remotingRoute, 1000000, 0, "")
	batch := make([]byte, 0, depth*len(one))
	for range depth {
		batch = append(batch, one...)
	}
	peers := make([]net.Conn, conns)
	for i := range peers {
		peers[i] = dial(b, s)
		_ = peers[i].SetDeadline(time.Time{})
	}
	b.ReportAllocs()
	b.ResetTimer()
	var group sync.WaitGroup
	for i, p := range peers {
		rounds := b.N / depth / conns
		if i == 0 {
			rounds++
		}
		group.Go(func() {
			in := make([]byte, 64<<10)
			for range rounds {
				if _, err := p.Write(batch); err != nil {
					b.Error(err)
					return
				}
				if err := answers(p, in, depth); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

const remotingRoute = int(remoting.GetRouteInfoByTopic)

// answers reads n frames.
func answers(r io.Reader, in []byte, n int) error {
	have, at := 0, 0
	for n > 0 {
		m, err := r.Read(in[have:])
		if err != nil {
			return err
		}
		have += m
		for have-at >= 4 && have-at >= 4+int(binary.BigEndian.Uint32(in[at:])) {
			at += 4 + int(binary.BigEndian.Uint32(in[at:]))
			n--
		}
		if at == have {
			have, at = 0, 0
		}
	}
	return nil
}
