// Package packed holds the texts that are in the program compressed: a tenth of their size, and unpacked only for whoever asks.
package packed

import (
	"bytes"
	"compress/gzip"
	"io"
)

// Text is a compressed text, as the program embeds it. Make one with Pack.
type Text []byte

// Pack compresses.
func Pack(text string) (Text, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Unpack gives the text back.
func (t Text) Unpack() (string, error) {
	r, err := gzip.NewReader(bytes.NewReader(t))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	return string(text), err
}
