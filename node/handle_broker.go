package node

import (
	"hash/crc32"
	"hash/maphash"
	"strconv"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/node/kvconfig"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// largeBody is the size in bytes from which on registrations are parsed and applied on half of the cores at most.
const largeBody = 64 << 10

// keptTopics bounds the scratch space that is kept between registrations.
const keptTopics = 100_000

// scratch is what parsing one registration body needs.
type scratch struct {
	pace    pace
	decoder body.RegisterDecoder
	topics  []routes.Topic
}

func newScratch() any {
	s := new(scratch)
	s.decoder.Yield = s.pace.yield
	return s
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
	r.Conn = n.register(c)
	res, eff, known := routes.RegisterResult{}, routes.Effects{}, false
	if named {
		res, eff, known = n.table.RegisterUnchanged(&r)
	}
	if !known {
		var err error
		if res, eff, err = n.registerParsed(req, &r, named); err != nil {
			failed(resp, "decode register body: "+err.Error())
			return
		}
	}
	n.apply(eff)
	if n.depart != nil && named {
		n.depart.gossip.Registered(c.ID(), tombstone.Key{Cluster: r.Cluster, Addr: r.Addr},
			tombstone.Identity{Name: r.Name, BrokerID: r.ID, RemoteIP: c.RemoteAddr().Addr()})
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

// registerParsed parses the body, outside of every lock, and applies the registration if it names its broker. A body
// that does not parse changes nothing.
func (n *Node) registerParsed(req *remoting.Request, r *routes.Registration, named bool) (
	res routes.RegisterResult, eff routes.Effects, err error,
) {
	if len(req.Body) >= largeBody {
		// Parsing is work without a pause. Were every core at it, route queries would wait for a whole body.
		n.parsing <- struct{}{}
		defer func() { <-n.parsing }()
	}
	s := scratches.Get().(*scratch)
	s.pace.start(n.counts.routeQueries)
	reg, err := s.decoder.Decode(req.Body, req.Version, r.Print.Compressed, time.Now().UnixMilli())
	if err != nil {
		scratches.Put(s)
		return res, eff, err
	}
	s.topics = tableBody(r, reg, s.topics[:0])
	if named {
		r.Yield = s.pace.yield
		res, eff = n.table.Register(r)
	}
	if cap(s.topics) <= keptTopics {
		scratches.Put(s)
	}
	return res, eff, nil
}

// register makes sure that the tables know the connection, and that its writes are remembered from now on: the newest
// acknowledged one is the broker's proof of life.
func (n *Node) register(c *rpc.Conn) *routes.Conn {
	if known, ok := c.Value().(*routes.Conn); ok {
		return known
	}
	c.TrackWrites()
	rc := &routes.Conn{ID: c.ID(), FirstByte: c.FirstByte(), Remote: c.RemoteAddr(), CanProve: c.CanProve()}
	c.SetValue(rc)
	return rc
}

// unregisterBroker answers code 104. It is applied before it is answered; one that lacks a field is ignored, where the
// original would abandon the whole batch it came in.
func (n *Node) unregisterBroker(c *rpc.Conn, req *remoting.Request, _ *remoting.Response) {
	u := routes.Unregistration{Conn: c.ID(), At: c.FrameStart()}
	var haveCluster, haveAddr, haveName, haveID bool
	u.Cluster, haveCluster = req.Str("clusterName")
	u.Addr, haveAddr = req.Str("brokerAddr")
	u.Name, haveName = req.Str("brokerName")
	u.ID, haveID = req.Int64("brokerId")
	if !haveCluster || !haveAddr || !haveName || !haveID {
		n.log.Warn("unregister ignored: a field is missing", "remote", c.RemoteAddr(), "cluster", u.Cluster,
			"addr", u.Addr, "broker", u.Name, "id", u.ID)
		return
	}
	left, eff := n.table.Unregister(&u)
	n.apply(eff)
	if n.depart != nil {
		n.depart.left(c, &u, &left, req.IsOneway())
	}
}

// brokerHeartbeat answers code 904. A broker that is not known is ignored, as in the original.
func (n *Node) brokerHeartbeat(req *remoting.Request, resp *remoting.Response) {
	cluster, addr, ok := liveKey(req, resp)
	if ok {
		n.table.Heartbeat(cluster, addr)
	}
}

// liveKey reads the key of the live table; without it the original fails.
func liveKey(req *remoting.Request, resp *remoting.Response) (cluster, addr string, ok bool) {
	cluster, haveCluster := req.Str("clusterName")
	addr, haveAddr := req.Str("brokerAddr")
	if !haveCluster || !haveAddr {
		failed(resp, "clusterName or brokerAddr: missing")
		return "", "", false
	}
	return cluster, addr, true
}

// queryDataVersion answers code 322: whether the broker has to register again. It refreshes last-seen in any case.
func (n *Node) queryDataVersion(req *remoting.Request, resp *remoting.Response) {
	sent, ok, err := body.DecodeDataVersion(req.Body, time.Now().UnixMilli())
	if err != nil {
		failed(resp, "decode data version: "+err.Error())
		return
	}
	cluster, addr, keyed := liveKey(req, resp)
	if !keyed {
		return
	}
	var version *routes.DataVersion
	if ok {
		version = (*routes.DataVersion)(&sent)
	}
	stored, known, changed := n.table.QueryDataVersion(cluster, addr, version)
	resp.Set("changed", strconv.FormatBool(changed))
	if known {
		resp.Body = body.AppendDataVersion(nil, body.DataVersion(stored))
	}
}

// getMemberGroup answers code 901. The remark beside code 0 is the original's.
func (n *Node) getMemberGroup(req *remoting.Request, resp *remoting.Response) {
	var g body.MemberGroup
	g.Cluster.S, g.Cluster.Valid = req.Str("clusterName")
	g.BrokerName.S, g.BrokerName.Valid = req.Str("brokerName")
	if g.BrokerName.Valid {
		g.Addrs = wireMembers(n.table.MemberGroup(g.BrokerName.S))
	}
	resp.Body = body.AppendMemberGroup(nil, &g)
	resp.Remark, resp.HasRemark = "not set any response code", true
}

// getClusterInfo answers code 106.
func (n *Node) getClusterInfo(resp *remoting.Response) {
	resp.Body = body.AppendClusterInfo(nil, wireClusterInfo(n.table.ClusterInfo()))
}

// writePerm answers codes 205 and 327 with the number of topics that the broker has.
func (n *Node) writePerm(req *remoting.Request, resp *remoting.Response, count string,
	change func(broker string) (int, routes.Effects),
) {
	broker, _ := req.Str("brokerName")
	topics, eff := change(broker)
	n.apply(eff)
	resp.Set(count, strconv.Itoa(topics))
}
