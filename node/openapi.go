package node

import (
	_ "embed" // the description below
	"net/http"
)

// openAPI describes all that can be asked over HTTP (OpenAPI 3.0). Its schemas are made of the types and comments beside
// this file by the test that compares them: EPITAPH_ACCEPT=1 go test ./node -run OpenAPI.
//
//go:embed openapi.json
var openAPI []byte

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(openAPI) // a client that left is no fault
}
