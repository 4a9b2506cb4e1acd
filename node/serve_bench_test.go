package node

import (
	"log/slog"
	"testing"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// BenchmarkServe measures what a node adds to a decoded request: dispatch, counts and handler.
func BenchmarkServe(b *testing.B) {
	cfg := config.Default(config.System{UserHome: b.TempDir()})
	n, err := New(cfg, slog.New(slog.DiscardHandler))
	kit.Must(b, err)
	conn := new(rpc.Conn)
	conn.SetValue(&routes.Conn{ID: 1, FirstByte: clock.Now()})
	request := func(code int32, ext map[string]string, body string) *remoting.Request {
		frame := remoting.AppendRequest(nil, &remoting.Command{Code: code, Version: remoting.Version, Ext: ext, Body: []byte(body)})
		r := new(remoting.Request)
		kit.Must(b, remoting.Decode(frame[4:], r))
		return r
	}
	register := request(remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	var resp remoting.Response
	n.Serve(conn, register, &resp)
	for name, req := range map[string]*remoting.Request{
		"route":      request(remoting.GetRouteInfoByTopic, map[string]string{"topic": "TA"}, ""),
		"register":   register,
		"heartbeat":  request(remoting.BrokerHeartbeat, map[string]string{"clusterName": "C1", "brokerAddr": "1.1.1.1:10911"}, ""),
		"no such":    request(9999, nil, ""),
		"no changes": request(remoting.QueryDataVersion, map[string]string{"clusterName": "C1", "brokerAddr": "1.1.1.1:10911"}, `{"counter":1}`),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				resp.Reset()
				n.Serve(conn, req, &resp)
			}
		})
	}
}
