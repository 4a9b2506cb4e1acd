package remoting

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

// MaxExtFields limits the members of a request's extFields. Real requests have less than twenty.
const MaxExtFields = 4096

// Errors of JSON headers beside those of the JSON text itself (fastjson.ErrSyntax).
var (
	ErrNoObject    = errors.New("header is not an object")
	ErrLanguage    = errors.New("language is not one of Java's LanguageCode")
	ErrManyExt     = errors.New("more than 4096 extFields")
	errBinaryShort = errors.New("header is shorter than its lengths say")
)

// decodeJSON reads a RemotingCommand as fastjson2 does: unknown members are skipped, the last of several
// members of one name wins.
func (r *Request) decodeJSON(header []byte) error {
	var s fastjson.Scanner
	s.Reset(header, r.scratch)
	if !s.Open() {
		if err := s.Err(); err != nil {
			return err
		}
		return ErrNoObject
	}
	var err error
	for name, ok := s.Name(); ok && err == nil; name, ok = s.Name() {
		switch string(name) {
		case "code":
			r.Code, _ = s.Int32()
		case "language":
			err = r.decodeLanguage(&s)
		case "version":
			r.Version, _ = s.Int32()
		case "opaque":
			r.opaque.from = s.Offset()
			r.Opaque, _ = s.Int32()
			r.opaque.to = s.Offset()
		case "flag":
			r.Flag, _ = s.Int32()
		case "remark":
			r.Remark = s.String()
		case "extFields":
			err = r.decodeExt(&s)
		default:
			s.Skip()
		}
	}
	if err == nil {
		err = s.End()
	}
	r.scratch = s.Scratch()
	return err
}

func (r *Request) decodeExt(s *fastjson.Scanner) error {
	r.Ext = r.Ext[:0]
	if r.HasExt = s.Open(); !r.HasExt {
		return nil
	}
	for name, ok := s.Name(); ok; name, ok = s.Name() {
		if len(r.Ext) == MaxExtFields {
			return ErrManyExt
		}
		from := s.Offset()
		r.Ext = append(r.Ext, Field{Key: name, Value: s.String()})
		if string(name) == "topic" {
			r.topic = place{from: from, to: s.Offset(), index: len(r.Ext) - 1}
		}
	}
	return nil
}

// decodeLanguage takes a name in any letter case, an ordinal, or null. Other names are Java's null, too; other
// ordinals and types refuse the header.
func (r *Request) decodeLanguage(s *fastjson.Scanner) error {
	if text, quoted := s.Quoted(); quoted {
		r.Language = parseLanguageFold(text)
		if n, ok := ParseInt32(text); ok && n >= 0 && n < languages {
			r.Language = Language(n)
		}
		return nil
	}
	if !s.AtNumberOrNull() {
		return ErrLanguage
	}
	n, null := s.Int32()
	if null {
		r.Language = UnknownLanguage
		return nil
	}
	return r.setLanguage(n)
}

func (r *Request) setLanguage(ordinal int32) error {
	if ordinal < 0 || ordinal >= languages {
		return ErrLanguage
	}
	r.Language = Language(ordinal)
	return nil
}

func parseLanguageFold(name []byte) Language {
	for l := Java; l < languages; l++ {
		if len(name) == len(l.name()) && bytes.EqualFold(name, []byte(l.name())) {
			return l
		}
	}
	return UnknownLanguage
}

func appendJSONResponse(dst []byte, r *Response) []byte {
	dst = strconv.AppendInt(append(dst, `{"code":`...), int64(r.Code), 10)
	if r.HasExt {
		dst = append(dst, `,"extFields":{`...)
		for i, p := range r.Ext {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(fastjson.AppendString(dst, p.Key), ':')
			dst = fastjson.AppendString(dst, p.Value)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `,"flag":1,"language":"JAVA","opaque":`...)
	dst = strconv.AppendInt(dst, int64(r.Opaque), 10)
	if r.HasRemark {
		dst = fastjson.AppendString(append(dst, `,"remark":`...), r.Remark)
	}
	return append(dst, responseTail...)
}

// responseTail ends with Version; a test keeps the two equal.
const responseTail = `,"serializeTypeCurrentRPC":"JSON","version":513}`

func appendJSONCommand(dst []byte, c *Command) []byte {
	dst = strconv.AppendInt(append(dst, `{"code":`...), int64(c.Code), 10)
	if c.Ext != nil {
		dst = append(dst, `,"extFields":{`...)
		for i, key := range c.sortedKeys() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(fastjson.AppendString(dst, key), ':')
			dst = fastjson.AppendString(dst, c.Ext[key])
		}
		dst = append(dst, '}')
	}
	dst = strconv.AppendInt(append(dst, `,"flag":`...), int64(c.Flag), 10)
	if name := c.Language.name(); name != "" {
		dst = append(append(append(dst, `,"language":"`...), name...), '"')
	}
	dst = strconv.AppendInt(append(dst, `,"opaque":`...), int64(c.Opaque), 10)
	if c.HasRemark {
		dst = fastjson.AppendString(append(dst, `,"remark":`...), c.Remark)
	}
	dst = append(dst, `,"serializeTypeCurrentRPC":"JSON","version":`...)
	return append(strconv.AppendInt(dst, int64(c.Version), 10), '}')
}
