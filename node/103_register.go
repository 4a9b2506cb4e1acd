package node

// REGISTER_BROKER (103), by every version; single topics by 5.1.4 and later. Deviations: DEV-2 (a malformed one changes
// nothing), DEV-5 (one that is refused leaves nothing behind), DEV-6 (a zlib body that is not announced), DEV-13 (of several
// connections the one accepted last owns the registration), DEV-17 (what is beyond the limits of a registration is left out), DEV-22
// (tables have a budget).

import (
	"errors"
	"hash/crc32"
	"hash/maphash"
	"strconv"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/node/kvconfig"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

// largeBody is the size in bytes from which on registrations are parsed and applied on half of the cores at most. Of compressed
// ones nobody knows how large they are before.
const largeBody = 64 << 10

// overlong follows the name of a field in the remark that refuses it.
var overlong = ": longer than " + strconv.Itoa(body.MaxName) + " bytes"

// keptTopics bounds the scratch space that is kept between registrations.
const keptTopics = 100_000

// scratch is what parsing one registration body needs.
type scratch struct {
	breather breather
	conn     *rpc.Conn // to whose request what the decoder holds is charged
	charged  int64     // bytes, so far
	decoder  body.RegisterDecoder
	topics   []routes.Topic
}

func newScratch() any {
	s := new(scratch)
	s.decoder.Yield, s.decoder.Hold = s.breather.yield, s.hold
	return s
}

// hold charges what the decoder holds more than before.
func (s *scratch) hold(bytes int64) bool {
	more := bytes - s.charged
	if more <= 0 {
		return true
	}
	s.charged = bytes
	return s.conn.Charge(more)
}

var (
	scratches = sync.Pool{New: newScratch}
	// printSeed keys the hashes of register bodies, so that nobody can make two bodies collide on purpose.
	printSeed = maphash.MakeSeed()
)

// registerBroker answers code 103.
func (n *Node) registerBroker(c *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	resp.HasExt = true
	if sum, ok := req.Int32("bodyCrc32"); ok && sum != 0 && sum != int32(crc32.ChecksumIEEE(req.Body)&0x7FFFFFFF) {
		resp.Fail(remoting.SystemError, "crc32 not match")
		return
	}
	if req.Version < 0 {
		failed(resp, "version: must not be negative")
		return
	}
	r, idOK, named := registration(req)
	if !idOK {
		failed(resp, "brokerId: missing or not a number")
		return
	}
	if field := tooLong(&r); field != "" {
		failed(resp, field+overlong)
		return
	}
	r.Conn = n.connOf(c)
	res, eff, known := routes.RegisterResult{}, routes.Effects{}, false
	if named {
		res, eff, known = n.table.RegisterUnchanged(&r)
	}
	if !known {
		// Parsing is work without a pause. Were every core at it, route queries would wait for a whole body, and small
		// registrations for large ones.
		if (len(req.Body) >= largeBody || body.IsZlib(req.Body)) && !c.Enter(rpc.LargePool) {
			return
		}
		var err error
		if res, eff, err = n.registerParsed(c, req, &r, named); errors.Is(err, body.ErrMemory) {
			return // it is answered already
		} else if err != nil {
			failed(resp, "decode register body: "+err.Error())
			return
		}
	}
	if res.NoRoom {
		n.refuseGrowth(c, r.Name)
		return
	}
	n.apply(eff)
	if n.depart != nil && named {
		n.depart.Registered(c, &r)
		n.vanished.Registered(n.heard(c), &r)
	}
	if res.Refused {
		resp.Fail(remoting.SystemError, "register broker failed")
		return
	}
	if res.HasMaster {
		if res.HAAddr.Valid {
			resp.Set("haServerAddr", res.HAAddr.S)
		}
		resp.Set("masterAddr", res.MasterAddr)
	}
	if n.runtime.Options().ReturnOrderTopicConfigToBroker {
		resp.Body, _ = n.kv.List(kvconfig.OrderTopicConfig)
	}
}

// failed is an answer in the place of an exception: without extFields.
func failed(resp *remoting.Response, remark string) {
	resp.HasExt = false
	resp.Fail(remoting.SystemError, remark)
}

// registration reads the header of a REGISTER. named is false when one of the three names is missing.
func registration(req *remoting.Request) (r routes.Registration, idOK, named bool) {
	r.ID, idOK = req.Int64("brokerId")
	var haveCluster, haveAddr, haveName bool
	r.Cluster, haveCluster = req.Str("clusterName")
	r.Addr, haveAddr = req.Str("brokerAddr")
	r.Name, haveName = req.Str("brokerName")
	r.HAAddr.S, r.HAAddr.Valid = req.Str("haServerAddr")
	r.Zone.S, r.Zone.Valid = req.Str("__ZONE_NAME")
	r.Timeout.N, r.Timeout.Valid = req.Int64("heartbeatTimeoutMillis")
	if acting, ok := req.Bool("enableActingMaster"); ok {
		r.Acting = routes.False
		if acting {
			r.Acting = routes.True
		}
	}
	r.Version, r.Language = req.Version, uint8(req.Language)
	compressed, _ := req.Bool("compressed")
	r.Print = routes.Fingerprint{
		Length: len(req.Body), Hash: maphash.Bytes(printSeed, req.Body),
		Version: req.Version, Compressed: compressed, Valid: true,
	}
	return r, idOK, haveCluster && haveAddr && haveName
}

// tooLong names the field that is too long for a registration to be kept, or nothing. What a broker can do without is taken
// for absent.
func tooLong(r *routes.Registration) string {
	for _, f := range []struct{ name, value string }{
		{"clusterName", r.Cluster}, {"brokerName", r.Name}, {"brokerAddr", r.Addr},
	} {
		if len(f.value) > body.MaxName {
			return f.name
		}
	}
	for _, o := range []*mq.Opt{&r.HAAddr, &r.Zone} {
		if len(o.S) > body.MaxName {
			*o = mq.Opt{}
		}
	}
	return ""
}

// registerParsed parses the body, outside of every lock, and applies the registration if it names its broker. A body
// that does not parse changes nothing.
func (n *Node) registerParsed(c *rpc.Conn, req *remoting.Request, r *routes.Registration, named bool) (
	res routes.RegisterResult, eff routes.Effects, err error,
) {
	s := scratches.Get().(*scratch)
	s.breather.start(n.server.Yield, n.routeQueries)
	s.conn, s.charged = c, 0
	reg, err := s.decoder.Decode(req.Body, req.Version, r.Print.Compressed, time.Now().UnixMilli())
	if err == nil {
		s.topics = tableBody(r, reg, s.topics[:0])
		if named {
			r.Yield = s.breather.yield
			n.fillRoom(c, r)
			res, eff = n.table.Register(r)
			if reg.LeftOut > 0 && !res.NoRoom {
				eff.Events = append(eff.Events, routes.Event{
					Kind: routes.RegisterCut, Cluster: r.Cluster, Name: r.Name, Addr: r.Addr, ID: r.ID,
					LeftOut: reg.LeftOut, Conn: r.Conn.ID, Remote: r.Conn.Remote, Source: r.Conn.Source,
				})
			}
		}
	}
	s.release(r)
	return res, eff, err
}

// release gives the scratch back. What the registration took from it goes first: the tables have copied what they keep, and
// the next owner writes over the rest.
func (s *scratch) release(r *routes.Registration) {
	r.Topics, r.Mappings, r.Yield = nil, nil, nil
	s.conn = nil
	if cap(s.topics) <= keptTopics {
		scratches.Put(s)
	}
}

// connOf is the connection as the tables know it. The first time, its writes are remembered from then on: the newest
// acknowledged one is the broker's proof of life.
func (n *Node) connOf(c *rpc.Conn) *routes.Conn {
	rc := n.seen(c)
	if c.Value() == nil {
		c.TrackWrites()
		c.SetValue(rc)
	}
	return rc
}

// seen is the connection as the tables know it, or would.
func (n *Node) seen(c *rpc.Conn) *routes.Conn {
	if known, ok := c.Value().(*routes.Conn); ok {
		return known
	}
	source := c.Source()
	return &routes.Conn{
		ID: c.ID(), FirstByte: c.FirstByte(), Source: source, Remote: c.RemoteAddr(), CanProve: c.CanProve(),
		Shared: n.machines != nil && !n.machines.Contain(source.Addr),
	}
}
