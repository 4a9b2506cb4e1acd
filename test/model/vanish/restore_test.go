package vanish

import "testing"

// TestPutBack: V-18 holds in every world.
func TestPutBack(t *testing.T) {
	worlds, back, broken := Restorer{}.Search()
	t.Logf("%d worlds, put back %d times", worlds, back)
	if broken != "" || back == 0 {
		t.Errorf("put back %d times: %s", back, broken)
	}
}

// TestEachPartOfPuttingBackIsNeeded: with any part left out V-18 is broken.
func TestEachPartOfPuttingBackIsNeeded(t *testing.T) {
	for hole := RegisterTouchesNothing; hole < holes; hole++ {
		worlds, _, broken := Restorer{Hole: hole}.Search()
		if broken == "" {
			t.Errorf("%s: nothing is broken in %d worlds", holeNames[hole], worlds)
		} else {
			t.Logf("%s: %d worlds: %.120s", holeNames[hole], worlds, broken)
		}
	}
}
