package api

import _ "embed" // the description below

// OpenAPI describes all that can be asked over HTTP (OpenAPI 3.0). Its schemas are made of the types and comments of this
// package by the test that compares them: EPITAPH_ACCEPT=1 go test ./api.
//
//go:embed openapi.json
var OpenAPI []byte
