package admin

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/epitaph-mq/epitaph/api"
)

// A bucket of times is an eighth of an octave, from 128 ns on: a quantile is told too high by at most an eighth.
const (
	timeUnit    = 7 // bits of a nanosecond count below the finest bucket
	timeSteps   = 8 // buckets an octave
	timeBuckets = 28 * timeSteps
)

// times counts how long requests of one code took. Only a share of them is timed, so the counters are seldom touched.
type times [timeBuckets]atomic.Uint64

func (t *times) add(took time.Duration) { t[bucketOf(took)].Add(1) }

// bucketOf is the bucket of a time; the last one also takes what is longer than all.
func bucketOf(took time.Duration) int {
	v := uint64(max(took, 0)) >> timeUnit
	if v < timeSteps {
		return int(v)
	}
	octave := bits.Len64(v) - 3 // 2 and above: v has this many bits above the three that tell the step
	step := int(v>>(octave-1)) & (timeSteps - 1)
	return min(octave*timeSteps+step, timeBuckets-1)
}

// bucketTop is the time that everything in a bucket stays below.
func bucketTop(bucket int) time.Duration {
	octave, step := bucket/timeSteps, bucket%timeSteps
	if octave == 0 {
		return time.Duration(step+1) << timeUnit
	}
	return time.Duration(timeSteps+step+1) << (octave - 1 + timeUnit)
}

// list is what was counted, by rising time.
func (t *times) list() (all []api.Time, sum uint64) {
	all = []api.Time{}
	for b := range t {
		if n := t[b].Load(); n > 0 {
			all = append(all, api.Time{Below: float64(bucketTop(b).Nanoseconds()) / 1000, Count: n})
			sum += n
		}
	}
	return all, sum
}
