package remoting

import "testing"

// routeQuery is the frame of an ordinary 105 request, without its length.
func routeQuery(form SerializeType) []byte {
	return AppendRequest(nil, &Command{Type: form, Code: GetRouteInfoByTopic, Version: 513, Opaque: 12345,
		Ext: map[string]string{"topic": "TopicTest", "acceptStandardJsonOnly": "true"}})[lengthLen:]
}

func benchmarkDecode(b *testing.B, frame []byte) {
	var r Request
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Decode(frame, &r); err != nil || r.Code != GetRouteInfoByTopic {
			b.Fatal(r.Code, err)
		}
	}
}

// BenchmarkDecodeRepeated is of headers that follow one that is alike.
func BenchmarkDecodeRepeated(b *testing.B) {
	var r Request
	var d Repeats
	frame := routeQuery(JSON)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(frame, &r); err != nil || r.Code != GetRouteInfoByTopic {
			b.Fatal(r.Code, err)
		}
	}
}

func BenchmarkDecodeJSON(b *testing.B)   { benchmarkDecode(b, routeQuery(JSON)) }
func BenchmarkDecodeBinary(b *testing.B) { benchmarkDecode(b, routeQuery(RocketMQ)) }

func benchmarkResponse(b *testing.B, form SerializeType) {
	r := Response{Opaque: 12345, Body: make([]byte, 1000)}
	out := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		out = AppendResponse(out[:0], form, &r)
	}
}

func BenchmarkResponseJSON(b *testing.B)   { benchmarkResponse(b, JSON) }
func BenchmarkResponseBinary(b *testing.B) { benchmarkResponse(b, RocketMQ) }
