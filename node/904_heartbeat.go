package node

// BROKER_HEARTBEAT (904), by 5.0.0 and later, and QUERY_DATA_VERSION (322), by every version: both are signs of life. No
// deviation.

import (
	"strconv"
	"time"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

// brokerHeartbeat answers code 904. A broker that is not known is ignored, as in the original.
func (n *Node) brokerHeartbeat(_ *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
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
func (n *Node) queryDataVersion(_ *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	sent, ok, err := body.DecodeDataVersion(req.Body, time.Now().UnixMilli())
	if err != nil {
		failed(resp, "decode data version: "+err.Error())
		return
	}
	cluster, addr, keyed := liveKey(req, resp)
	if !keyed {
		return
	}
	var version *mq.DataVersion
	if ok {
		version = &sent
	}
	stored, known, changed := n.table.QueryDataVersion(cluster, addr, version)
	resp.Set("changed", strconv.FormatBool(changed))
	if known {
		resp.Body = body.AppendDataVersion(nil, stored)
	}
}
