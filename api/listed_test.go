package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// What was once there to be asked for and answered is there, and has the type that it had.
func TestNothingIsTakenAway(t *testing.T) {
	type schema struct {
		Ref        string `json:"$ref"`
		Type       string
		Format     string
		AllOf      []*schema
		Items      *schema
		Properties map[string]*schema
		Required   []string
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name     string
				Required bool
				Schema   schema
			}
			Responses map[string]struct {
				Content map[string]struct{ Schema schema }
			}
		}
		Components struct{ Schemas map[string]*schema }
	}
	text, err := OpenAPI.Unpack()
	kit.Must(t, err)
	kit.Must(t, json.Unmarshal([]byte(text), &doc))
	var typeOf func(s *schema) string
	typeOf = func(s *schema) string {
		switch {
		case s.Ref != "":
			return s.Ref[len("#/components/schemas/"):]
		case len(s.AllOf) > 0:
			return typeOf(s.AllOf[0])
		case s.Items != nil:
			return "list of " + typeOf(s.Items)
		case s.Format != "":
			return s.Type + " (" + s.Format + ")"
		}
		return s.Type
	}
	var lines []string
	add := func(format string, a ...any) { lines = append(lines, fmt.Sprintf(format, a...)) }
	for path, methods := range doc.Paths {
		for method, op := range methods {
			for _, p := range op.Parameters {
				add("%s %s ?%s %s%s", method, path, p.Name, typeOf(&p.Schema), map[bool]string{true: " required"}[p.Required])
			}
			for status, r := range op.Responses {
				for content, c := range r.Content {
					add("%s %s %s %s %s", method, path, status, content, typeOf(&c.Schema))
				}
			}
		}
	}
	for name, s := range doc.Components.Schemas {
		for field, f := range s.Properties {
			always := map[bool]string{true: " always"}[slices.Contains(s.Required, field)]
			add("%s.%s %s%s", name, field, typeOf(f), always)
		}
	}
	kit.Listed(t, "testdata/v1.txt", lines)
}
