package node

// KV values: PUT_KV_CONFIG (100), GET_KV_CONFIG (101), DELETE_KV_CONFIG (102) and GET_KVLIST_BY_NAMESPACE (219), by every
// version. Deviations: DEV-8 (the file is replaced atomically), DEV-12 (a write that cannot be persisted fails),
// DEV-17 (names, values and the store have a limit).

import (
	"github.com/epitaph-mq/epitaph/node/kvconfig"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

// putKV answers code 100. A value that is missing stores nothing but brings the namespace into being, which is all
// that a reader of the original's null can see.
func (n *Node) putKV(c *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	if n.kvMissing(resp) {
		return
	}
	namespace, haveNamespace := req.Str("namespace")
	key, haveKey := req.Str("key")
	if !haveNamespace || !haveKey {
		resp.Fail(remoting.SystemError, "namespace or key is null")
		return
	}
	value, haveValue := req.Str("value")
	var err error
	switch {
	case len(namespace) > body.MaxName:
		failed(resp, "namespace"+overlong)
		return
	case len(key) > body.MaxName:
		failed(resp, "key"+overlong)
		return
	}
	if haveValue {
		err = n.kv.Put(namespace, key, value)
	} else {
		err = n.kv.PutNull(namespace, key)
	}
	n.changedKV(c, resp, "put", namespace, key, err)
}

// deleteKV answers code 102: with 0, also when there is nothing to delete.
func (n *Node) deleteKV(c *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	if n.kvMissing(resp) {
		return
	}
	namespace, _ := req.Str("namespace")
	key, _ := req.Str("key")
	n.changedKV(c, resp, "delete", namespace, key, n.kv.Delete(namespace, key))
}

// changedKV tells the truth about a write that could not be persisted: the original answers 0.
func (n *Node) changedKV(c *rpc.Conn, resp *remoting.Response, how, namespace, key string, err error) {
	if err != nil {
		n.log.Error("kv config not changed", "how", how, "namespace", namespace, "key", key, "remote", c.RemoteAddr().String(), "source", c.Source().Addr.String(), "err", err)
		resp.Fail(remoting.SystemError, err.Error())
		return
	}
	n.log.Info("kv config changed", "how", how, "namespace", namespace, "key", key, "remote", c.RemoteAddr().String(), "source", c.Source().Addr.String())
	if namespace == kvconfig.OrderTopicConfig && n.runtime.Options().OrderMessageEnable { // else no route has any of it
		n.table.InvalidateAll()
	}
}

// getKV answers code 101.
func (n *Node) getKV(_ *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	if n.kvMissing(resp) {
		return
	}
	resp.HasExt = true
	namespace, haveNamespace := req.Str("namespace")
	key, haveKey := req.Str("key")
	if haveNamespace && haveKey {
		if value, ok := n.kv.Get(namespace, key); ok {
			resp.Set("value", value)
			return
		}
	}
	resp.Fail(remoting.QueryNotFound,
		"No config item, Namespace: "+orNull(namespace, haveNamespace)+" Key: "+orNull(key, haveKey))
}

// listKV answers code 219.
func (n *Node) listKV(_ *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	if n.kvMissing(resp) {
		return
	}
	namespace, named := req.Str("namespace")
	if named {
		if table, known := n.kv.List(namespace); known {
			resp.Body = table
			return
		}
	}
	resp.Fail(remoting.QueryNotFound, "No config item, Namespace: "+orNull(namespace, named))
}

// kvMissing answers for a node that serves routes alone (--kv-missing=serve).
func (n *Node) kvMissing(resp *remoting.Response) bool {
	why := n.kv.Missing()
	if why != nil {
		resp.Fail(remoting.SystemError, why.Error())
	}
	return why != nil
}

// orNull is how Java prints a missing string.
func orNull(s string, there bool) string {
	if !there {
		return "null"
	}
	return s
}
