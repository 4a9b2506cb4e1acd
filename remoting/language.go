package remoting

import "strconv"

// Language is the ordinal of Java's LanguageCode: what the sender is written in.
type Language byte

// The languages of LanguageCode, with the ordinals that binary headers carry.
const (
	Java Language = iota
	CPP
	DotNet
	Python
	Delphi
	Erlang
	Ruby
	Other
	HTTP
	Go
	PHP
	OMS
	Rust
	NodeJS

	languages = iota
)

// UnknownLanguage stands for Java's null: an unknown name or ordinal. It refuses nothing.
const UnknownLanguage Language = 255

func (l Language) name() string {
	names := [languages]string{"JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER",
		"HTTP", "GO", "PHP", "OMS", "RUST", "NODE_JS"}
	if int(l) < len(names) {
		return names[l]
	}
	return ""
}

// String is the enum name as it stands in JSON headers, or "unknown".
func (l Language) String() string {
	if n := l.name(); n != "" {
		return n
	}
	if l == UnknownLanguage {
		return "unknown"
	}
	return "unknown(" + strconv.Itoa(int(l)) + ")"
}
