package impair

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func TestMain(m *testing.M) { kit.MainWithoutLeaks(m) }

func pair(t *testing.T, n *Network) (a, b *Transport) {
	t.Helper()
	var both [2]*Transport
	for i := range both {
		var err error
		if both[i], err = n.Listen("127.0.0.1", uint64(i)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { both[i].Shutdown() })
	}
	return both[0], both[1]
}

// received reads packets until a marker that is sent last, without loss, has come.
func received(t *testing.T, to *Transport, n *Network, from *Transport, send int) (got int) {
	t.Helper()
	done := make(chan int)
	go func() {
		count := 0
		for p := range to.PacketCh() {
			if string(p.Buf) == "end" {
				done <- count
				return
			}
			count++
		}
	}()
	for range send {
		if _, err := from.WriteTo([]byte("x"), to.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	n.Hinder(0, 0)
	n.Partition(nil)
	for {
		from.WriteTo([]byte("end"), to.Addr())
		select {
		case count := <-done:
			return count
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func TestPacketsAreLost(t *testing.T) {
	n := &Network{}
	a, b := pair(t, n)
	if got := received(t, b, n, a, 100); got != 100 {
		t.Errorf("without loss %d of 100 arrived", got)
	}
	n.Hinder(0.3, 0)
	before := n.Traffic()
	got := received(t, b, n, a, 1000)
	lost := n.Traffic().Since(before).Lost
	if got > 800 || got < 500 || lost != int64(1000-got) {
		t.Errorf("with a loss of 30 %% %d of 1000 arrived and %d were counted as lost", got, lost)
	}
}

func TestPartitionTakesEveryPacket(t *testing.T) {
	n := &Network{}
	a, b := pair(t, n)
	n.Partition(map[string]int{b.Addr(): 1})
	if got := received(t, b, n, a, 100); got != 0 {
		t.Errorf("%d packets crossed the partition", got)
	}
}

func TestPacketsAreDelayed(t *testing.T) {
	n := &Network{}
	a, b := pair(t, n)
	n.Hinder(0, 50*time.Millisecond)
	began := time.Now()
	a.WriteTo([]byte("x"), b.Addr())
	<-b.PacketCh()
	if d := time.Since(began); d < 50*time.Millisecond {
		t.Errorf("arrived after %v", d)
	}
}

func TestStreamsCarryAndWaitOutAPartition(t *testing.T) {
	n := &Network{}
	a, b := pair(t, n)
	go func() {
		conn := <-b.StreamCh()
		defer conn.Close()
		io.Copy(conn, conn)
	}()
	n.Hinder(0, 5*time.Millisecond)
	conn, err := a.DialAddressTimeout(memberlist.Address{Addr: b.Addr()}, 10*time.Second)
	kit.Must(t, err)
	defer conn.Close()
	began := time.Now()
	buf := make([]byte, 5)
	say := func() {
		t.Helper()
		if _, err := conn.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	say()
	if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "hello" {
		t.Fatalf("%q %v", buf, err)
	}
	if d := time.Since(began); d < 10*time.Millisecond {
		t.Errorf("there and back took %v with 5 ms each way", d)
	}
	n.Partition(map[string]int{b.Addr(): 1})
	say()
	conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := conn.Read(buf); err == nil {
		t.Fatal("an answer crossed the partition")
	}
	n.Partition(nil)
	conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.ReadFull(conn, buf); err != nil {
		t.Errorf("after the partition had healed: %v", err)
	}
	n.Partition(map[string]int{b.Addr(): 1})
	if c, err := a.DialTimeout(b.Addr(), 50*time.Millisecond); err == nil {
		c.Close()
		t.Error("a stream was opened across the partition")
	}
	if conn.RemoteAddr().(*net.TCPAddr).String() != b.Addr() {
		t.Errorf("remote address %v", conn.RemoteAddr())
	}
}

// A lost segment costs at least one retransmission timeout.
func TestLostSegmentsAreLate(t *testing.T) {
	n := &Network{}
	a, _ := pair(t, n)
	n.Hinder(0.5, 0)
	late := 0
	for range 1000 {
		if a.segmentDelay() >= segmentTimeout {
			late++
		}
	}
	if late < 400 || late > 600 {
		t.Errorf("%d of 1000 segments were late", late)
	}
}
