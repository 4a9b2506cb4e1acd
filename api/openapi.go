package api

import (
	_ "embed" // the description below

	"github.com/epitaph-mq/epitaph/packed"
)

// OpenAPI describes all that can be asked over HTTP (OpenAPI 3.0): openapi.json, compressed. Its schemas are made of the types and comments of this
// package by the test that compares them: EPITAPH_ACCEPT=1 go test ./api.
//
//go:embed openapi.json.gz
var OpenAPI packed.Text
