package kit

import (
	"os/exec"
	"syscall"
)

// dieWithParent ends the program when the test binary dies without cleaning up (a panic, a timeout).
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
