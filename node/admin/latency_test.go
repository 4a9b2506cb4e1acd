package admin

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Every time is below the top of its bucket, by at most an eighth, and not below the top of the bucket before.
func TestTimeBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		took := time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "took"))
		b := bucketOf(took)
		top := bucketTop(b)
		if took >= top || b > 0 && took < bucketTop(b-1) {
			t.Fatalf("%v in bucket %d below %v", took, b, top)
		}
		if top-took > took/8+1<<timeUnit {
			t.Fatalf("%v is told as %v", took, top)
		}
	})
	for _, took := range []time.Duration{-time.Second, 1 << 62} {
		if b := bucketOf(took); b < 0 || b >= timeBuckets {
			t.Errorf("%v: bucket %d", took, b)
		}
	}
}
