package kvconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func held(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func openNew(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "namesrv", "kvConfig.json"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryChangeIsInTheFileAndTheOneBeforeInBak(t *testing.T) {
	s := openNew(t)
	must(t, s.Put("n", "k", "v v"))
	if _, err := os.Stat(s.Path() + ".bak"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there was no content to keep, yet .bak: %v", err)
	}
	steps := []struct {
		do         func() error
		file, list string
	}{
		{func() error { return s.Put("n", "é", "中\t\"") }, `{"configTable":{"n":{"k":"v v","é":"中\t\""}}}`, `{"table":{"k":"v v","é":"中\t\""}}`},
		{func() error { return s.Delete("n", "k") }, `{"configTable":{"n":{"é":"中\t\""}}}`, `{"table":{"é":"中\t\""}}`},
		{func() error { return s.PutNull("n", "é") }, `{"configTable":{"n":{}}}`, `{"table":{}}`},
		{func() error { return s.Delete("unknown", "k") }, `{"configTable":{"n":{}}}`, `{"table":{}}`},
		{func() error { return s.PutNull("m", "k") }, `{"configTable":{"m":{},"n":{}}}`, `{"table":{}}`},
	}
	for i, step := range steps {
		before := held(t, s.Path())
		must(t, step.do())
		if got := held(t, s.Path()); got != step.file {
			t.Errorf("step %d: file %s, want %s", i, got, step.file)
		}
		if got := held(t, s.Path()+".bak"); got != before {
			t.Errorf("step %d: .bak %s, want %s", i, got, before)
		}
		if got, known := s.List("n"); !known || string(got) != step.list {
			t.Errorf("step %d: list %s, %v; want %s", i, got, known, step.list)
		}
		again, err := Open(s.Path())
		must(t, err)
		if got, _ := again.List("n"); string(got) != step.list {
			t.Errorf("step %d: after a restart list %s, want %s", i, got, step.list)
		}
	}
	if _, known := s.List("unknown"); known {
		t.Error("a delete made a namespace")
	}
}

// TestStringsAsJava has what the released 5.5.0 writes for the first 256 characters and some beyond.
func TestStringsAsJava(t *testing.T) {
	var in, want strings.Builder
	short := map[rune]string{'\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`, '"': `\"`, '\\': `\\`}
	for r := range rune(256) {
		in.WriteRune(r)
		switch s, ok := short[r]; {
		case ok:
			want.WriteString(s)
		case r < ' ':
			fmt.Fprintf(&want, `\u%04x`, r)
		default:
			want.WriteRune(r)
		}
	}
	const beyond = "\u2028\u2029\ufeff\ufffe中😀/<"
	got := string(encodeValues(map[string]string{"k": in.String() + beyond}))
	if got != `{"table":{"k":"`+want.String()+beyond+`"}}` {
		t.Errorf("got %s", got)
	}
}

func TestOpenAsJava(t *testing.T) {
	for content, want := range map[string]string{
		"":                                 `{}`,
		"null":                             `{}`,
		`{"configTable":{}}`:               `{}`,
		`{"configTable":{"n":{}}}` + "\n":  `{"n":{}}`,
		`{"configTable":{"n":null}}`:       `{}`,
		`{"configTable":{"n":{"k":null}}}`: `{"n":{}}`,
		"\ufeff" + `{"configTable":{"":{"":""}}}`:                       `{"":{"":""}}`,
		`{"configTable":{"n":{"k":1,"l":true,"m":{"a": [1, 2]}}}}`:      `{"n":{"k":"1","l":"true","m":"{\"a\":[1,2]}"}}`,
		`{"x":1,"configTable":{"n":{"k":"v","k":"w"}}}`:                 `{"n":{"k":"w"}}`,
		`{"configTable":{"n":{"k":"v"},"n":{"l":"w"}}}`:                 `{"n":{"l":"w"}}`,
		`{"configTable":{"a":{"k":"v"}},"configTable":{"b":{"k":"v"}}}`: `{"b":{"k":"v"}}`,
	} {
		path := filepath.Join(t.TempDir(), "kv.json")
		must(t, os.WriteFile(path, []byte(content), 0o600))
		s, err := Open(path)
		if err != nil {
			t.Errorf("%q: %v", content, err)
			continue
		}
		if got := string(encodeFile(*s.current.Load(), 0)); got != `{"configTable":`+want+`}` {
			t.Errorf("%q: got %s, want %s", content, got, want)
		}
		if got := held(t, path); got != content {
			t.Errorf("%q: opening changed the file to %q", content, got)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for content, want := range map[string]string{
		"{}":                           "no \"configTable\" object",
		`{"configTable":null}`:         "no \"configTable\" object",
		`{"ConfigTable":{}}`:           "no \"configTable\" object",
		" \n":                          "not a kv config file",
		"[]":                           "not a kv config file",
		"{\n\"configTable\":{}\n x":    "line 3",
		"{'\xff\xff\xff':1 ]\n\n\n\n}": "line 1:",
		`{"configTable":[]}`:           "expected an object",
		`{"configTable":{"n":[]}}`:     "expected an object",
		`{"configTable":{}} x`:         "not a kv config file",
	} {
		path := filepath.Join(t.TempDir(), "kv.json")
		must(t, os.WriteFile(path, []byte(content), 0o600))
		_, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: got %v, want %q and the path", content, err, want)
		}
	}
}

// What either release of the original makes of a file that somebody edited, this makes of it, and by 5.5.0's reading
// where they differ. The answers are those of testdata/Read.java beside the jars of rocketmq-namesrv 5.5.0 and 4.9.7.
func TestOpenReadsWhatPeopleWrite(t *testing.T) {
	golden, err := os.ReadFile("testdata/lenient.txt")
	must(t, err)
	lines := strings.Split(strings.TrimSuffix(string(golden), "\n"), "\n")
	inputs := strings.NewReplacer("~n", "\n", "~t", "\t", "~0", "\x00")
	for _, line := range lines {
		columns := strings.Split(line, "\t")
		got := "refused"
		if read, err := decodeFile([]byte(inputs.Replace(columns[0]))); err == nil {
			got = string(encodeFile(read, 0))
			got = strings.TrimSuffix(strings.TrimPrefix(got, `{"configTable":`), "}")
		}
		want := columns[1]
		if want == "refused" {
			want = columns[2]
		}
		if reason, ours := differently[columns[0]]; ours == (got == want) {
			t.Errorf("%s: got %s; 5.5.0 %s, 4.9.7 %s; known to differ: %q", columns[0], got, columns[1], columns[2], reason)
		}
	}
}

// differently has what is read in another way on purpose.
var differently = map[string]string{
	`{"configTable":{"N":{1:"v"}}}`:              "a name without quotes",
	`{"configTable":{"N":{null:"v"}}}`:           "a name without quotes",
	`{"configTable":{null:{"T":"v"}}}`:           "a name without quotes",
	`{"configTable" /* c */ :{"N":{"T":"v"}}}`:   "a comment may stand wherever blanks may",
	`{"ConfigTable":{"N":{"T":"v"}}}`:            "as 5.5.0",
	`{"config_table":{"N":{"T":"v"}}}`:           "as 5.5.0",
	`{"config-table":{"N":{"T":"v"}}}`:           "as 5.5.0",
	`{"CONFIGTABLE":{"N":{"T":"v"}}}`:            "as 5.5.0",
	`[]`:                                         "as 5.5.0",
	`NULL`:                                       "as 5.5.0",
	` ~n`:                                        "as 5.5.0",
	`~n`:                                         "as 5.5.0",
	`{"configTable":{"N":{"T":undefined}}}`:      "as 5.5.0",
	`{"configTable":{"N":{"T":NaN}}}`:            "as 5.5.0",
	`{"configTable":{"N":{"T":x'41'}}}`:          "as 5.5.0",
	`{"configTable":{"N":{"T":- 1}}}`:            "as 5.5.0",
	`{"configTable":{"N":{"T":Set[1]}}}`:         "as 5.5.0",
	`{"x":Set[1],"configTable":{"N":{"T":"v"}}}`: "no such value is read anywhere",
	`{"configTable":{007:{"T":"v"}}}`:            "a number keeps its zeros",
	`{"configTable":{"N":{"T":"v"},"M":{"$ref":"$.configTable.N"}}}`: "as 4.9.7; no writer of this file makes references",
}

const good = `{"configTable":{"n":{"k":"v"}}}`

// A store of the last run is never started over without a word, and the word names the .bak and what to do with it.
func TestOpenRefusesWhatAFormerStoreLeft(t *testing.T) {
	for name, lay := range map[string]func(path string) error{
		"absent":    func(string) error { return nil },
		"empty":     func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"mark":      func(path string) error { return os.WriteFile(path, []byte("\ufeff"), 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"zeros":     func(path string) error { return os.WriteFile(path, make([]byte, 80), 0o600) },
		"torn":      func(path string) error { return os.WriteFile(path, []byte(good[:20]), 0o600) },
		"looped":    func(path string) error { return os.Symlink(path, path) }, // cannot be read, by root neither
		"null":      func(path string) error { return os.WriteFile(path, []byte(" null // of nobody"), 0o600) },
		"no device": func(path string) error { return os.Symlink(os.DevNull, path) }, // its replacement would be everybody's
		"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"device":    func(path string) error { return os.Symlink("/dev/zero", path) },
		"dangling":  func(path string) error { return os.Symlink(filepath.Join(filepath.Dir(path), "none"), path) },
		"full":      func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o700) },
	} {
		path := filepath.Join(t.TempDir(), "kv.json")
		must(t, lay(path))
		s, err := Open(path)
		asAbsent := slices.Contains([]string{"absent", "empty", "mark", "directory", "null", "dangling"}, name)
		if asAbsent != (err == nil) {
			t.Errorf("%s without a .bak: %v", name, err)
		}
		if asAbsent {
			if got := s.Directory() != nil; got != (name == "directory") {
				t.Errorf("%s: %v", name, s.Directory())
			}
			if err := s.Put("n", "k", "v"); (err == nil) != (name != "directory") {
				t.Errorf("%s: put: %v", name, err)
			}
			must(t, os.Remove(path))
			must(t, os.RemoveAll(filepath.Join(filepath.Dir(path), "none")))
			must(t, lay(path))
		}
		must(t, os.WriteFile(path+".bak", nil, 0o600))
		if _, err := Open(path); asAbsent != (err == nil) {
			t.Errorf("%s with an empty .bak: %v", name, err)
		}
		must(t, os.WriteFile(path+".bak", []byte(good), 0o600))
		_, err = Open(path)
		var fault *Fault
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), "cp -p "+path+".bak "+path) {
			t.Errorf("%s beside a good .bak: %v", name, err)
			continue
		}
		if got, want := fault.EmptyToOriginal(), name != "zeros" && name != "torn"; got != want {
			t.Errorf("%s: the original starts empty: %v", name, got)
		}
	}
}

// Each fault is told with its remedy. A file that cannot be read holds what is newer than the .bak, which is not to take its place.
func TestFaultsHaveARemedy(t *testing.T) {
	for want, f := range map[string]*Fault{
		"let the user that runs epitaph read it": {Path: "p", Bak: "p.bak", Wrong: &fs.PathError{Op: "open", Path: "p", Err: syscall.EACCES}},
		"mend it, or move it away":               {Path: "p", Wrong: ErrNoTable},
		"cp -p p.bak p":                          {Path: "p", Bak: "p.bak", Wrong: ErrNoTable},
	} {
		if text := f.Error(); !strings.Contains(text, want) || strings.Contains(text, "cp -p") != strings.HasPrefix(want, "cp -p") {
			t.Errorf("%s, want %s", text, want)
		}
	}
}

// The .bak of a link stands beside the file that it leads to, also when that is gone.
func TestOpenFindsTheBakBehindALink(t *testing.T) {
	dir := t.TempDir()
	link, file := filepath.Join(dir, "link"), filepath.Join(t.TempDir(), "kv.json")
	must(t, os.Symlink(file, link))
	must(t, os.WriteFile(file+".bak", []byte(good), 0o600))
	if _, err := Open(link); err == nil || !strings.Contains(err.Error(), file+".bak") {
		t.Errorf("got %v", err)
	}
}

// What a start would refuse is not written.
func TestSaveRefusesWhatOpenWould(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.json")
	must(t, os.WriteFile(path, []byte(good), 0o600))
	if err := save(path, make([]byte, MaxFileBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if got := held(t, path); got != good {
		t.Errorf("file has %d bytes", len(got))
	}
}

func TestAChangeThatCannotBePersistedChangesNothing(t *testing.T) {
	s := openNew(t)
	must(t, s.Put(OrderTopicConfig, "t", "b:4"))
	generation := s.OrderGeneration()
	must(t, os.Mkdir(s.Path()+".bak", 0o700)) // the previous content has no place to go
	must(t, os.WriteFile(filepath.Join(s.Path()+".bak", "x"), nil, 0o600))
	before := held(t, s.Path())
	for name, change := range map[string]func() error{
		"put":    func() error { return s.Put(OrderTopicConfig, "t", "b:8") },
		"delete": func() error { return s.Delete(OrderTopicConfig, "t") },
	} {
		if err := change(); err == nil {
			t.Errorf("%s succeeded", name)
		}
	}
	if v, ok := s.Get(OrderTopicConfig, "t"); !ok || v != "b:4" {
		t.Errorf("value is %q, %v", v, ok)
	}
	if s.OrderGeneration() != generation {
		t.Error("the generation moved")
	}
	if got := held(t, s.Path()); got != before {
		t.Errorf("file is %s", got)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(s.Path()), ".*.tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestOrderGenerationFollowsItsNamespaceOnly(t *testing.T) {
	s := openNew(t)
	g := s.OrderGeneration()
	must(t, s.Put("other", "t", "v"))
	if s.OrderGeneration() != g {
		t.Error("moved by another namespace")
	}
	must(t, s.Put(OrderTopicConfig, "t", "v"))
	if s.OrderGeneration() == g {
		t.Error("not moved by a put")
	}
}

func TestTooLargeIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.json")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Truncate(path, MaxFileBytes+1))
	_, err := Open(path)
	var fault *Fault
	if !errors.Is(err, ErrTooLarge) || !errors.As(err, &fault) || fault.EmptyToOriginal() {
		t.Errorf("got %v, which is empty to the original: %v", err, fault != nil && fault.EmptyToOriginal())
	}
}

func TestManyWriters(t *testing.T) {
	s := openNew(t)
	const writers, keys = 4, 8
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for k := range keys {
				key := fmt.Sprintf("%d-%d", w, k)
				if err := s.Put("n", key, "v"); err != nil {
					t.Error(err)
				}
				if _, ok := s.Get("n", key); !ok {
					t.Errorf("%s is lost", key)
				}
			}
		})
	}
	wg.Wait()
	again, err := Open(s.Path())
	must(t, err)
	if got := len(again.current.Load().values("n")); got != writers*keys {
		t.Errorf("%d keys in the file, want %d", got, writers*keys)
	}
}

// FuzzOpen: no content panics, and what is accepted is written and read back as it was taken.
func FuzzOpen(f *testing.F) {
	f.Fuzz(func(t *testing.T, content []byte) {
		first, err := decodeFile(content)
		if err != nil {
			return
		}
		written := encodeFile(first, 0)
		second, err := decodeFile(written)
		if err != nil {
			t.Fatalf("%q: wrote %q, which does not read: %v", content, written, err)
		}
		if again := encodeFile(second, 0); string(again) != string(written) {
			t.Fatalf("%q: wrote %q, then %q", content, written, again)
		}
	})
}
