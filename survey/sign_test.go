package survey

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/remoting"
)

// The signature is the one that AclClientRPCHook of RocketMQ 4.9.7 made of the same request.
func TestSignature(t *testing.T) {
	ext := map[string]string{"topic": "orders", "zebra": "z", "AAA": "first"}
	c := &remoting.Command{Code: 105, Ext: ext, Body: []byte("body")}
	(&Key{"rocketmq2", "12345678"}).sign(c)
	want := map[string]string{"topic": "orders", "zebra": "z", "AAA": "first", "AccessKey": "rocketmq2", "Signature": "O9PcH0vEHCk6SnJ+1sssS60lLbo="}
	if !maps.Equal(c.Ext, want) || len(ext) != 3 {
		t.Errorf("signed %v, want %v", c.Ext, want)
	}
	bare := &remoting.Command{Code: 106}
	(&Key{"rocketmq2", "12345678"}).sign(bare)
	if len(bare.Ext) != 2 || bare.Ext["Signature"] == "" {
		t.Errorf("%v", bare.Ext)
	}
}

func TestParseKey(t *testing.T) {
	for text, want := range map[string]string{
		"accessKey: rocketmq2\nsecretKey: 12345678\n":                              "rocketmq2 12345678",
		"# comment\n---\naccessKey:  'a b' # who\nsecretKey: \"it's\"\nother: 1\n": "a b it's",
		"\ufeffaccessKey: k\r\nsecretKey: s#1\r\naccounts:\n  - accessKey: no\n":   "k s#1",
		"\"accessKey\": k\n'secretKey': http://x\n":                                "k http://x",
	} {
		k, err := ParseKey([]byte(text))
		if err != nil || k.Access+" "+k.secret != want {
			t.Errorf("%q: %v %v", text, k, err)
		}
	}
	for _, text := range []string{
		"", "accessKey: k\n", "accessKey: k\nsecretKey:\n", "accessKey: k\nsecretKey: 0123secret9\nno", "accessKey: k\nsecretKey: 0123\n", "accessKey: k\nsecretKey: 1_000\n",
		"accessKey: k\nsecretKey: 1e5\n", "accessKey: k\nsecretKey: true\n", "accessKey: k\nsecretKey: |\n  x\n", "accessKey: k\nsecretKey: \"a\\n\"\n",
		"accessKey: k\nsecretKey: 'open\n", "accessKey: k\nsecretKey:tight\n",
	} {
		if k, err := ParseKey([]byte(text)); err == nil {
			t.Errorf("%q was taken: %v", text, k)
		} else if strings.Contains(err.Error(), "0123") || strings.Contains(err.Error(), "tight") {
			t.Errorf("%q: the error shows the secret: %v", text, err)
		}
	}
	k := &Key{"name", "hidden"}
	if text := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); strings.Contains(text, "hidden") {
		t.Errorf("the secret is printed: %s", text)
	}
}
