package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/remoting"
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
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.TYPE {
				continue
			}
			for _, spec := range gen.Specs {
				ts := spec.(*ast.TypeSpec)
				if strings.HasPrefix(ts.Name.Name, "API") {
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
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	made, err := newSchemaMaker(t).all()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("EPITAPH_ACCEPT") != "" {
		doc["components"] = schema{"schemas": made}
		b, err := json.MarshalIndent(doc, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		openAPI = append(b, '\n')
		if err := os.WriteFile("openapi.json", openAPI, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(made, doc["components"].(schema)["schemas"].(schema)); diff != "" {
		t.Errorf("openapi.json is not that of the types: EPITAPH_ACCEPT=1 go test ./node -run OpenAPI\n%s", diff)
	}
	loaded, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := loaded.Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

// Every path that is served is described, and the other way round.
func TestOpenAPIDescribesEveryPath(t *testing.T) {
	served := map[string]bool{}
	for _, file := range []string{"http.go", "api.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"(GET|POST) (/[a-z0-9./_-]+)"|limited\("(/[a-z0-9/]+)"`).FindAllStringSubmatch(string(source), -1) {
			if path := m[2] + m[3]; !strings.HasPrefix(path, "/debug/") {
				served[path] = true
			}
		}
	}
	loaded, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for path := range loaded.Paths.Map() {
		described[path] = true
	}
	if diff := cmp.Diff(served, described); diff != "" || len(served) < 8 {
		t.Errorf("served (-) and described (+): describe a new path by hand in openapi.json, then run with EPITAPH_ACCEPT=1\n%s", diff)
	}
}

// What a node answers is what is described: every path, good and bad parameters, with a broker, a tombstone and a
// conflict there to be shown.
func TestOpenAPIAgainstTheAnswers(t *testing.T) {
	nodes := startClusterWith(t, 2, withHTTP)
	n := nodes[0]
	second, conflict := brokerHeader("0"), brokerHeader("0")
	conflict["clusterName"] = "C2"
	second["brokerName"], second["brokerAddr"] = "b1", "1.1.1.2:10911"
	registerAt(t, brokerHeader("0"), nodes...)
	registerAt(t, conflict, nodes...)
	conns := registerAt(t, second, nodes...)
	ask(t, conns[1], remoting.UnregisterBroker, second, "")
	await(t, "a decision on what the other node told", func() bool { return len(n.apiTombstones(10).Decisions) > 0 })
	// Something of everything that differs, to be shown.
	ask(t, conns[0], remoting.PutKVConfig, map[string]string{"namespace": "N", "key": "k", "value": "v"}, "")
	third := brokerHeader("0")
	third["brokerName"], third["brokerAddr"] = "b3", "1.1.1.3:10911"
	ask(t, conns[0], remoting.RegisterBroker, third, twoTopics)
	await(t, "a difference and a drift", func() bool {
		v := n.apiDiff(t.Context(), 10, "")
		return len(v.Brokers) > 0 && len(v.Drifts) > 0
	})
	loaded, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	loaded.Servers = openapi3.Servers{{URL: "http://" + n.HTTPAddr().String()}}
	router, err := gorillamux.NewRouter(loaded)
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, one := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/healthz", 200}, {"GET", "/readyz", 200}, {"GET", "/metrics", 200}, {"GET", "/v1/openapi.json", 200},
		{"GET", "/v1/members", 200}, {"GET", "/v1/load", 200}, {"GET", "/v1/tombstones", 200}, {"GET", "/v1/brokers", 200},
		{"GET", "/v1/diff?broker=b0", 200}, {"GET", "/v1/diff?limit=0", 400}, {"GET", "/v1/conflicts", 200}, {"GET", "/v1/brokers?limit=0", 400}, {"GET", "/v1/tombstones?limit=x", 400},
		{"GET", "/v1/conflicts?limit=1", 200}, {"GET", "/v1/routes?topic=TA", 200}, {"GET", "/v1/routes?topic=TX", 404},
		{"GET", "/v1/routes", 400}, {"POST", "/v1/force-leave", 400}, {"POST", "/v1/force-leave?name=nobody", 409},
	} {
		req, err := http.NewRequestWithContext(t.Context(), one.method, "http://"+n.HTTPAddr().String()+one.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		route, params, err := router.FindRoute(req)
		if err != nil {
			t.Errorf("%s %s: %v", one.method, one.path, err)
			continue
		}
		asked[route.Path] = true
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != one.status {
			t.Errorf("%s %s: %d, want %d", one.method, one.path, resp.StatusCode, one.status)
		}
		var body bytes.Buffer
		if _, err := body.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		contentType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
		resp.Header.Set("Content-Type", contentType)
		answer := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
			Status:                 resp.StatusCode, Header: resp.Header,
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		}
		if err := openapi3filter.ValidateResponse(t.Context(), answer.SetBodyBytes(body.Bytes())); err != nil {
			t.Errorf("%s %s: %v\n%s", one.method, one.path, err, body.String())
		}
	}
	for path := range loaded.Paths.Map() {
		if !asked[path] {
			t.Errorf("%s was not asked", path)
		}
	}
}
