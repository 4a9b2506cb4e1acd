package differential

import (
	"math/rand/v2"
	"regexp"
	"strings"
)

// member finds the members of a JSON text whose value is no object and no list.
var member = regexp.MustCompile(`"(\w+)":(-?\d+|true|false|null|"(?:[^"\\]|\\.)*")`)

// What is not twisted: the golden files of package remoting list what fastjson2 does with stranger texts still, and where we
// answer otherwise, with reasons. Here stands what brokers and clients of other makes may come to send.

// What the original takes from its own clock or counter when it is absent, what decides whether there is an answer, and
// what it half applies when it is missing (B 2): their values are written in other ways, but stay.
var keep = map[string]bool{
	"serializeTypeCurrentRPC": true, "topicFilterType": true, "topicSysFlag": true,
	"timestamp": true, "opaque": true, "flag": true, "code": true, "topicName": true, "bname": true, "version": true,
}

// twist writes one member of a JSON text, or the text around them, as no broker or client does but fastjson2 may accept.
func twist(rng *rand.Rand, text string) string {
	at := member.FindAllStringSubmatchIndex(text, -1)
	if len(at) == 0 || rng.IntN(12) == 0 {
		return twistText(rng, text)
	}
	m := at[rng.IntN(len(at))]
	name, value := text[m[2]:m[3]], text[m[4]:m[5]]
	return text[:m[0]] + twistMember(rng, name, value) + text[m[1]:]
}

// twistText changes what stands around the members.
func twistText(rng *rand.Rand, text string) string {
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	switch rng.IntN(7) {
	case 0:
		return pick(" ", "\n", "\t\r\n", "/* a */", "// a\n", "\ufeff", "\u00a0", "\x00", "\b") + text
	case 1:
		return text + pick(" ", "\n", ",", "/* a */", "// a", "x", "}", "{}", "\x00", "\x1a", " 1", ",,")
	case 2:
		return text[:len(text)-1] // cut short
	case 3:
		return strings.Replace(text, "{", "{"+pick(",", " ", `"zz":[1,{"a":null}],`, `"zz":'b',`, `zz:1,`, `"zz":01,`, `"zz":,`), 1)
	case 4:
		return text[:len(text)-1] + pick(",}", " }", ",,}", ";}", "]")
	case 5:
		return strings.Replace(text, ",", pick(" , ", ",,", " ", ";"), 1)
	default:
		return strings.Replace(text, ":", pick(" : ", "=", "::", "\t:"), 1)
	}
}

func twistMember(rng *rand.Rand, name, value string) string {
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	if rng.IntN(4) == 0 { // the name
		whole := `"` + name + `":` + value
		names := []string{"'" + name + "'", `"` + `\u00` + hex(name[0]) + name[1:] + `"`, `"` + name + `" `, ` "` + name + `"`}
		if !keep[name] {
			names = append(names, name, `"`+strings.ToUpper(name)+`"`, `"`+name[:1]+"_"+name[1:]+`"`, `"`+name+` "`, `""`)
			if rng.IntN(3) == 0 {
				return `"zz":` + value // the member is missing
			}
		}
		if rng.IntN(4) == 0 && name != "serializeTypeCurrentRPC" && name != "topicFilterType" {
			return pick(`"`+name+`":null,`, `"`+name+`":"999",`, `"`+name+`":false,`) + whole // the last one wins
		}
		return pick(names...) + ":" + value
	}
	return `"` + name + `":` + twistValue(rng, name, value)
}

func twistValue(rng *rand.Rand, name, value string) string {
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	switch c := value[0]; {
	case c == '"' && (strings.Contains(value, place) || keep[name]): // names stay what they are
		inner := value[1 : len(value)-1]
		if strings.ContainsAny(inner, `'\`) || inner == "" || name == "topicFilterType" || inner[len(inner)-1] >= 0x80 {
			return pick(" "+value, value+" ")
		}
		return pick("'"+inner+"'", " "+value, value+" ", `"`+inner[:len(inner)-1]+last(inner)+`"`)
	case c == '"':
		return pick("null", `""`, "5", "-1.50", "1e3", "true", `{"b":1,"a":[1.50,"c",null]}`, `[]`, `["a"]`, `"\u0041\/\x41"`, `"\q"`, "'a\"b'", "abc", "99999999999999999999")
	case c == 't' || c == 'f' || c == 'n':
		return pick("null", `"`+value+`"`, `"`+strings.ToUpper(value)+`"`, strings.ToUpper(value), "1", "0", "2", `""`, `"1"`, `"yes"`, "{}", "[]", "1.5", `" true"`)
	}
	same := []string{`"` + value + `"`, "'" + value + "'", value + ".0", value + ".9", value + "e0", "+" + value, " " + value, value + " ", value + "L", `"` + value + `.0"`, "0" + value, value + "D"}
	if keep[name] {
		return pick(same...)
	}
	if name != "counter" { // the original keeps null, and trips over it later (B 2)
		same = append(same, "null")
	}
	return pick(append(same, "true", "false", `""`, `"null"`, `" `+value+`"`, "-0", "-"+value, "9999999999", "-2147483648", "2147483648",
		"1e9", "1e10", "99999999999999999999", "NaN", "0x10", ".5", "-.5", `"abc"`, "1e", `"1e2"`, `"1.9"`)...)
}

// last writes the last character of a text as an escape.
func last(text string) string { return `\u00` + hex(text[len(text)-1]) }

func hex(c byte) string { return string("0123456789abcdef"[c>>4]) + string("0123456789ABCDEF"[c&15]) }
