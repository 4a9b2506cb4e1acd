# epitaph: build, run and prove. `make` alone prints this list.
GO            ?= go
BIN           := bin/epitaph
VERSION       ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS       := -s -w -X github.com/epitaph-mq/epitaph/cli.version=$(VERSION)
GOLANGCI      := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME      ?= 20s
LISTEN        ?= 0.0.0.0:9876

.DEFAULT_GOAL := help
.PHONY: help build run test race fuzz lint bench interop check tidy

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## one static binary: bin/epitaph
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) .

run: build ## serve one NameServer on $(LISTEN)
	$(BIN) serve --listen $(LISTEN)

test: ## the tests that need only Go and make (what a machine lacks is skipped, loudly)
	$(GO) vet ./...
	$(GO) test -count=1 ./...

race: ## the same under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short -count=1 ./...

fuzz: ## every fuzz target for FUZZTIME (20s) each
	GO=$(GO) FUZZTIME=$(FUZZTIME) sh scripts/fuzz.sh

lint: ## golangci-lint as pinned, on .golangci.yml
	$(GO) run $(GOLANGCI) run ./...

bench: ## the Go benchmarks, once each (for numbers: -count=10 and benchstat)
	$(GO) test -run '^$$' -bench . -benchtime 1x ./...

check: lint test race interop ## everything a change must pass
