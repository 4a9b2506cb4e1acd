package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// These are about what surrounds a server: pipes, terminals, signals. Each server is a process of its own.

// promptly is how long what must happen at once may take on a busy machine; it is awaited, not slept.
const promptly = 10 * time.Second

// process is a server of this test, in a session of its own.
type process struct {
	cmd    *exec.Cmd
	addr   string
	http   string        // empty where it is off
	stdout *bufio.Reader // behind the line with the address
	ended  chan error
}

// outside starts a server and waits until it says where it listens. Unless set, it reads nothing and its stderr is that
// of the test.
func outside(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	out, stdout, err := os.Pipe()
	kit.Must(t, err)
	cmd.Stdout = stdout
	p := launch(t, cmd)
	stdout.Close()
	t.Cleanup(func() { out.Close() })
	p.stdout = bufio.NewReader(out)
	told := false // whether there is HTTP
	for serve := slices.Contains(cmd.Args, "serve"); p.addr == "" || serve && !told; {
		line, err := p.stdout.ReadString('\n')
		if m := listening.FindStringSubmatch(line); m != nil {
			p.addr = m[1]
		} else if m := httpLine.FindStringSubmatch(line); m != nil {
			p.http, told = m[1], true
		} else if err != nil {
			t.Fatalf("not started: %v, %q", <-p.ended, line)
		}
	}
	return p
}

// launch starts a server and waits for nothing.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	kit.Must(t, cmd.Start())
	p := &process{cmd: cmd, ended: make(chan error, 1)}
	go func() { p.ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return p
}

func (p *process) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	kit.Must(t, p.cmd.Process.Signal(sig))
}

// dropped is how many lines of its log were lost.
func (p *process) dropped(t *testing.T) float64 {
	t.Helper()
	return p.metric(t, "epitaph_log_lines_dropped_total")
}

func (p *process) metric(t *testing.T, series string) float64 {
	t.Helper()
	_, metrics := kit.Get("http://" + p.http + "/metrics")
	n, err := kit.Series(metrics, series)
	kit.Must(t, err)
	return n
}

// ends awaits the exit status.
func (p *process) ends(t *testing.T, within time.Duration, want int) {
	t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.ended:
		if got := p.cmd.ProcessState; got.ExitCode() != want {
			t.Errorf("%s, want exit status %d", got, want)
		}
	case <-timer.C:
		t.Errorf("lives after %s", within)
	}
}

func serving1(data string, args ...string) *exec.Cmd {
	return exec.Command("epitaph", append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data}, args...)...)
}

// fifo is a named pipe whose writing end a process can have as its stderr while readers come and go.
type fifo struct {
	path   string
	writer *os.File
}

func newFIFO(t *testing.T) (f fifo, reader *os.File) {
	t.Helper()
	f.path = filepath.Join(t.TempDir(), "log")
	kit.Must(t, unix.Mkfifo(f.path, 0o600))
	reader = f.reader(t)
	writer, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	kit.Must(t, err)
	f.writer = writer
	t.Cleanup(func() { writer.Close() })
	return f, reader
}

func (f fifo) reader(t *testing.T) *os.File {
	t.Helper()
	r, err := os.OpenFile(f.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	kit.Must(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// awaitLine reads until a line has all the words. Bytes that are not a whole line yet stay in the reader.
func awaitLine(t *testing.T, r *bufio.Reader, words ...string) string {
	t.Helper()
	found := make(chan string, 1)
	go func() {
		for {
			line, err := r.ReadString('\n')
			if err == nil && kit.ContainsAll(line, words...) {
				found <- line
				return
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return
			}
		}
	}()
	timer := time.NewTimer(promptly)
	defer timer.Stop()
	select {
	case line := <-found:
		return line
	case <-timer.C:
		t.Fatalf("no line with %q", words)
		return ""
	}
}

// The reader of the log goes away a thousand times, each time with lines that nobody takes: the node lives, and tells
// each reader how many were dropped.
func TestNodeOutlivesTheReadersOfItsLog(t *testing.T) {
	f, reader := newFIFO(t)
	cmd := serving1(t.TempDir(), "--http", "127.0.0.1:0")
	cmd.Stderr = f.writer
	p := outside(t, cmd)
	for range 1000 {
		reader.Close()
		p.signal(t, syscall.SIGHUP) // a line of the log
		select {
		case err := <-p.ended:
			t.Fatalf("the node ended: %v", err)
		default:
		}
		reader = f.reader(t)
		p.signal(t, syscall.SIGHUP)
		buf := make([]byte, 1<<16)
		for n := 0; n == 0; { // no writer of ours can be missing, so an empty read is one before the line
			n, _ = reader.Read(buf)
		}
	}
	reader.Close()
	before := p.dropped(t)
	kit.Until(t, "what nobody takes is counted", func() bool {
		p.signal(t, syscall.SIGHUP)
		return p.dropped(t) > before
	})
	lines := bufio.NewReader(f.reader(t))
	p.signal(t, syscall.SIGHUP)
	awaitLine(t, lines, "dropped before this one", "dropped=")
	if !connects(p.addr) {
		t.Error("does not serve")
	}
	p.signal(t, syscall.SIGTERM)
	p.ends(t, promptly, 0)
}

// The same where lines go to stdout, which is written to as it is.
func TestNodeOutlivesTheReaderOfStdout(t *testing.T) {
	out, stdout, err := os.Pipe()
	kit.Must(t, err)
	cmd := serving1(t.TempDir(), "--log-to", "stdout")
	cmd.Stdout = stdout
	p := launch(t, cmd)
	stdout.Close()
	first := bufio.NewReader(out)
	for p.addr == "" {
		line, err := first.ReadString('\n')
		kit.Must(t, err)
		if m := listening.FindStringSubmatch(line); m != nil {
			p.addr = m[1]
		}
	}
	kit.Must(t, out.Close())
	for range 3 { // each registration is a line
		comeAndGo(t, p.addr, 0)
	}
	p.signal(t, syscall.SIGTERM)
	p.ends(t, promptly, 0)
}

// fill leaves no room in a pipe, a terminal or a socket.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	raw, err := w.SyscallConn()
	kit.Must(t, err)
	kit.Must(t, raw.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		kit.Must(t, err)
		kit.Must(t, unix.SetNonblock(int(fd), true))
		for page := make([]byte, 4096); ; {
			if _, err := unix.Write(int(fd), page); err != nil {
				break
			}
		}
		_, err = unix.FcntlInt(fd, unix.F_SETFL, flags) // others share them
		kit.Must(t, err)
	}))
}

func crashOf(t *testing.T, dir string) string {
	t.Helper()
	trace, err := os.ReadFile(filepath.Join(dir, "crash.log"))
	kit.Must(t, err)
	return string(trace)
}

// stderrs are what descriptor 2 of a program can be: the end for the program, and what makes the other end once it runs.
var stderrs = map[string]func(t *testing.T) (w *os.File, r func() *os.File){
	"pipe": func(t *testing.T) (*os.File, func() *os.File) {
		r, w, err := os.Pipe()
		kit.Must(t, err)
		return w, func() *os.File { return r }
	},
	"pipe that cannot be opened": func(t *testing.T) (*os.File, func() *os.File) {
		f, reader := newFIFO(t)
		reader.Close() // without a reader none can be opened for writing
		return f.writer, func() *os.File { return f.reader(t) }
	},
	"terminal": func(t *testing.T) (*os.File, func() *os.File) {
		master, slave := newTerminal(t)
		return slave, func() *os.File { return master }
	},
	"socket": func(t *testing.T) (*os.File, func() *os.File) {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		kit.Must(t, err)
		return os.NewFile(uintptr(pair[0]), "w"), func() *os.File { return os.NewFile(uintptr(pair[1]), "r") }
	},
}

// A panic ends the program at once, whatever its stderr is, and also when nobody reads it. The trace is in crash.log, goes
// to who reads, and is told at the next start.
func TestPanicWaitsForNobody(t *testing.T) {
	for kind, made := range stderrs {
		for _, stalls := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, nobody reads %t", kind, stalls), func(t *testing.T) {
				dir := t.TempDir()
				w, open := made(t)
				cmd := exec.Command("panics", serving1(dir).Args[1:]...)
				cmd.Stderr = w
				p := outside(t, cmd)
				r := open()
				t.Cleanup(func() { r.Close() })
				if stalls {
					fill(t, w)
				}
				p.signal(t, syscall.SIGTERM)
				p.ends(t, promptly, 2)
				w.Close()
				if trace := crashOf(t, dir); !strings.Contains(trace, "panic: told to stop") || !strings.Contains(trace, "panicking.Drain") {
					t.Errorf("crash.log: %q", trace)
				}
				if stalls {
					if strings.HasPrefix(kind, "pipe") {
						kit.Until(t, "no child process holds the pipe", func() bool { return hungUp(t, r) })
					}
					theNextStartTells(t, dir)
					return
				}
				lines := bufio.NewReader(r)
				awaitLine(t, lines, "panic: told to stop")
				awaitLine(t, lines, "panicking.Drain")
			})
		}
	}
}

// hungUp tells whether nobody can write to r any more, whatever waits in it.
func hungUp(t *testing.T, r *os.File) bool {
	t.Helper()
	raw, err := r.SyscallConn()
	kit.Must(t, err)
	var fds [1]unix.PollFd
	kit.Must(t, raw.Control(func(fd uintptr) {
		fds[0] = unix.PollFd{Fd: int32(fd)}
		_, err = unix.Poll(fds[:], 0)
	}))
	return fds[0].Revents&unix.POLLHUP != 0
}

func theNextStartTells(t *testing.T, dir string) {
	t.Helper()
	next := serving1(dir)
	var log bytes.Buffer
	next.Stderr = &log
	p := outside(t, next)
	p.signal(t, syscall.SIGTERM)
	p.ends(t, promptly, 0)
	if !kit.ContainsAll(log.String(), "the last run crashed", "panic: told to stop", "crash.last.log") || crashOf(t, dir) != "" {
		t.Errorf("the next start says %s", &log)
	}
}

// asNobody lets root's cmd run as a user who owns nothing, with a copy of the program in dir, which becomes everybody's.
func asNobody(t *testing.T, cmd *exec.Cmd, dir string) {
	t.Helper()
	for d := dir; strings.HasPrefix(d, os.TempDir()) && d != os.TempDir(); d = filepath.Dir(d) {
		kit.Must(t, os.Chmod(d, 0o755))
	}
	kit.Must(t, os.Chmod(dir, 0o777))
	program, err := exec.LookPath("epitaph")
	kit.Must(t, err)
	text, err := os.ReadFile(program) // where the other user reaches it
	kit.Must(t, err)
	cmd.Path = filepath.Join(dir, "epitaph")
	kit.Must(t, os.WriteFile(cmd.Path, text, 0o755))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

// A socket of another user is there, and is not taken for none.
func TestFindWhatIsNotOurs(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "epitaph.sock")
	listenAt(t, socket)
	kit.Must(t, os.Chmod(socket, 0))
	cmd := exec.Command("epitaph", "brokers")
	cmd.Env = append(os.Environ(), "EPITAPH_DATA="+dir)
	if os.Getuid() == 0 { // who may open every socket
		asNobody(t, cmd, dir)
	}
	said, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(said), socket+" is for its owner alone") {
		t.Errorf("%v, %s", err, said)
	}
}

// A pipe of another user cannot be opened anew: a child process empties ours into it, and ends with the program.
func TestPipeOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, not proven on this machine: only root can run the program as another user")
	}
	dir := t.TempDir()
	r, w, err := os.Pipe()
	kit.Must(t, err)
	defer r.Close()
	cmd := serving1(dir)
	cmd.Stderr = w
	asNobody(t, cmd, dir)
	p := outside(t, cmd)
	w.Close()
	lines := bufio.NewReader(r)
	p.signal(t, syscall.SIGHUP)
	awaitLine(t, lines, "reloaded")
	p.signal(t, syscall.SIGTERM)
	awaitLine(t, lines, "stopping")
	p.ends(t, promptly, 0)
	kit.Must(t, r.SetReadDeadline(time.Now().Add(promptly)))
	if rest, err := io.ReadAll(lines); err != nil { // the pipe ends with the child
		t.Errorf("the child lives: %v, %s", err, rest)
	}
}

// terminal is a controlling terminal for a server, and the master of it.
func newTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIPPED, not proven on this machine: there are no pseudo terminals: %v", err)
	}
	raw, err := master.SyscallConn()
	kit.Must(t, err)
	number := 0
	kit.Must(t, raw.Control(func(fd uintptr) {
		kit.Must(t, unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0))
		number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
	}))
	kit.Must(t, err)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	kit.Must(t, err)
	t.Cleanup(func() { master.Close(); slave.Close() })
	return master, slave
}

// onTerminal gives cmd slave as its controlling terminal and its stdin.
func onTerminal(cmd *exec.Cmd, slave *os.File) *exec.Cmd {
	cmd.Stdin = slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return cmd
}

// SIGHUP ends a server whose terminal was closed. It does not when the terminal is still there, when there never was
// one, and when it was ignored at the start.
func TestHangup(t *testing.T) {
	t.Run("sent, terminal there", func(t *testing.T) {
		_, slave := newTerminal(t)
		r, w, err := os.Pipe()
		kit.Must(t, err)
		defer r.Close()
		cmd := onTerminal(serving1(t.TempDir()), slave)
		cmd.Stderr = w
		p := outside(t, cmd)
		p.signal(t, syscall.SIGHUP)
		awaitLine(t, bufio.NewReader(r), "reloaded")
		if !connects(p.addr) {
			t.Error("does not serve on")
		}
	})
	t.Run("terminal closed", func(t *testing.T) {
		master, slave := newTerminal(t)
		cmd := onTerminal(serving1(t.TempDir()), slave)
		cmd.Stderr = slave
		p := outside(t, cmd)
		slave.Close()
		master.Close()
		p.ends(t, promptly, 0)
	})
	t.Run("sent by a shell before the terminal closes", func(t *testing.T) {
		for range 5 { // a machine that is busy for a second makes it too late
			if shellTellsFirst(t) {
				return
			}
		}
		t.Error("the node has read its files again five times")
	})
	t.Run("ignored at the start", func(t *testing.T) {
		master, slave := newTerminal(t)
		cmd := onTerminal(exec.Command("sh", append([]string{"-c", `trap "" HUP; exec "$@"`, "sh"}, serving1(t.TempDir()).Args...)...), slave)
		p := outside(t, cmd)
		slave.Close()
		master.Close()
		p.signal(t, syscall.SIGHUP)
		p.signal(t, syscall.SIGQUIT)
		kit.Until(t, "it serves on", func() bool { return connects(p.addr) })
		p.signal(t, syscall.SIGTERM)
		p.ends(t, promptly, 0)
	})
}

// shellTellsFirst closes a terminal after its shell has sent SIGHUP and the node has looked at the terminal. It reports
// false when the node found that the terminal stays.
func shellTellsFirst(t *testing.T) bool {
	master, slave := newTerminal(t)
	// The shell leads the session, and the server is in a process group of its own: the kernel tells the shell alone that
	// the terminal is closed. The second signal is answered behind the first.
	script := `set -m; "$@" & trap 'kill $!; exit' USR2; trap 'kill -HUP $!; kill -QUIT $!' USR1; while :; do wait; done`
	cmd := onTerminal(exec.Command("sh", append([]string{"-c", script, "sh"}, serving1(t.TempDir()).Args...)...), slave)
	r, w, err := os.Pipe()
	kit.Must(t, err)
	defer r.Close()
	cmd.Stderr = w
	p := outside(t, cmd)
	w.Close()
	lines := bufio.NewReader(r)
	p.signal(t, syscall.SIGUSR1)
	kit.Must(t, r.SetReadDeadline(time.Now().Add(promptly)))
	for {
		line, err := lines.ReadString('\n')
		switch {
		case err != nil:
			t.Fatalf("%q, %v", line, err)
		case strings.Contains(line, "threads written"):
			slave.Close()
			master.Close()
		case kit.ContainsAll(line, "stopping", "the terminal was closed"):
			kit.Until(t, "the port is free", func() bool { return !connects(p.addr) })
			return true
		case strings.Contains(line, "msg=reloaded"):
			p.signal(t, syscall.SIGUSR2) // the shell's end is not that of the server
			return false
		}
	}
}

// A SIGINT that was ignored at the start stays ignored: it was meant for the script that started the node.
func TestInterruptMeantForTheScript(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("sh", append([]string{"-c", `trap "" INT; exec "$@"`, "sh"}, serving1(dir).Args...)...)
	r, w, err := os.Pipe()
	kit.Must(t, err)
	defer r.Close()
	cmd.Stderr = w
	p := outside(t, cmd)
	p.signal(t, syscall.SIGINT)
	p.signal(t, syscall.SIGHUP)
	awaitLine(t, bufio.NewReader(r), "reloaded") // it has seen both
	p.signal(t, syscall.SIGTERM)
	p.ends(t, promptly, 0)
}

// kill -3 writes what the runtime knows, and the node lives on.
func TestThreads(t *testing.T) {
	dir := t.TempDir()
	r, w, err := os.Pipe()
	kit.Must(t, err)
	defer r.Close()
	cmd := serving1(dir)
	cmd.Stderr = w
	p := outside(t, cmd)
	p.signal(t, syscall.SIGQUIT)
	awaitLine(t, bufio.NewReader(r), "threads written", filepath.Join(dir, "threads.log"))
	if text, err := os.ReadFile(filepath.Join(dir, "threads.log")); err != nil || !strings.Contains(string(text), "Full thread dump") {
		t.Errorf("%v: %.200s", err, text)
	}
	p.signal(t, syscall.SIGTERM)
	p.ends(t, promptly, 0)

	conf := filepath.Join(dir, "ns.conf")
	kit.Must(t, os.WriteFile(conf, []byte("bindAddress=127.0.0.1\nlistenPort=0\nkvConfigPath="+filepath.Join(dir, "kv.json")), 0o600))
	original := exec.Command("mqnamesrv", "-c", conf)
	original.Env = append(os.Environ(), "ROCKETMQ_HOME="+dir)
	p = outside(t, original)
	p.signal(t, syscall.SIGQUIT)
	awaitLine(t, p.stdout, "Full thread dump")
	p.signal(t, syscall.SIGTERM)
	p.ends(t, promptly, 143)
}

// A service manager sees that a signal ended the process, as of the original's shell: a stop. Status 143 is a failure to it.
func TestManagerSeesASignal(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "ns.conf")
	kit.Must(t, os.WriteFile(conf, []byte("bindAddress=127.0.0.1\nlistenPort=0\nkvConfigPath="+filepath.Join(dir, "kv.json")), 0o600))
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		cmd := exec.Command("sh", "-c", `SYSTEMD_EXEC_PID=$$ exec mqnamesrv -c "$0"`, conf)
		cmd.Env = append(os.Environ(), "ROCKETMQ_HOME="+dir, "JAVA_OPT_EXT=-Duser.home="+dir)
		p := outside(t, cmd)
		p.signal(t, sig)
		p.ends(t, promptly, -1)
		if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != sig {
			t.Errorf("%s: it ends with %s", sig, p.cmd.ProcessState)
		}
	}
}

// ROCKETMQ_HOME that names no installation does not keep the stand-in of mqnamesrv from serving, as it does the original's script;
// crash.log is empty unless there was a panic, and stays.
func TestHomeWithoutScripts(t *testing.T) {
	home, user := t.TempDir(), t.TempDir()
	bin := filepath.Join(home, "bin")
	kit.Must(t, os.Mkdir(bin, 0o700))
	for _, name := range []string{"mqnamesrv", "mqshutdown"} {
		kit.Must(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\necho the original is run; exit 9\n"), 0o700))
	}
	if out, err := exec.Command("epitaph", "install-compat", home).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	conf := filepath.Join(user, "ns.conf")
	kit.Must(t, os.WriteFile(conf, []byte("bindAddress=127.0.0.1\nlistenPort=0\n"), 0o600))
	for _, nowhere := range []string{t.TempDir(), filepath.Join(home, "absent")} {
		start := exec.Command("sh", filepath.Join(bin, "mqnamesrv"), "-c", conf)
		start.Env = append(os.Environ(), "ROCKETMQ_HOME="+nowhere, "JAVA_OPT_EXT=-Duser.home="+user, "EPITAPH_LOG_TO=file")
		p := outside(t, start)
		crash := crashOf(t, filepath.Join(user, "namesrv"))
		p.signal(t, syscall.SIGTERM)
		p.ends(t, promptly, 143)
		if crash += crashOf(t, filepath.Join(user, "namesrv")); crash != "" {
			t.Errorf("crash.log without a panic: %q", crash)
		}
	}
}

// A terminal that stands still (Ctrl-S) does not keep a cluster that draws on it from ending.
func TestClusterOnAStoppedTerminal(t *testing.T) {
	_, slave := newTerminal(t)
	fill(t, slave) // nobody reads
	data := t.TempDir()
	cmd := onTerminal(exec.Command("epitaph", "cluster", "--listen", "127.0.0.1:0", "--data", data, "--demo-brokers", "4"), slave)
	cmd.Env = append(os.Environ(), "TERM=xterm")
	cmd.Stdout, cmd.Stderr = slave, slave
	p := launch(t, cmd)
	kit.Until(t, "it works", func() bool {
		log, err := os.ReadFile(filepath.Join(data, "cluster.log"))
		return err == nil && bytes.Contains(log, []byte("broker registered"))
	})
	p.signal(t, syscall.SIGTERM)
	p.ends(t, promptly, 0)
}

// Somebody at a terminal is asked before many requests are sent; without a yes nothing is.
func TestAsksFirstAtATerminal(t *testing.T) {
	p := outside(t, serving1(t.TempDir()))
	topics := make([]string, askAbove+1)
	for i := range topics {
		topics[i] = fmt.Sprint("topic-", i)
	}
	c := kit.Dial(t, p.addr)
	if a := c.Call((&kit.Broker{Cluster: "c", Name: "b", Addr: "127.0.0.1:1", Version: 500, Language: "JAVA", Topics: topics}).Registration()); a.Code != 0 {
		t.Fatal(a)
	}
	for _, one := range []struct{ flag, answer, want string }{
		{"", "n", "nothing was asked; --yes asks without this question"},
		{"", "", "nothing was asked"},
		{"", "y", "broker-listed-but-gone"},
		{"--yes", "", "broker-listed-but-gone"},
	} {
		master, slave := newTerminal(t)
		cmd := onTerminal(exec.Command("epitaph", "doctor", "-n", p.addr, "--rate", "10000", "--settle", "1s"), slave)
		if one.flag != "" {
			cmd.Args = append(cmd.Args, one.flag)
		}
		cmd.Stdout, cmd.Stderr = slave, slave
		kit.Must(t, cmd.Start())
		slave.Close()
		text, asked := "", false
		for b := make([]byte, 4096); ; {
			n, err := master.Read(b)
			if text += string(b[:n]); !asked && strings.Contains(text, "go on? [y/N] ") {
				asked = true
				_, _ = master.WriteString(one.answer + "\n")
			}
			if err != nil { // the terminal ends with its last process
				break
			}
		}
		err := cmd.Wait()
		if asked != (one.flag == "") || !strings.Contains(text, one.want) || !strings.Contains(text, "10001 topics") {
			t.Errorf("%v, asked %t, %v: %s", one, asked, err, text)
		}
	}
}
