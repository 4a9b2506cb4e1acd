//go:build !linux

package bench

import (
	"errors"
	"syscall"
	"time"
)

var errNoProc = errors.New("CPU time and memory of another process are only read on Linux")

type threadTimes map[string]time.Duration

func readThreads(int) (threadTimes, error)            { return nil, errNoProc }
func (t threadTimes) since(threadTimes) time.Duration { return 0 }
func readRSS(int) (int64, error)                      { return 0, errNoProc }
func readProcess(int) (processState, error)           { return processState{}, errNoProc }
func forgetPeak(int)                                  {}
func listener(int) int                                { return 0 }
func dieWithParent() *syscall.SysProcAttr             { return &syscall.SysProcAttr{Setpgid: true} }

func schedulingPolicy() string { return "" }
