package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/node"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/survey"
)

// nameServer is any NameServer that is asked by RocketMQ's own protocol.
type nameServer struct {
	addr    string // HOST:PORT, or several with ; or , between them; empty: none was named
	tlsFile string // settings of TLS as RocketMQ's clients have them; empty: plain text, else TLS with anybody
}

func nameServerFlags(n *nameServer) []command.Flag {
	return []command.Flag{
		{To: &n.addr, Name: "namesrv", Short: "n",
			Usage: "`HOST:PORT` of any NameServer, to be asked by RocketMQ's own protocol instead of HTTP; of several (A;B;C) the first that answers"},
		{To: &n.tlsFile, Name: "tls-config", Default: "plain text and, where that is refused, TLS without verifying anybody",
			Usage: "with -n: speak TLS alone, as this `FILE` of RocketMQ's clients says (tls.client.trustCertPath, .authServer, .certPath, .keyPath)"},
	}
}

// each is one NameServer for each address that was named.
func (n nameServer) each() (all []nameServer, err error) {
	for _, addr := range survey.SplitList(n.addr) {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return nil, command.UsageError(fmt.Errorf("--namesrv=%q: want HOST:PORT, such as 127.0.0.1:9876, or several with ; between them", addr))
		}
		all = append(all, nameServer{addr, n.tlsFile})
	}
	if len(all) == 0 {
		return nil, command.UsageError(fmt.Errorf("--namesrv=%q: want HOST:PORT, such as 127.0.0.1:9876", n.addr))
	}
	return all, nil
}

// ask sends one request to the first that answers, and n is that one from then on.
func (n *nameServer) ask(ctx context.Context, code int32, ext map[string]string) (*remoting.Command, error) {
	all, err := n.each()
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, one := range all {
		answer, err := one.askOne(ctx, code, ext)
		_, refused := errors.AsType[*refusal](err)
		_, wrong := errors.AsType[*command.Exit](err)
		if err == nil || refused || wrong {
			*n = one
			return answer, err
		}
		faults = append(faults, err)
	}
	return nil, errors.Join(faults...)
}

// askOne asks in plain text and, where the NameServer takes none, by TLS.
func (n nameServer) askOne(ctx context.Context, code int32, ext map[string]string) (*remoting.Command, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	request := &remoting.Command{Code: code, Version: remoting.Version, Ext: ext}
	ways := []*tls.Config{nil, {InsecureSkipVerify: true}} //nolint:gosec // as mqadmin does unless it is told whom to trust
	if n.tlsFile != "" {
		conf, err := clientTLS(n.tlsFile)
		if err != nil {
			return nil, command.UsageError(err)
		}
		ways = []*tls.Config{conf}
	}
	var answer *remoting.Command
	var faults []error
	for _, way := range ways {
		var err error
		if answer, err = n.once(ctx, way, request); err == nil {
			break
		}
		faults = append(faults, err)
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			return nil, fmt.Errorf("no NameServer answers at %s: say with -n HOST:PORT where it listens (%w)", n.addr, err)
		}
	}
	if answer == nil {
		return nil, n.unanswered(faults)
	}
	if answer.Code != remoting.Success && answer.Code != remoting.TopicNotExist {
		return nil, &refusal{n.addr, answer.Code, shorten(printable(answer.Remark), 2*screenWidth)}
	}
	return answer, nil
}

func (n nameServer) once(ctx context.Context, way *tls.Config, request *remoting.Command) (*remoting.Command, error) {
	cfg := rpc.DefaultClientConfig()
	cfg.TLS = way
	client, err := rpc.Dial(ctx, n.addr, cfg)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return client.Invoke(ctx, request)
}

// unanswered tells the fault of TLS where the peer speaks it, else that of plain text.
func (n nameServer) unanswered(faults []error) error {
	last := faults[len(faults)-1]
	switch text := last.Error(); {
	case strings.Contains(text, "remote error: tls: "):
		return fmt.Errorf("%s does not take this client: give a certificate that it trusts with --tls-config FILE (%w)", n.addr, last)
	case n.tlsFile != "" || strings.Contains(text, "tls: failed to verify"):
		return fmt.Errorf("%s cannot be asked by TLS as %s says (%w)", n.addr, n.tlsFile, last)
	}
	return fmt.Errorf("%s is no NameServer, or takes neither plain text nor TLS (%w)", n.addr, faults[0])
}

// clientTLS reads a file of TLS settings, and takes it that who names it wants what it names.
func clientTLS(file string) (*tls.Config, error) {
	cfg := config.Default(config.System{Source: "--tls-config", Properties: map[string]string{"tls.enable": "true", "tls.config.file": file}})
	err := loadTLSFile(&cfg)
	refused := cfg.TLS.JudgeClient()
	for _, f := range refused {
		err = errors.Join(err, f)
	}
	if err != nil {
		return nil, fmt.Errorf("--tls-config: %w", err)
	}
	conf, err := node.ClientTLS(&cfg.TLS)
	if err != nil {
		return nil, fmt.Errorf("--tls-config=%q: %w", file, err)
	}
	return conf, nil
}
