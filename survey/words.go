package survey

import (
	"fmt"
	"slices"
	"strings"
)

// Texts are the values of a difference, each once.
func (d *Difference) Texts() (all []string) {
	for _, value := range d.Values {
		if value.Known && value.Held && !slices.Contains(all, value.Text) {
			all = append(all, value.Text)
		}
	}
	return all
}

// At is which of the targets have a value.
func (d *Difference) At(targets []Target, text string) []string {
	return d.where(targets, func(v Value) bool { return v.Held && v.Text == text })
}

// NotAt is which of them have another value, or none.
func (d *Difference) NotAt(targets []Target, text string) []string {
	return d.where(targets, func(v Value) bool { return !v.Held || v.Text != text })
}

// Lacking is which of them have none.
func (d *Difference) Lacking(targets []Target) []string {
	return d.where(targets, func(v Value) bool { return !v.Held })
}

func (d *Difference) where(targets []Target, is func(v Value) bool) (all []string) {
	for i, value := range d.Values {
		if value.Known && is(value) {
			all = append(all, targets[i].Addr)
		}
	}
	return all
}

// Spoken is a difference in words: each value and where it is.
func (d *Difference) Spoken(targets []Target) string {
	var parts []string
	for _, text := range d.Texts() {
		shown := text
		if shown == "" {
			shown = `""`
		}
		parts = append(parts, fmt.Sprintf("%s at %s", shown, strings.Join(d.At(targets, text), ", ")))
	}
	if lacks := d.Lacking(targets); len(lacks) > 0 {
		parts = append(parts, "not at "+strings.Join(lacks, ", "))
	}
	return strings.Join(parts, "; ")
}
