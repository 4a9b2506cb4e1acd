package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/order"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/survey"
)

// doctor is what the command was asked beside whom to look at.
type doctor struct {
	surveyed
	failOn, format string
	mask           bool
	only, skip     []string
	degree         survey.Degree // of failOn
}

// doctorAnswer is what doctor --json prints.
type doctorAnswer struct {
	NameServers []diffServer     `json:"nameservers"`
	Brokers     int              `json:"brokers"` // addresses
	Topics      int              `json:"topics"`
	Findings    []survey.Finding `json:"findings"` // gravest first
	Missing     []string         `json:"missing"`  // what could not be asked
	Notes       []string         `json:"notes"`    // what an option explains
	Requests    int              `json:"requests"` // to NameServers
}

func (p *program) doctorCommand() *command.Command {
	var v view
	d := &doctor{surveyed: surveyed{p: p, servers: &v.nameServer.addr, brokers: true}, failOn: "warning", format: "text"}
	return p.inspect(command.Command{
		Name:      "doctor",
		Usage:     "examine any NameServers and their brokers",
		UsageText: "epitaph doctor -n HOST:PORT,HOST:PORT,... [--fail-on DEGREE] [--from-node] [--json | --format markdown]\nepitaph doctor [--socket PATH | -a HOST:PORT]",
		Description: `Asks NameServers, the Java ones too, and then the brokers that they list, and tells what is wrong: what was seen, why it
matters and what to do. It needs no node: with -a or --socket the NameServers of a node and its members are examined. It only reads: no request of
it changes anything, and of a broker's configuration nothing is kept but namesrvAddr. Each finding has a section in docs/doctor.md.
Ends with 0 when there is no finding of the degree of --fail-on or above, with 1 when there is, with 2 when it was asked wrongly,
and with 3 when something could not be asked and there is no such finding.`,
		Flags: append([]command.Flag{
			{To: &d.failOn, Name: "fail-on", Usage: "`DEGREE` from which on a finding is a fault: note, warning or error"},
			{To: &d.format, Name: "format", Usage: "`FORMAT` of the screen: text or markdown"},
			{To: &d.fromNode, Name: "from-node", Usage: "let the node of this machine (--socket) try the addresses of brokers, too, one a second: only those at which brokers are registered there"},
			{To: &d.mask, Name: "mask", Usage: "put host-1, host-2, ... in the place of addresses and host names"},
			{To: &d.only, Name: "only", Usage: "`NAME` of a finding: no others; may be given several times"},
			{To: &d.skip, Name: "skip", Usage: "`NAME` of a finding that is left out; may be given several times"},
		}, d.flags()...),
	}, &v, func(ctx context.Context, _ []string) error { return v.showDoctor(ctx, d) })
}

func (d *doctor) check() (err error) {
	if d.degree, err = survey.ParseDegree(d.failOn); err != nil {
		return fmt.Errorf("--fail-on=%w", err)
	}
	if d.format != "text" && d.format != "markdown" {
		return fmt.Errorf("--format=%q: want text or markdown", d.format)
	}
	names := survey.Names()
	for _, name := range slices.Concat(d.only, d.skip) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%q is no finding: want one of %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

func (v *view) showDoctor(ctx context.Context, d *doctor) error {
	if err := d.check(); err != nil {
		return command.UsageError(err)
	}
	if d.fromNode {
		if err := v.findBySocket(ctx); err != nil {
			return err
		}
	}
	sv, err := v.openSurvey(ctx, &d.surveyed)
	if err != nil {
		return err
	}
	if d.fromNode {
		sv.Try = v.tryFromNode
	}
	defer sv.Close()
	d.announce(sv)
	ctx, stop := d.begin(ctx)
	defer stop()
	step, done := d.progress()
	sv.Progress = step
	e, err := sv.Gather(ctx)
	done()
	if errors.Is(err, context.Canceled) {
		err = errors.New("ended before it was done")
	}
	if err != nil {
		return err
	}
	a := doctorAnswer{
		NameServers: serversAsJSON(e.Targets, e.Diff.Views), Brokers: len(e.Brokers), Topics: e.Diff.Topics, Requests: e.Diff.Requests,
		Findings: append([]survey.Finding{}, survey.Examine(e, d.only, d.skip)...), Missing: append([]string{}, e.Missing()...), Notes: append([]string{}, e.Diff.Notes...),
	}
	if d.mask {
		a.mask(e)
	}
	switch {
	case v.json:
		err = v.printAsJSON(a)
	case d.format == "markdown":
		a.markdown(v)
	default:
		a.text(v)
	}
	if err != nil {
		return err
	}
	return a.verdict(d.degree)
}

func (a *doctorAnswer) verdict(failOn survey.Degree) error {
	n := 0
	for _, f := range a.Findings {
		if f.Degree >= failOn {
			n++
		}
	}
	switch {
	case n > 0:
		return fmt.Errorf("%s of the degree %v or above", plural(n, "finding", "findings"), failOn)
	case len(a.Missing) > 0:
		return &command.Exit{Status: command.Silent, Err: errors.New("not everything could be asked")}
	}
	return nil
}

// serversOfMembers are the NameServers of a node and of those it gossips with.
func (v *view) serversOfMembers(ctx context.Context) (servers []string, err error) {
	quiet := *v
	quiet.json = false
	var m api.Members
	if _, err := quiet.askJSON(ctx, "/v1/members", &m); err != nil {
		return nil, &command.Exit{Status: command.Silent, Err: err}
	}
	for _, one := range m.Members {
		if one.State == "alive" && reachedAt(&one, one.NameServer) {
			servers = append(servers, one.NameServer)
		}
	}
	if len(servers) == 0 {
		return nil, &command.Exit{Status: command.Silent, Err: fmt.Errorf("%s gossips with nobody, so it does not say which NameServers there are: name them with -n, as HOST:PORT of each", v.node)}
	}
	return servers, nil
}

// findBySocket finds a node that may be told to do something: HTTP only reads.
func (v *view) findBySocket(ctx context.Context) error {
	if err := v.find(ctx); err != nil {
		return err
	}
	if v.node.socket == "" {
		return command.UsageError(errors.New("--from-node: a node tries addresses for whoever may open its Unix socket, and not by HTTP: run this on the node's machine, and say with --socket or --data where its socket is"))
	}
	return nil
}

// tryFromNode lets the node try an address.
func (v *view) tryFromNode(ctx context.Context, addr string) (tried *survey.Tried, again bool, err error) {
	quiet := *v
	quiet.json = false
	var r api.Reached
	status, body, err := send(ctx, http.MethodPost, v.node, "/v1/reach?addr="+url.QueryEscape(addr))
	if err == nil {
		_, err = quiet.read(status, body, &r)
	}
	if err != nil { // one that does not know the question answers 404 or 405, each time
		return nil, status == http.StatusConflict || status == http.StatusTooManyRequests, fmt.Errorf("%s from the node: %w", addr, err)
	}
	return &survey.Tried{Node: cmp.Or(r.Node, v.node.String()), Reached: r.Reached, Why: r.Why}, true, nil
}

func serversAsJSON(targets []survey.Target, views []*survey.View) []diffServer {
	all := []diffServer{}
	for i, v := range views {
		one := diffServer{Name: targets[i].Name, Addr: targets[i].Addr}
		if v.Fault != nil {
			one.Fault = v.Fault.Error()
		} else {
			one.Version, one.Brokers = remoting.VersionText(v.Version), len(v.Groups)
		}
		all = append(all, one)
	}
	return all
}

// head sums up what was examined and found.
func (a *doctorAnswer) head() []string {
	var counts [3]int
	for _, f := range a.Findings {
		counts[f.Degree]++
	}
	answered := 0
	for _, s := range a.NameServers {
		if s.Fault == "" {
			answered++
		}
	}
	return []string{
		fmt.Sprintf("%d of %s examined", answered, plural(len(a.NameServers), "NameServer", "NameServers")),
		plural(a.Brokers, "broker address", "broker addresses"), plural(a.Topics, "topic", "topics") + ": " + plural(counts[survey.Error], "error", "errors"),
		plural(counts[survey.Warning], "warning", "warnings"), plural(counts[survey.Note], "note", "notes"),
	}
}

// byName puts findings of one name and degree together.
func (a *doctorAnswer) byName() (groups [][]survey.Finding) {
	for _, f := range a.Findings {
		if n := len(groups); n > 0 && groups[n-1][0].Name == f.Name && groups[n-1][0].Degree == f.Degree {
			groups[n-1] = append(groups[n-1], f)
			continue
		}
		groups = append(groups, []survey.Finding{f})
	}
	return groups
}

func seen(f *survey.Finding) string {
	if f.About == "" {
		return f.Seen
	}
	return f.About + ": " + f.Seen
}

func (a *doctorAnswer) text(v *view) {
	v.lines(0, a.head()...)
	for _, group := range a.byName() {
		fmt.Fprintln(v.out)
		v.words(0, strings.ToUpper(group[0].Degree.String())+" "+group[0].Name)
		for i := range group {
			v.words(2, seen(&group[i]))
		}
		v.words(2, "Why: "+group[0].Why)
		v.words(2, "Do: "+group[0].Do)
	}
	if len(a.Missing)+len(a.Notes) > 0 {
		fmt.Fprintln(v.out)
	}
	for _, text := range a.Missing {
		v.words(0, "could not be asked: "+text)
	}
	for _, text := range a.Notes {
		v.words(0, "note: "+text)
	}
}

var markup = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("[\\\\`*_{}\\[\\]<>#|~]") })

// markdown is for an issue: nothing in it can be taken for markup.
func (a *doctorAnswer) markdown(v *view) {
	plain := func(text string) string {
		return markup().ReplaceAllString(printable(mq.CutTo(text, 1024)), `\$0`)
	}
	fmt.Fprintf(v.out, "## epitaph doctor\n\n%s\n\n| NameServer | version | brokers |\n|---|---|---|\n", strings.Join(a.head(), ", "))
	for _, s := range a.NameServers {
		fmt.Fprintf(v.out, "| %s | %s | %d |\n", plain(s.Addr), orDash(s.Version), s.Brokers)
	}
	for _, group := range a.byName() {
		fmt.Fprintf(v.out, "\n### %s: %s\n\n", group[0].Degree, group[0].Name)
		for i := range group {
			fmt.Fprintf(v.out, "- %s\n", plain(seen(&group[i])))
		}
		fmt.Fprintf(v.out, "\n%s *%s*\n", plain(group[0].Why), plain(group[0].Do))
	}
	if len(a.Missing)+len(a.Notes) > 0 {
		fmt.Fprintln(v.out)
	}
	for _, text := range a.Missing {
		fmt.Fprintf(v.out, "- could not be asked: %s\n", plain(text))
	}
	for _, text := range a.Notes {
		fmt.Fprintf(v.out, "- note: %s\n", plain(text))
	}
}

// address is what looks like one, wherever it stands: errors name this machine's own, too.
var address = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b|\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[^\]]*)?\]`)
})

// mask puts a name in the place of each host; ports stay.
func (a *doctorAnswer) mask(e *survey.Evidence) {
	var hosts []string
	add := func(hostPort string) {
		if host, _, err := net.SplitHostPort(hostPort); err == nil && host != "" && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	for _, t := range e.Targets {
		add(t.Addr)
		add(t.Name)
	}
	for i := range e.Brokers {
		add(e.Brokers[i].Addr)
		for _, one := range e.Brokers[i].List {
			add(one)
		}
	}
	type masked struct {
		host, mask string
		whole      *regexp.Regexp
	}
	var masks []masked
	for i, host := range hosts {
		masks = append(masks, masked{host, fmt.Sprintf("host-%d", i+1), regexp.MustCompile(`(^|[^\w.-])` + regexp.QuoteMeta(host) + `($|[^\w.-])`)})
	}
	order.By(masks, func(a, b masked) int { return len(b.host) - len(a.host) }) // the longest first: one may be part of another
	hide := func(text *string) {
		for _, m := range masks {
			if strings.Contains(m.host, ":") {
				*text = strings.ReplaceAll(*text, "["+m.host+"]", m.mask)
			}
			for range 2 { // two that share what is between them
				*text = m.whole.ReplaceAllString(*text, "${1}"+m.mask+"${2}")
			}
		}
		*text = address().ReplaceAllString(*text, "host")
	}
	for i := range a.NameServers {
		s := &a.NameServers[i]
		hide(&s.Name)
		hide(&s.Addr)
		hide(&s.Fault)
	}
	for i := range a.Findings {
		hide(&a.Findings[i].About)
		hide(&a.Findings[i].Seen)
	}
	for i := range a.Missing {
		hide(&a.Missing[i])
	}
	for i := range a.Notes {
		hide(&a.Notes[i])
	}
}
