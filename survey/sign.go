package survey

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RocketMQ's signature is HmacSHA1
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/epitaph-mq/epitaph/remoting"
)

// Key is what requests are signed with. It prints as nothing but its name.
type Key struct {
	Access string
	secret string
}

func (k Key) String() string { return k.Access }

// GoString keeps the secret out of %#v, too.
func (k Key) GoString() string { return k.Access }

// sign adds AccessKey and Signature to a request, as Java's AclClientRPCHook does: HmacSHA1 over all values of extFields
// in the order of their names, then the body.
func (k *Key) sign(c *remoting.Command) {
	ext := maps.Clone(c.Ext)
	if ext == nil {
		ext = map[string]string{}
	}
	ext["AccessKey"] = k.Access
	mac := hmac.New(sha1.New, []byte(k.secret))
	for _, name := range slices.Sorted(maps.Keys(ext)) {
		mac.Write([]byte(ext[name]))
	}
	mac.Write(c.Body)
	ext["Signature"] = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	c.Ext = ext
}

// notText says that a value is what YAML 1.1 takes for something else than text when it has no quotes, and mqadmin then changes: octal 0123 is 83.
func notText(value string) bool {
	return regexp.MustCompile(`^([-+]?0[0-7_]+|[-+]?0[xb][0-9a-fA-F_]+|[-+]?[0-9][0-9_]*_[0-9_]*|[-+]?\.?[0-9][0-9_]*[.eE][0-9_eE.+-]*|[-+]?[0-9]+(:[0-5]?[0-9])+|` +
		`[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*|~|null|Null|NULL|true|True|TRUE|false|False|FALSE|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)$`).MatchString(value)
}

// ParseKey reads accessKey and secretKey of a tools.yml as mqadmin reads it (Java's AclUtils.getAclRPCHook): of its YAML what
// people write there, one "name: value" a line; what is something else is refused, never guessed. Errors hold no values.
func ParseKey(text []byte) (*Key, error) {
	values := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimRight(lines.Text(), " \t\r")
		name, rest, ok := strings.Cut(line, ":")
		name = strings.Trim(name, `"'`)
		switch {
		case line == "" || strings.HasPrefix(strings.TrimSpace(line), "#") || line == "---" || line == "...":
			continue
		case line[0] == ' ' || line[0] == '\t' || line[0] == '-':
			continue // below something else
		case !ok:
			return nil, fmt.Errorf("line %d: want NAME: VALUE", number)
		case name != "accessKey" && name != "secretKey":
			continue
		}
		value, err := scalar(rest)
		if err != nil {
			return nil, fmt.Errorf("line %d: %s %w", number, name, err)
		}
		values[name] = value
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	k := &Key{values["accessKey"], values["secretKey"]}
	if strings.TrimSpace(k.Access) == "" || strings.TrimSpace(k.secret) == "" {
		return nil, fmt.Errorf("want accessKey: NAME and secretKey: SECRET, each on a line of its own")
	}
	return k, nil
}

func scalar(rest string) (string, error) {
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return "", fmt.Errorf("wants a blank behind its colon")
	}
	value := strings.TrimSpace(rest)
	if value == "" {
		return "", fmt.Errorf("has no value on its line")
	}
	switch quote := value[0]; quote {
	case '\'', '"':
		end := strings.IndexByte(value[1:], quote) + 1
		behind := strings.TrimSpace(value[end+1:])
		if end == 0 || behind != "" && behind[0] != '#' || quote == '"' && strings.ContainsRune(value[:end], '\\') {
			return "", fmt.Errorf("is quoted in a way that is not understood: put it in '...', without ' in it")
		}
		return value[1:end], nil
	case '|', '>', '&', '*', '!', '%', '@', '`', '{', '[':
		return "", fmt.Errorf("begins with what YAML takes for something else: put it in '...'")
	}
	if i := strings.Index(value, " #"); i >= 0 {
		value = strings.TrimRight(value[:i], " \t")
	}
	if strings.Contains(value, ": ") || notText(value) {
		return "", fmt.Errorf("is what YAML takes for something else than text: put it in '...'")
	}
	return value, nil
}
