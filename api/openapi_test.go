package api

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// schemaMaker makes schemas of the API types and of the comments that stand beside their fields.
type schemaMaker struct {
	types map[string]*ast.TypeSpec
	docs  map[string]string
}

func newSchemaMaker(t *testing.T) *schemaMaker {
	t.Helper()
	m := &schemaMaker{types: map[string]*ast.TypeSpec{}, docs: map[string]string{}}
	files, err := filepath.Glob("*.go")
	kit.Must(t, err)
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		kit.Must(t, err)
		for _, decl := range f.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.TYPE {
				continue
			}
			for _, spec := range gen.Specs {
				ts := spec.(*ast.TypeSpec)
				if ts.Name.IsExported() {
					m.types[ts.Name.Name], m.docs[ts.Name.Name] = ts, sentence(gen.Doc.Text())
				}
			}
		}
	}
	return m
}

// sentence is a comment on one line.
func sentence(doc string) string { return strings.Join(strings.Fields(doc), " ") }

type schema = map[string]any

// all makes every schema. Fields of embedded structs stand among the others, as encoding/json writes them.
func (m *schemaMaker) all() (schema, error) {
	out := schema{}
	for name, spec := range m.types {
		st, ok := spec.Type.(*ast.StructType)
		if !ok {
			return nil, fmt.Errorf("%s is no struct", name)
		}
		properties, required := schema{}, []any{}
		if err := m.fields(st, properties, &required); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		one := schema{"type": "object", "description": m.docs[name], "properties": properties, "additionalProperties": false}
		if len(required) > 0 {
			one["required"] = required
		}
		out[name] = one
	}
	return out, nil
}

func (m *schemaMaker) fields(st *ast.StructType, properties schema, required *[]any) error {
	for _, f := range st.Fields.List {
		if len(f.Names) == 0 {
			inner, ok := m.types[f.Type.(*ast.Ident).Name]
			if !ok {
				return fmt.Errorf("embeds %v", f.Type)
			}
			if err := m.fields(inner.Type.(*ast.StructType), properties, required); err != nil {
				return err
			}
			continue
		}
		name, options, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")
		one, err := m.schemaOf(f.Type)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if doc := sentence(f.Doc.Text() + " " + f.Comment.Text()); one["$ref"] != nil && doc != "" {
			one = schema{"description": doc, "allOf": []any{one}}
		} else if one["$ref"] == nil {
			if doc == "" {
				doc = plainWords(name)
			}
			one["description"] = doc
		}
		properties[name] = one
		if options != "omitempty" {
			*required = append(*required, name)
		}
	}
	return nil
}

// plainWords describes a field whose name says all: "data_version" is "Data version."
func plainWords(name string) string {
	words := strings.ReplaceAll(name, "_", " ")
	return strings.ToUpper(words[:1]) + words[1:] + "."
}

func (m *schemaMaker) schemaOf(t ast.Expr) (schema, error) {
	switch t := t.(type) {
	case *ast.StarExpr:
		return m.schemaOf(t.X)
	case *ast.ArrayType:
		items, err := m.schemaOf(t.Elt)
		return schema{"type": "array", "items": items}, err
	case *ast.SelectorExpr: // time.Time
		return schema{"type": "string", "format": "date-time"}, nil
	case *ast.Ident:
		switch name := t.Name; {
		case name == "string":
			return schema{"type": "string"}, nil
		case name == "bool":
			return schema{"type": "boolean"}, nil
		case strings.HasPrefix(name, "float"):
			return schema{"type": "number"}, nil
		case strings.Contains(name, "int"):
			return schema{"type": "integer"}, nil
		case m.types[name] != nil:
			return schema{"$ref": "#/components/schemas/" + name}, nil
		}
	}
	return nil, fmt.Errorf("no schema for %T", t)
}

// The description is valid, and its schemas are the types of today.
func TestOpenAPIIsThatOfTheTypes(t *testing.T) {
	var doc schema
	text, err := os.ReadFile("openapi.json")
	kit.Must(t, err)
	kit.Must(t, json.Unmarshal(text, &doc))
	made, err := newSchemaMaker(t).all()
	kit.Must(t, err)
	if os.Getenv("EPITAPH_ACCEPT") != "" {
		doc["components"] = schema{"schemas": made}
		b, err := json.MarshalIndent(doc, "", "  ")
		kit.Must(t, err)
		text = append(b, '\n')
		kit.Must(t, os.WriteFile("openapi.json", text, 0o600))
	}
	kit.Packed(t, "openapi.json.gz", string(text))
	if diff := cmp.Diff(made, doc["components"].(schema)["schemas"].(schema)); diff != "" {
		t.Errorf("openapi.json is not that of the types: EPITAPH_ACCEPT=1 go test ./api\n%s", diff)
	}
	loaded, err := openapi3.NewLoader().LoadFromData(text)
	kit.Must(t, err)
	if err := loaded.Validate(t.Context()); err != nil {
		t.Error(err)
	}
}
