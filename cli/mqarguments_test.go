package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMQArguments has what the released 5.5.0 makes of each command line.
func TestMQArguments(t *testing.T) {
	for _, c := range []struct {
		line string // words separated by blanks
		want mqArguments
		err  string
	}{
		{line: "", want: mqArguments{}},
		{line: "-h", want: mqArguments{'h': ""}},
		{line: "foo -p bar", want: mqArguments{'p': ""}},
		{line: "-c f foo -n x", want: mqArguments{'c': "f", 'n': "x"}},
		{line: "-cf -cg", want: mqArguments{'c': "f"}},
		{line: "-c=f", want: mqArguments{'c': "f"}},
		{line: `-c "f"`, want: mqArguments{'c': "f"}},
		{line: "-c -x", want: mqArguments{'c': "-x"}},
		{line: "-n -5 -h", want: mqArguments{'n': "-5", 'h': ""}},
		{line: "--c f -hp", want: mqArguments{'c': "f", 'h': "", 'p': ""}},
		{line: "-configFile=f --printConfigItem", want: mqArguments{'c': "f", 'p': ""}},
		{line: "--con=f -hel", want: mqArguments{'c': "f", 'h': ""}},
		{line: "- -h", want: mqArguments{'h': ""}},
		{line: "-- -h -c f", want: mqArguments{}},
		{line: "-x", err: "Unrecognized option: -x"},
		{line: "--bogus", err: "Unrecognized option: --bogus"},
		{line: "-px", err: "Unrecognized option: -px"},
		{line: "-hx", err: "Unrecognized option: -hx"},
		{line: "-h=3", err: "Unrecognized option: -h=3"},
		{line: "--printConfigItem=3", err: "Unrecognized option: --printConfigItem=3"},
		{line: "-c", err: "Missing argument for option: c"},
		{line: "-configFile", err: "Missing argument for option: c"},
		{line: "-c -h", err: "Missing argument for option: c"},
		{line: "--conf -p", err: "Missing argument for option: c"},
	} {
		got, err := parseMQArguments(strings.Fields(c.line))
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil && err.Error() != c.err || err == nil && c.err != "" {
			t.Errorf("%q: %v, want %q\n%s", c.line, err, c.err, diff)
		}
	}
}
