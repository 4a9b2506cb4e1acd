package house

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// logLine is what the source says of one line of the log.
type logLine struct {
	folder, message, level string
	fields                 map[string]bool
}

// logSource finds the lines that a package can write.
type logSource struct {
	folder string
	consts map[string]string
	lines  map[string]*logLine // by message
	loose  []string            // where the message is no constant
}

var logger = regexp.MustCompile(`(?i)(^|\.)(log|logger)$`)

// text is a constant string, or "".
func (s *logSource) text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			return constant.StringVal(constant.MakeFromLiteral(e.Value, token.STRING, 0))
		}
	case *ast.Ident:
		return s.consts[e.Name]
	case *ast.BinaryExpr:
		if a, b := s.text(e.X), s.text(e.Y); a != "" && b != "" {
			return a + b
		}
	case *ast.ParenExpr:
		return s.text(e.X)
	}
	return ""
}

// keys notes the literal keys of args, which are pairs, or a list that begins with others.
func (s *logSource) keys(args []ast.Expr, into map[string]bool) {
	for i := 0; i < len(args); i++ {
		if call, ok := args[i].(*ast.CallExpr); ok {
			if name, ok := call.Fun.(*ast.Ident); ok && name.Name == "append" && len(call.Args) > 1 {
				s.keys(call.Args[1:], into)
			}
			continue
		}
		if key := s.text(args[i]); key != "" {
			into[key] = true
			i++
		}
	}
}

func (s *logSource) file(t *testing.T, files *token.FileSet, f *ast.File) {
	t.Helper()
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		fun, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		at, known := map[string]int{"Debug": 0, "Info": 0, "Warn": 0, "Error": 0, "Log": 2, "LogAttrs": 2}[fun.Sel.Name]
		if !known || len(call.Args) <= at || !logger.MatchString(strings.TrimSuffix(expression(fun.X), "()")) {
			return true
		}
		message := s.text(call.Args[at])
		if message == "" {
			s.loose = append(s.loose, s.folder+": "+expression(call.Args[at]))
			return true
		}
		level := strings.ToUpper(fun.Sel.Name)
		if at > 0 {
			level = "DEBUG, INFO"
		}
		l := s.lines[message]
		if l == nil {
			l = &logLine{s.folder, message, level, map[string]bool{}}
			s.lines[message] = l
		} else if !strings.Contains(l.level, level) {
			l.level += ", " + level
		}
		s.keys(call.Args[at+1:], l.fields)
		return true
	})
}

// expression is an expression as far as it names something.
func expression(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return expression(e.X) + "." + e.Sel.Name
	case *ast.CallExpr:
		return expression(e.Fun) + "()"
	}
	return fmt.Sprintf("%T", e)
}

// made are messages that are made elsewhere, with what they are.
var made = map[string]string{
	"node: e.Kind.String()":     "changes of the tables: node/testdata/log_fields.txt has all",
	"node: what":                "two of readiness: node/testdata/log_fields_readiness.txt has them",
	"node/divergence: l.begins": "of a watch.line",
	"node/divergence: l.ends":   "of a watch.line",
	"gossip: line":              "of a logWriter",
	"cli: warning.text":         "of the configuration",
	"cli: text":                 "of environment variables: see elsewhere",
	"cli: w.text":               "of the configuration",
}

// docs/log-messages.md lists every line that a node can write, with its fields; no message and no field goes without notice.
func TestLogMessages(t *testing.T) {
	root := kit.Root(t)
	all := map[string]*logLine{}
	var loose []string
	for _, top := range []string{"cli", "cluster", "gossip", "node", "remoting"} {
		kit.Must(t, filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() || d.Name() == "testdata" {
				return err
			}
			folder, err := filepath.Rel(root, path)
			kit.Must(t, err)
			s := &logSource{folder: filepath.ToSlash(folder), consts: map[string]string{}, lines: all}
			files := token.NewFileSet()
			var parsed []*ast.File
			names, err := filepath.Glob(filepath.Join(path, "*.go"))
			kit.Must(t, err)
			for _, name := range names {
				if strings.HasSuffix(name, "_test.go") {
					continue
				}
				f, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
				kit.Must(t, err)
				parsed = append(parsed, f)
				ast.Inspect(f, func(n ast.Node) bool {
					if spec, ok := n.(*ast.ValueSpec); ok {
						for i, v := range spec.Values {
							if i < len(spec.Names) {
								if text := s.text(v); text != "" {
									s.consts[spec.Names[i].Name] = text
								}
							}
						}
					}
					return true
				})
			}
			for _, f := range parsed {
				s.file(t, files, f)
			}
			loose = append(loose, s.loose...)
			return nil
		}))
	}
	for _, where := range loose {
		if _, known := made[where]; !known {
			t.Errorf("%s: the message of a line is no constant, so nobody can look for it", where)
		}
	}
	// What is only known when it happens: tests of package node let it happen, and list its fields.
	for _, list := range []string{"log_fields.txt", "log_fields_readiness.txt"} {
		text, err := os.ReadFile(filepath.Join(root, "node", "testdata", list))
		kit.Must(t, err)
		for line := range strings.Lines(string(text)) {
			at := strings.LastIndex(line, ": ")
			message, key := line[:at], strings.Fields(line[at+2:])[0]
			if all[message] == nil {
				all[message] = &logLine{"node", message, "INFO, WARN", map[string]bool{}}
			}
			delete(all[message].fields, strings.TrimSuffix(key, "_ms"))
			all[message].fields[key] = true
		}
	}
	for message, fields := range elsewhere {
		all[message] = &logLine{"node/divergence", message, "INFO, WARN", map[string]bool{}}
		switch {
		case strings.Contains(message, "gossip"):
			all[message].folder = "gossip"
		case strings.Contains(message, "environment"):
			all[message].folder = "cli"
		}
		for _, f := range strings.Fields(fields) {
			all[message].fields[f] = true
		}
	}
	sorted := slices.SortedFunc(maps.Values(all), func(a, b *logLine) int {
		return cmp.Or(cmp.Compare(a.folder, b.folder), cmp.Compare(a.message, b.message))
	})
	var doc strings.Builder
	page := filepath.Join(root, "docs", "log-messages.md")
	before, err := os.ReadFile(page)
	kit.Must(t, err)
	head, _, _ := strings.Cut(string(before), "\n## ") // written by hand; the tables are made here
	doc.WriteString(head)
	folder := ""
	var listed []string
	for _, l := range sorted {
		if l.folder != folder {
			folder = l.folder
			fmt.Fprintf(&doc, "\n## %s\n\n| message | level | fields |\n|---|---|---|\n", folder)
		}
		keys := slices.Sorted(maps.Keys(l.fields))
		fields := ""
		if len(keys) > 0 {
			fields = "`" + strings.Join(keys, "` `") + "`"
		}
		fmt.Fprintf(&doc, "| %s | %s | %s |\n", l.message, l.level, fields)
		for _, key := range append(keys, "") {
			listed = append(listed, strings.TrimSpace(l.message+": "+key))
		}
	}
	if len(sorted) < 80 {
		t.Errorf("%d messages found only", len(sorted))
	}
	kit.Golden(t, page, doc.String())
	kit.Listed(t, "testdata/log_messages.txt", listed)
}

// elsewhere are the lines of made whose fields stand nowhere else.
var elsewhere = map[string]string{
	"environment variable is not known and ignored": "name",
	"environment variable is not used by mqnamesrv": "name",
	"nodes differ about a broker":                   "cluster broker id addr held_by reason why",
	"nodes agree about a broker again":              "cluster broker id addr",
	"nodes differ in their store or options":        "what node",
	"nodes agree in their store or options again":   "what node",
	"a message of gossip was refused":               "reason by text",
	"a message of gossip was lost":                  "reason by text",
	"the library of gossip says":                    "reason by text",
}
