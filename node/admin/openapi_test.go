package admin

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Every path that is served is described, and the other way round.
func TestOpenAPIDescribesEveryPath(t *testing.T) {
	served := map[string]bool{}
	for _, file := range []string{"admin.go", "api.go"} {
		source, err := os.ReadFile(file)
		kit.Must(t, err)
		for _, m := range regexp.MustCompile(`"(GET|POST) (/[a-z0-9./_-]+)"|limited\("(/[a-z0-9/]+)"`).FindAllStringSubmatch(string(source), -1) {
			if path := m[2] + m[3]; !strings.HasPrefix(path, "/debug/") {
				served[path] = true
			}
		}
	}
	text, err := api.OpenAPI.Unpack()
	kit.Must(t, err)
	loaded, err := openapi3.NewLoader().LoadFromData([]byte(text))
	kit.Must(t, err)
	described := map[string]bool{}
	for path := range loaded.Paths.Map() {
		described[path] = true
	}
	if diff := cmp.Diff(served, described); diff != "" || len(served) < 8 {
		t.Errorf("served (-) and described (+): describe a new path by hand in openapi.json, then run with EPITAPH_ACCEPT=1\n%s", diff)
	}
}
