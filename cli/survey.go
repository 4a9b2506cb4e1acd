package cli

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/survey"
)

const (
	surveyMemory = 44 << 20 // bytes that the heap of a survey tries to stay below
	askAbove     = 10_000   // requests that somebody at a terminal is asked about first
	maxTools     = 1 << 20  // bytes of a tools.yml
	progressStep = 200 * time.Millisecond
)

// surveyed is whom a command looks at from outside, by RocketMQ's own protocol, and how: its flags.
type surveyed struct {
	p                    *program
	servers              *string // of the view, which then asks no node
	tls                  bool
	tlsFile, aclFile     string
	accessKey, secretKey string // refused
	timeout, settle      time.Duration
	rate                 int
	yes                  bool
	namespaces           []string
	brokers, fromNode    bool // they are asked, too; and a node tries them
}

// flags are those of commands that compare.
func (s *surveyed) flags() []command.Flag {
	return append(s.accessFlags(),
		command.Flag{To: &s.settle, Name: "settle", Usage: "with -n: what differs is told when it was seen twice, so long a `TIME` apart, with the same values; 35s is what a broker's next registration heals"},
		command.Flag{To: &s.rate, Name: "rate", Usage: "with -n: ask each NameServer at most `N` times a second; halved by itself while its answers take twice as long"},
		command.Flag{To: &s.yes, Name: "yes", Short: "y", Usage: fmt.Sprintf("with -n: do not ask before more than %d requests", askAbove)},
		command.Flag{To: &s.namespaces, Name: "namespace", Usage: "with -n: a `NAMESPACE` of the KV store to be compared beside ORDER_TOPIC_CONFIG; may be given several times"})
}

// accessFlags say whom to ask, and how.
func (s *surveyed) accessFlags() []command.Flag {
	s.timeout, s.settle, s.rate = 3*time.Second, 5*time.Second, 2000
	return []command.Flag{
		{To: s.servers, Name: "namesrv", Short: "n",
			Usage: "`HOST:PORT,...` of NameServers, the Java ones too, to be asked by RocketMQ's own protocol; ; between them will do; of a name every address is asked"},
		{To: &s.tls, Name: "tls", Usage: "with -n: speak TLS alone, without verifying anybody, as mqadmin does with tls.enable=true"},
		{To: &s.tlsFile, Name: "tls-config", Default: "plain text and, where that is refused, TLS without verifying anybody",
			Usage: "with -n: speak TLS alone, as this `FILE` of RocketMQ's clients says (tls.client.trustCertPath, .authServer, .certPath, .keyPath)"},
		{To: &s.aclFile, Name: "acl-file", Default: "requests are not signed",
			Usage: "with -n: sign requests with accessKey and secretKey of this `FILE`, as mqadmin does with its conf/tools.yml"},
		{To: &s.accessKey, Name: "access-key", Usage: "refused: put `KEY` into the file of --acl-file"},
		{To: &s.secretKey, Name: "secret-key", Usage: "refused: everybody on this machine would see it; put `KEY` into the file of --acl-file"},
		{To: &s.timeout, Name: "timeout", Usage: "with -n: how long a `TIME` a connection, and each answer, may take"},
	}
}

// check refuses what cannot be meant.
func (s *surveyed) check() error {
	switch {
	case s.accessKey != "" || s.secretKey != "":
		return errors.New("a secret on the command line is seen by everybody on this machine: put accessKey and secretKey into a file, and name it with --acl-file")
	case s.timeout <= 0 || s.timeout > time.Minute:
		return fmt.Errorf("--timeout=%v: want a time above 0, and a minute at most", s.timeout)
	case s.settle < 0 || s.settle > time.Hour:
		return fmt.Errorf("--settle=%v: want a time from 0 to an hour", s.settle)
	case s.rate < 1 || s.rate > 100_000:
		return fmt.Errorf("--rate=%d: want a number from 1 to 100000", s.rate)
	case s.tls && s.tlsFile != "":
		return errors.New("--tls verifies nobody, and --tls-config says whom to trust: give one of them")
	}
	return nil
}

// access is how they are asked.
func (s *surveyed) access() (survey.Access, error) {
	a := survey.Access{Timeout: s.timeout, Rate: s.rate}
	if s.tls {
		a.TLS = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // --tls says so
	}
	if s.tlsFile != "" {
		conf, err := clientTLS(s.tlsFile)
		if err != nil {
			return a, err
		}
		a.TLS = conf
	}
	if s.aclFile == "" {
		return a, nil
	}
	// Errors do not repeat the value: who mistakes the flag gives the secret itself.
	info, err := os.Stat(s.aclFile)
	if err != nil || info.IsDir() || info.Size() > maxTools {
		return a, errors.New("--acl-file: want a file that can be read, such as conf/tools.yml of a RocketMQ installation")
	}
	text, err := os.ReadFile(s.aclFile)
	if err != nil {
		return a, fmt.Errorf("--acl-file: %w", err)
	}
	if a.Sign, err = survey.ParseKey(text); err != nil {
		return a, fmt.Errorf("--acl-file=%q: %w", s.aclFile, err)
	}
	return a, nil
}

// open finds the NameServers. All its errors are about the command line.
func (s *surveyed) open(ctx context.Context) (*survey.Survey, error) {
	if err := s.check(); err != nil {
		return nil, command.UsageError(err)
	}
	access, err := s.access()
	if err != nil {
		return nil, command.UsageError(err)
	}
	targets, err := survey.Resolve(ctx, survey.SplitList(*s.servers), s.timeout)
	if err == nil && len(targets) == 0 {
		err = errors.New("want HOST:PORT, such as 127.0.0.1:9876, or several with , between them")
	}
	if err != nil {
		return nil, command.UsageError(fmt.Errorf("--namesrv=%q: %w", *s.servers, err))
	}
	made := survey.New(targets, access)
	made.Settle, made.Namespaces, made.Confirm = s.settle, s.namespaces, s.confirm
	return made, nil
}

// openSurvey opens the NameServers that were named, or those of a node and its members.
func (v *view) openSurvey(ctx context.Context, s *surveyed) (*survey.Survey, error) {
	if *s.servers == "" {
		servers, err := v.serversOfMembers(ctx)
		if err != nil {
			return nil, err
		}
		*s.servers = strings.Join(servers, ",")
	}
	return s.open(ctx)
}

// begin bounds the memory of this process, and gives ctx an end when somebody ends the command.
func (s *surveyed) begin(ctx context.Context) (context.Context, context.CancelFunc) {
	s.p.tightenMemory()
	if s.p.env("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(surveyMemory)
	}
	return signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
}

// announce says who is going to be asked, before anybody is.
func (s *surveyed) announce(sv *survey.Survey) {
	fmt.Fprintf(s.p.stderr, "asking %s, at most %d requests a second to each; nothing is changed\n", plural(len(sv.Targets), "NameServer", "NameServers"), s.rate)
}

// confirm says for how much they are going to be asked and, at a terminal, whether it shall.
func (s *surveyed) confirm(plan survey.Plan) error {
	brokers := ""
	if s.brokers {
		brokers = fmt.Sprintf(", then %s", plural(plan.Brokers, "broker address", "broker addresses"))
		if s.fromNode {
			brokers += ", one a second of them by the node"
		}
	}
	fmt.Fprintf(s.p.stderr, "they have %s: %s in all%s\n", plural(plan.Topics, "topic", "topics"), plural(plan.Requests, "request", "requests"), brokers)
	if s.yes || plan.Requests <= askAbove || terminalFile(s.p.stderr) == nil || terminalFile(os.Stdin) == nil {
		return nil
	}
	fmt.Fprint(s.p.stderr, "go on? [y/N] ")
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer == "y" || answer == "yes" {
		return nil
	}
	return errors.New("nothing was asked; --yes asks without this question")
}

// progress shows on a terminal how far it is; done takes the line away.
func (s *surveyed) progress() (step func(done, total int), done func()) {
	if terminalFile(s.p.stderr) == nil {
		return nil, func() {}
	}
	var mu sync.Mutex // guards last
	var last time.Time
	return func(done, total int) {
			mu.Lock()
			defer mu.Unlock()
			if now := time.Now(); now.Sub(last) >= progressStep {
				last = now
				fmt.Fprintf(s.p.stderr, "\r%d of %d routes%s", done, total, clearLine)
			}
		}, func() {
			fmt.Fprint(s.p.stderr, "\r"+clearLine)
		}
}
