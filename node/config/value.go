package config

import (
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"unicode"

	"github.com/epitaph-mq/epitaph/mq"
)

// ParseLevel is the level of that name, from which on lines of the log are written; none is info. The error says what is wanted.
func ParseLevel(name string) (slog.Level, error) {
	switch name {
	case "", "info":
		return slog.LevelInfo, nil
	case "debug":
		return slog.LevelDebug, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, errors.New("want debug, info, warn or error")
}

// Networks reads the CIDR,... of a flag of ours or its variable, which source names; empty is nobody. The error is a *Fault.
func Networks(source, text string) (mq.Networks, error) {
	if text == "" {
		return nil, nil
	}
	all, err := mq.ParseNetworks(text)
	if err != nil {
		return nil, &Fault{Key: source, Value: text, Remedy: err.Error()}
	}
	return all, nil
}

// text is the value as codes 318 and 319 and the option printer show it.
func (opt option) text(o *Options) string {
	switch v := opt.field(o).(type) {
	case *string:
		return *v
	case *bool:
		return strconv.FormatBool(*v)
	case *int32:
		return strconv.FormatInt(int64(*v), 10)
	case *int64:
		return strconv.FormatInt(*v, 10)
	}
	panic("config: option " + opt.name + " has a field of an unknown type")
}

// setJava sets the value as MixAll.properties2Object does: only the word true in any case is true, all other text is
// false; a number that does not parse, blanks included, changes nothing and gives false.
func (opt option) setJava(o *Options, value string) (ok bool) {
	switch v := opt.field(o).(type) {
	case *string:
		*v = trimJava(value)
	case *bool:
		*v = strings.EqualFold(value, "true")
	case *int32:
		n, ok := parseJava(value, 32)
		if !ok {
			return false
		}
		*v = int32(n)
	case *int64:
		n, ok := parseJava(value, 64)
		if !ok {
			return false
		}
		*v = n
	}
	return true
}

// want says what values the option takes, for messages.
func (opt option) want() string {
	switch opt.field(&Options{}).(type) {
	case *bool:
		return "true or false"
	case *int32:
		return "a whole number from -2147483648 to 2147483647"
	case *int64:
		return "a whole number of at most 64 bits"
	}
	return "text"
}

// strictFault says what is wrong with a value by the rule for our own flags, which read nothing into a value that the
// original would quietly take for something else; empty is well.
func (opt option) strictFault(value string) string {
	if _, isBool := opt.field(&Options{}).(*bool); isBool {
		if !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
			return "want " + opt.want()
		}
		return ""
	}
	if !opt.setJava(&Options{}, value) {
		return "want " + opt.want()
	}
	return ""
}

// parseJava reads a number as Integer.parseInt and Long.parseLong do: an optional sign and decimal digits, those of
// other scripts included, nothing else.
func parseJava(s string, bits int) (n int64, ok bool) {
	n, err := strconv.ParseInt(strings.Map(decimalDigit, s), 10, bits)
	return n, err == nil
}

// decimalDigit gives the ASCII digit for a digit of another script; every range of them begins with its zero. Java
// looks at one UTF-16 unit at a time, so digits beyond the basic plane are none.
func decimalDigit(r rune) rune {
	if r < 0x80 {
		return r
	}
	for _, digits := range unicode.Nd.R16 {
		if rune(digits.Lo) <= r && r <= rune(digits.Hi) {
			return '0' + (r-rune(digits.Lo))%10
		}
	}
	return r
}

// trimJava cuts off what String.trim does: all characters up to the blank.
func trimJava(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
}
