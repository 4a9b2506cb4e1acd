package cli

import (
	"fmt"
	"strings"
)

// mqArguments are the options given to mqnamesrv by their short names, each with its first value.
type mqArguments map[byte]string

func (a mqArguments) has(short byte) bool     { _, ok := a[short]; return ok }
func (a mqArguments) value(short byte) string { return a[short] }

// mqLongNames has the options of mqnamesrv; those in mqWithValue take one.
var mqLongNames = map[byte]string{'c': "configFile", 'h': "help", 'n': "namesrvAddr", 'p': "printConfigItem"}

const mqWithValue = "cn"

// mqParser reads a command line as DefaultParser of Apache Commons CLI does: long names may be cut short and have one
// dash or two, short ones may be joined, a value may follow "=" or its letter, other words are ignored.
type mqParser struct {
	found   mqArguments
	pending byte // option that waits for its value, 0 for none
}

// parseMQArguments gives the options found; the text of the error is that of the original.
func parseMQArguments(args []string) (mqArguments, error) {
	p := mqParser{found: mqArguments{}}
	for _, word := range args {
		if word == "--" {
			break
		}
		if err := p.word(word); err != nil {
			return nil, err
		}
	}
	if p.pending != 0 {
		return nil, p.missing()
	}
	return p.found, nil
}

func (p *mqParser) missing() error { return fmt.Errorf("Missing argument for option: %c", p.pending) } //nolint:staticcheck // the original's text

func unrecognized(word string) error { return fmt.Errorf("Unrecognized option: %s", word) } //nolint:staticcheck // the original's text

func (p *mqParser) word(word string) error {
	if p.pending != 0 && !looksLikeOption(word) {
		p.set(word)
		return nil
	}
	if len(word) < 2 || word[0] != '-' {
		return nil
	}
	if strings.HasPrefix(word, "--") {
		return p.long(word, word[2:])
	}
	return p.oneDash(word, word[1:])
}

// oneDash reads -c, -c=v, -cv, -hp, -configFile, -configFilev.
func (p *mqParser) oneDash(word, body string) error {
	name, value, hasValue := strings.Cut(body, "=")
	switch {
	case len(name) == 1 && hasValue:
		if !strings.Contains(mqWithValue, name) {
			return unrecognized(word)
		}
		if err := p.option(name[0]); err != nil {
			return err
		}
		p.set(value)
		return nil
	case hasValue, len(body) > 1 && longNamed(body) != 0:
		return p.long(word, body)
	}
	return p.joined(word, body)
}

func (p *mqParser) joined(word, body string) error {
	for i := range len(body) {
		if mqLongNames[body[i]] == "" {
			return unrecognized(word)
		}
		if err := p.option(body[i]); err != nil {
			return err
		}
		if p.pending != 0 && i+1 < len(body) {
			p.set(body[i+1:])
			return nil
		}
	}
	return nil
}

func (p *mqParser) long(word, body string) error {
	name, value, hasValue := strings.Cut(body, "=")
	short := longNamed(name)
	if short == 0 || hasValue && !strings.Contains(mqWithValue, string(short)) {
		return unrecognized(word)
	}
	if err := p.option(short); err != nil {
		return err
	}
	if hasValue {
		p.set(value)
	}
	return nil
}

func (p *mqParser) option(short byte) error {
	if p.pending != 0 {
		return p.missing()
	}
	if strings.IndexByte(mqWithValue, short) >= 0 {
		p.pending = short
		return nil
	}
	p.found[short] = ""
	return nil
}

func (p *mqParser) set(value string) {
	if _, twice := p.found[p.pending]; !twice {
		p.found[p.pending] = unquoted(value)
	}
	p.pending = 0
}

// unquoted cuts off one pair of quotes around a value.
func unquoted(value string) string {
	if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' && !strings.Contains(value[1:len(value)-1], `"`) {
		return value[1 : len(value)-1]
	}
	return value
}

// longNamed finds the option whose long name begins with name; no two begin with the same letter.
func longNamed(name string) byte {
	for short, long := range mqLongNames {
		if name != "" && strings.HasPrefix(long, name) {
			return short
		}
	}
	return 0
}

// looksLikeOption says that a word cannot be the value of the option before it.
func looksLikeOption(word string) bool {
	if len(word) < 2 || word[0] != '-' {
		return false
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(word[1:], "-"), "=")
	return word == "--" || longNamed(name) != 0 || word[1] != '-' && mqLongNames[word[1]] != ""
}
