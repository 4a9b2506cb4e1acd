package bench

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

//go:embed fleet_method.md
var fleetMethod string

// WriteDocument makes the page, with its plots in img beside it: the method, the goals beside the figures, all figures.
func (r *FleetReport) WriteDocument(path string) error {
	return writeDocument(path, fleetMethod, func(w io.Writer) error {
		if err := r.WriteMarkdown(w); err != nil {
			return err
		}
		t := r.sizing()
		if len(t.Rows) == 0 {
			return nil
		}
		fmt.Fprint(w, "\n### What a node needs\n\n")
		return t.WriteMarkdown(w)
	}, r.WritePlots)
}

// sizing is what our server needs, by brokers, topics and clients.
func (r *FleetReport) sizing() *Table {
	t := &Table{Header: []string{"brokers", "topics", "clients", "RSS, MB", "cores", "descriptors", "gossip of each of three nodes, B/s"}}
	for _, of := range []struct {
		scene Scene
		p     Profile
	}{{SceneSteady, r.Profile}, {sceneAfter, r.Storm}} {
		gossip := "-"
		for _, g := range r.Gossip {
			if g.Brokers == len(of.p.addresses()) && g.Topics == of.p.Topics {
				gossip = number(g.BytesEach)
			}
		}
		s := r.Server(Ours)
		for _, n := range s.sizes(of.scene) {
			c := s.Cell(of.scene, n)
			value := func(metric string) string {
				if v := c.Spread(metric); v.N > 0 {
					return number(v.Median)
				}
				return "-"
			}
			files := "-"
			if v := c.Spread(fFiles); v.N > 0 {
				files = fmt.Sprintf("%.0f", v.Median)
			}
			t.Add(fmt.Sprint(of.p.Brokers), fmt.Sprint(of.p.Topics), fmt.Sprint(n), value(fRSS), value(fCores), files, gossip)
		}
	}
	return t
}

// CheckOperations says, before a long run, whether WriteSizes will find its place in the page at path; "" is none and fine.
func CheckOperations(path string) error {
	if path == "" {
		return nil
	}
	page, err := os.ReadFile(path)
	if err == nil {
		_, err = withSizes(string(page), "")
	}
	if err != nil {
		return fmt.Errorf("operations: %w; name a page for operators such as docs/operations.md", err)
	}
	return CheckWritable("operations", path)
}

// WriteSizes puts the table of sizes into the page for operators, at the end of what it says about sizing, in the place of the
// former one.
func (r *FleetReport) WriteSizes(path string) error {
	t := r.sizing()
	if len(t.Rows) == 0 {
		return errors.New("operations: epitaph was not measured in this run, so there is no table of sizes")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Each client polls %d topics every %v (`make bench-fleet`, %s: %s; [%[5]s](%[5]s)).\n\n",
		r.Each, r.Period, r.When.Format("2006-01-02"), r.Machine, "fleet.md")
	if err := t.WriteMarkdown(&b); err != nil {
		return err
	}
	page, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the page for operators: %w", err)
	}
	text, err := withSizes(string(page), b.String())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the page for operators: %w", err)
	}
	return nil
}

// withSizes is page with a section of level 3, the sizes, at the end of the part of level 2 that it belongs to, in the place of
// the former one.
func withSizes(page, body string) (string, error) {
	const under, heading = "## Sizing", "### Sizes, measured"
	before, rest, found := strings.Cut(page, "\n"+under+"\n")
	if !found {
		return "", fmt.Errorf("the page has no part %q", under)
	}
	part, after := rest, ""
	if i := strings.Index(rest, "\n## "); i >= 0 {
		part, after = rest[:i], rest[i:]
	}
	if i := strings.Index(part, "\n"+heading+"\n"); i >= 0 {
		behind := ""
		if j := strings.Index(part[i+1:], "\n### "); j >= 0 {
			behind = part[i+1+j:]
		}
		part = part[:i] + behind
	}
	return before + "\n" + under + "\n" + strings.TrimRight(part, "\n") + "\n\n" + heading + "\n\n" + strings.TrimRight(body, "\n") + "\n" + after, nil
}
