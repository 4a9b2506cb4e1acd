package remoting

import (
	"bytes"
	"math"
)

// Str returns the text of an extFields member; "" and false when it is absent or null. It allocates.
func (r *Request) Str(key string) (string, bool) {
	v, ok := r.Get(key)
	return string(v), ok
}

// Int64 reads an extFields member as Java's Long.parseLong does. ok is false when it is absent, null or no
// such number: Java only logs these cases and leaves the field of the custom header unset.
func (r *Request) Int64(key string) (n int64, ok bool) {
	v, _ := r.Get(key)
	return ParseInt64(v)
}

// Int32 is Int64 by the rules of Integer.parseInt.
func (r *Request) Int32(key string) (n int32, ok bool) {
	v, _ := r.Get(key)
	return ParseInt32(v)
}

// Bool reads an extFields member as Java's Boolean.parseBoolean: true only for the text "true" in any letter
// case. ok says whether the member is there at all.
func (r *Request) Bool(key string) (value, ok bool) {
	v, ok := r.Get(key)
	return ParseBool(v), ok
}

// ParseInt64 reads an optional sign and decimal digits, nothing else. ok is false for everything else and
// beyond 64 bits.
func ParseInt64(b []byte) (n int64, ok bool) {
	neg := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		neg = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		d := int64(c - '0')
		if c < '0' || c > '9' || n < (math.MinInt64+d)/10 {
			return 0, false
		}
		n = n*10 - d // negative on the way, since -2^63 has no positive twin
	}
	switch {
	case neg:
		return n, true
	case n == math.MinInt64:
		return 0, false
	}
	return -n, true
}

// ParseInt32 is ParseInt64 within 32 bits.
func ParseInt32(b []byte) (int32, bool) {
	n, ok := ParseInt64(b)
	if !ok || n != int64(int32(n)) {
		return 0, false
	}
	return int32(n), true
}

// ParseBool is true only for the text "true" in any letter case.
func ParseBool(b []byte) bool { return len(b) == 4 && bytes.EqualFold(b, []byte("true")) }
