package bench

// runClosed keeps depth requests in flight until the cell is over: each answer is followed by the next request,
// and everything that one read brought is answered by one write. In batches all depth answers come first: a read of TLS
// brings no more than a record of them, after which the batches would become ever smaller.
func (lc *loadConn) runClosed() error {
	missing, least := lc.cell.depth, 1
	if lc.cell.batches {
		least = lc.cell.depth
	}
	for lc.cell.phase.Load() != phaseDone {
		start := lc.cell.now()
		for range missing {
			lc.request(start) // there are more slots than requests in flight
		}
		if len(lc.out) > 0 {
			if err := lc.flush(); err != nil {
				return lc.ended(err)
			}
		}
		for missing = 0; missing < least; {
			landed, err := lc.receive()
			if err != nil {
				return lc.ended(err)
			}
			missing += landed
		}
	}
	return nil
}
