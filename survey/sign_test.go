package survey

import (
	"fmt"
	"strings"
	"testing"
)

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
