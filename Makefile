# epitaph: build, run and prove. `make` alone prints this list.
GO            ?= go
BIN           := bin/epitaph
VERSION       ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# What a plain NameServer has no use for: HTTP/2, which needs TLS, and pages and guesses of the flag library.
TAGS          := nethttpomithttp2,urfave_cli_no_docs,urfave_cli_no_suggest
# Functions at multiples of 16 bytes, not 32: so much less of the program is padding.
LDFLAGS       := -s -w -funcalign=16 -X github.com/epitaph-mq/epitaph/cli.release=$(VERSION) -X github.com/epitaph-mq/epitaph/bench.release=$(VERSION)
GOLANGCI      := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME      ?= 200000x
# More flags for every go test: -v tells what is skipped, and why.
TESTFLAGS     ?=

.DEFAULT_GOAL := help
.PHONY: help build dist manifests notice release run test race fuzz lint bench interop interop-long netns netns-long differential sim whole model bench-compare bench-convergence bench-fleet bench-clients bench-all check rolling deadhosts compose-test compose-test-long skew

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## static binaries: bin/epitaph, and bin/epitaph-bench, which measures NameServers
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/ . ./bench/cmd/epitaph-bench

dist: ## what is published, in dist/: programs for Linux and macOS, .deb and .rpm, SBOMs, checksums (needs GNU tar)
	GO='$(GO)' TAGS='$(TAGS)' LDFLAGS='$(LDFLAGS)' VERSION='$(VERSION)' sh scripts/dist.sh

manifests: ## render the chart anew: deploy/kubernetes, and the files that its tests compare (builds helm)
	EPITAPH_ACCEPT=1 EPITAPH_INSTALL=1 $(GO) test -count=1 -timeout 50m ./test/install -run TestChart

notice: ## write NOTICE and THIRD_PARTY_LICENSES anew, from what the server links in
	EPITAPH_ACCEPT=1 $(GO) test -count=1 ./test/house -run TestNotice

run: build ## three nodes in one process with brokers that come and go (DEMO=0: with none; LISTEN=HOST:PORT)
	$(BIN) cluster --listen $(or $(LISTEN),127.0.0.1:9876) --demo-brokers $(or $(DEMO),4)

.PHONY: serve
serve: build ## one NameServer on 0.0.0.0:9876 (LISTEN=HOST:PORT for another)
	$(BIN) serve --listen $(or $(LISTEN),0.0.0.0:9876)

test: ## the tests that need only Go and make; the end says how long it took, and what was skipped and why
	@$(GO) test -json $(TESTFLAGS) -count=1 -timeout 20m $(or $(PACKAGES),./...) | $(GO) run ./test/tally

# What plays in one goroutine, or has nothing under -short but processes of its own; and what is left to the night: the same
# server as in node and remoting/rpc, by the rows of docs/compat.md and under load.
UNRACED := /(digest|remoting/(body|fastjson|pemkey)|test/(compose|differential|hostile|house|install|interop|java|mqadmin|netns|observe|sim|skew|startlines|tally))($$|/)
NIGHTLY := /test/(wire|whole)$$|/bench($$|/)

race: ## the same under the race detector, in short form (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short $(TESTFLAGS) -count=1 -timeout 20m $$($(GO) list ./... | grep -vE '$(UNRACED)|$(NIGHTLY)')
	ROUNDS=250000 CGO_ENABLED=1 $(GO) test -race -run TestEvictionRacesWithRegister -count=1 -timeout 20m ./routes

race-long: race ## also the rows of docs/compat.md, whole nodes in virtual time, the load generator, and a million races of an eviction
	CGO_ENABLED=1 $(GO) test -race -run TestEvictionRacesWithRegister -count=1 -timeout 20m ./routes
	CGO_ENABLED=1 $(GO) test -race -short $(TESTFLAGS) -count=1 -timeout 40m $$($(GO) list ./... | grep -E '$(NIGHTLY)')

fuzz: ## every fuzz target for FUZZTIME inputs (200000x) each
	GO=$(GO) FUZZTIME=$(FUZZTIME) sh scripts/fuzz.sh

lint: ## golangci-lint as pinned, on .golangci.yml
	$(GO) run $(GOLANGCI) run --allow-parallel-runners ./...

bench: ## the Go benchmarks, once each (for numbers: go test -bench with -count=10, and benchstat)
	$(GO) test -run '^$$' -bench . -benchtime 1x $$(grep -rl 'func Benchmark' --include='*_test.go' . | xargs -n1 dirname | sort -u)

interop: ## real brokers, clients, proxy, mqadmin and the Java NameServer beside ours (needs Java and Maven)
	EPITAPH_INTEROP=1 $(GO) test -count=1 -timeout 40m -v ./test/java ./test/interop/... ./test/mqadmin

interop-wire: ## the rows of docs/compat.md against the Java NameServer
	EPITAPH_WIRE_TARGET=java $(GO) test -count=1 -timeout 20m -v ./test/wire

interop-wire-long: ## the same with the two minutes of row 128, and beside them the same two with ours
	EPITAPH_WIRE_LONG=1 $(GO) test -count=1 -timeout 20m -v -run TestRow128 ./test/wire & ours=$$!; \
	EPITAPH_WIRE_TARGET=java EPITAPH_WIRE_LONG=1 $(GO) test -count=1 -timeout 20m -v ./test/wire; java=$$?; \
	wait $$ours && exit $$java

hostile: ## thousands of idle, slow and broken peers, and every row of docs/hostile.md, which it writes (needs root for a memory cgroup; Java, Maven)
	EPITAPH_HOSTILE=long EPITAPH_HOSTILE_PAGE=$(CURDIR)/docs/hostile.md $(GO) test -count=1 -timeout 45m -v ./test/hostile

# ROW=05 plays one of them.
hostile-fleet: ## the rows of docs/hostile.md while CLIENTS=15000 poll, which renews its second table (12 minutes; needs root for a memory cgroup, two cores)
	EPITAPH_HOSTILE=long EPITAPH_HOSTILE_FLEET=$(or $(CLIENTS),15000) EPITAPH_HOSTILE_PAGE=$(CURDIR)/docs/hostile.md \
		$(GO) test -count=1 -timeout 45m -v -run '^TestFleet$$/$(ROW)' ./test/hostile

interop-long: ## the same with more versions (5.3.3, 4.9.4), more ways to configure brokers, and longer scenarios
	EPITAPH_INTEROP=long $(GO) test -count=1 -timeout 120m -v ./test/java ./test/interop/... ./test/mqadmin

netns: ## nodes and real brokers in network namespaces, paths cut and lossy (needs root, iptables, Java, Maven)
	EPITAPH_NETNS=1 $(GO) test -count=1 -timeout 20m -v ./test/netns

netns-long: ## the same with 30 restarts, 30,000 simulated ones, a partition of 60 s, and 120 s of waiting for the Java NameServer
	EPITAPH_NETNS=long $(GO) test -count=1 -timeout 120m -v ./test/netns

rolling: ## every node replaced under brokers and clients that know one name; writes docs/rolling.md (a quarter of an hour; needs root, Java, Maven)
	EPITAPH_NETNS=1 EPITAPH_ROLLING=$(CURDIR)/docs/rolling.md $(GO) test -count=1 -timeout 60m -v -run 'TestRolling$$' ./test/netns

deadhosts: ## one fault after another befalls brokers' machines, at our nodes and a Java NameServer; writes docs/deadhosts.md (ten minutes; needs root, Java, Maven)
	EPITAPH_NETNS=1 EPITAPH_DEADHOSTS=$(CURDIR)/docs/deadhosts.md $(GO) test -count=1 -timeout 40m -v -run 'TestFaults$$' ./test/netns

compose-test: ## docker-compose.yml on a real engine, in namespaces of its own, with brokers in containers (needs root and Docker; Java for the brokers)
	EPITAPH_COMPOSE=1 $(GO) test -count=1 -timeout 20m -v ./test/compose

compose-test-long: ## also its profiles, memory under load, a port that is taken, and what takes brokers in containers longer
	EPITAPH_COMPOSE=long $(GO) test -count=1 -timeout 30m -v ./test/compose

skew: ## the former program (test/skew/previous) and this one in one cluster; alerts and board on a real scrape
	$(GO) test -count=1 -timeout 20m -v ./test/skew ./test/observe

differential: ## SEED=.. STEPS=..: the same requests to the Java NameServer and to ours, answers compared
	EPITAPH_INTEROP=1 DIFFERENTIAL_SEED=$(SEED) DIFFERENTIAL_STEPS=$(STEPS) \
		$(GO) test -count=1 -timeout 120m -v ./test/differential

# What the simulations play: SCHEDULES seeds from SEED on, then for SIM_BUDGET those of the day.
SIM_BUDGET ?= 30s
sim whole: export SEED := $(SEED)
sim whole: export SIM_BUDGET := $(SIM_BUDGET)
sim whole: export GOGC := 400

sim: ## SCHEDULES=50000 SEED=1 SIM_BUDGET=30s: tables and tombstones under a hostile virtual network
	SCHEDULES=$(or $(SCHEDULES),50000) $(GO) test -count=1 -timeout 600m -v ./test/sim

whole: ## SCHEDULES=100 SEED=1 SIM_BUDGET=30s ROLLS=100 PERIODS=20: the same schedules with whole nodes and memberlist in virtual time
	ROLLS=$(or $(ROLLS),100) SCHEDULES=$(or $(SCHEDULES),100) $(GO) test -count=1 -timeout 600m -v ./test/whole

model: ## the Spin model and its variants; LONG=1 for 3 ticks (needs spin and a C compiler)
	LONG=$(or $(LONG),0) sh test/model/run.sh

bench-compare: build ## epitaph, the ceiling, Java and Rust side by side; writes docs/performance.md (about 20 minutes)
	EPITAPH_JAVA_NAMESRV_CP="$$($(GO) run ./test/java/classpath rocketmq-namesrv 5.5.0 || true)" \
		$(BIN)-bench compare --rounds $(or $(ROUNDS),5) --json docs/performance.json --document docs/performance.md

# FLEET holds more flags, such as --clients 15000 --window 10s, which with ROUNDS=1 is a matter of minutes instead of hours.
bench-fleet: build ## fleets of clients at epitaph, the ceiling, Java and Rust; writes a page, and the sizes for operators (over 2 hours)
	EPITAPH_JAVA_NAMESRV_CP="$$($(GO) run ./test/java/classpath rocketmq-namesrv 5.5.0 || true)" \
		$(BIN)-bench fleet --rounds $(or $(ROUNDS),5) $(FLEET) --json docs/fleet.json --document "docs/fleet.md" --operations "docs/operations.md"

# A class path that cannot be made is empty, and what needs it is named as missing in the page. WINDOW holds more flags, such as --scenes killed.
bench-clients: build ## real clients while a broker leaves, is killed and vanishes, Java NameServers and ours; writes docs/clients-window.md (ROUNDS x 17 minutes; needs Java, Maven, and root for what vanishes)
	cd test/interop/goclient && CGO_ENABLED=0 $(GO) build -trimpath -o ../../../bin/window-client ./window
	EPITAPH_JAVA_NAMESRV_CP="$$($(GO) run ./test/java/classpath rocketmq-namesrv 5.5.0 || true)" \
	EPITAPH_JAVA_BROKER_CP="$$($(GO) run ./test/java/classpath rocketmq-broker 5.5.0 || true)" \
	EPITAPH_JAVA5_CLIENT_CP="$$($(GO) run ./test/java/classpath rocketmq-client 5.5.0 test/interop/java/Window.java || true)" \
	EPITAPH_JAVA4_CLIENT_CP="$$($(GO) run ./test/java/classpath rocketmq-client 4.9.7 test/interop/java/Window.java || true)" \
	EPITAPH_GO_CLIENT=$(CURDIR)/bin/window-client \
		$(BIN)-bench story --clients --rounds $(or $(ROUNDS),2) $(WINDOW) --json docs/clients-window.json --document docs/clients-window.md

# With more nodes than cores the fair scheduler is much of what is measured (docs/convergence.md).
REALTIME := $(shell chrt --rr 1 true 2>/dev/null && echo chrt --rr 1)

bench-convergence: build ## how long nodes disagree, by number and loss; writes docs/convergence.md (about 40 minutes)
	$(REALTIME) $(BIN)-bench convergence --nodes 3,9,33,100 --loss 0,0.3 --trials $(or $(TRIALS),200) --complete --idle 30s --storm 10000 --vanish \
		--json docs/convergence.json --plot docs/img/convergence.svg --document docs/convergence.md

bench-all: bench-convergence bench-compare ## every published figure and plot again

release: ## VERSION=0.2.0: cut CHANGELOG.md, tag, and build twice to equal bytes (pushes nothing)
	GO=$(GO) sh scripts/release.sh $(VERSION)

# The night: each part renews its row of docs/night.md, which says how long it took. PART=1/2 is the first of two.
PART  ?= 1/2
NIGHT := sh scripts/night.sh
DAY   := $(shell date -u +%Y%m%d)000000
share  = $$(($(1) / $(lastword $(subst /, ,$(PART)))))
from   = $$(($(DAY) + ($(firstword $(subst /, ,$(PART))) - 1) * $(1) / $(lastword $(subst /, ,$(PART)))))
.PHONY: mutants night-mutants interop-wire interop-wire-long hostile hostile-fleet race-long night night-sim night-whole night-fuzz night-model night-claims night-vanish night-hosts \
	night-differential night-interop night-wire night-hostile night-hostile-fleet night-output night-kills night-netns night-compose night-race night-roll night-rolling night-deadhosts night-install night-fleet night-clients

night-sim: ## PART=1/2: a million schedules of the day, in so many parts
	$(NIGHT) "sim $(PART)" $(MAKE) sim SCHEDULES=$(call share,1000000) SEED=$(call from,1000000) SIM_BUDGET=0s

night-whole: ## PART=1/2: two thousand schedules of the day with whole nodes
	$(NIGHT) "whole $(PART)" $(MAKE) whole SCHEDULES=$(call share,2000) SEED=$(call from,2000) SIM_BUDGET=0s PERIODS=565

night-fuzz: ## every fuzz target for 200000 inputs
	$(NIGHT) fuzz $(MAKE) fuzz FUZZTIME=200000x

night-model: ## the Spin model with 3 ticks
	$(NIGHT) model $(MAKE) model LONG=1

night-vanish: ## PART=1/2: the rule about dead hosts: all worlds of three nodes (in the first part), and a million random schedules of the day
	$(NIGHT) "vanish $(PART)" env MODEL=full VANISH_SCHEDULES=$(call share,1000000) SEED=$(call from,1000000) \
		$(GO) test -count=1 -timeout 900m -v -run '$(if $(filter 1/%,$(PART)),TestRule|)TestSchedules' ./test/model/vanish ./vanish

night-hosts: ## PART=1/2: a million schedules of the day in which hosts vanish beside tombstones
	$(NIGHT) "hosts $(PART)" env HOST_SCHEDULES=$(call share,1000000) SEED=$(call from,1000000) GOGC=1600 \
		$(GO) test -count=1 -timeout 900m -v -run TestNoScheduleOfDeadHosts ./test/sim

night-claims: ## all worlds of every configuration of claims; MODEL=largest: the four largest, hours and gigabytes
	$(NIGHT) claims-$(or $(MODEL),full) env MODEL=$(or $(MODEL),full) $(GO) test -count=1 -timeout 600m -v ./test/model/claims

night-differential: ## 20000 steps of a seed of the day
	$(NIGHT) differential $(MAKE) differential SEED=$(DAY) STEPS=20000

night-interop: ## make interop-long
	$(NIGHT) interop $(MAKE) interop-long

night-wire: ## make interop-wire-long
	$(NIGHT) wire $(MAKE) interop-wire-long

night-hostile: ## make hostile
	$(NIGHT) hostile $(MAKE) hostile

night-hostile-fleet: ## make hostile-fleet
	$(NIGHT) hostile-fleet $(MAKE) hostile-fleet

night-compose: ## make compose-test-long
	$(NIGHT) compose $(MAKE) compose-test-long

night-output: ## ten minutes of brokers that come and go while nobody reads the log
	$(NIGHT) output env EPITAPH_STALL=10m $(GO) test -count=1 -timeout 30m -v -run TestStalledReader ./cli

night-kills: ## a writer of KV values and one of options, killed 1,000 times each at any step
	$(NIGHT) kills env EPITAPH_KILLS=1000 $(GO) test -count=1 -timeout 30m -v -run 'TestKilled' ./node/kvconfig ./node/config

night-race: ## make race-long
	$(NIGHT) race $(MAKE) race-long TESTFLAGS=-v

mutants: ## RUN=REGEXP: put faults into the program, one at a time, and list those that no test notices
	$(GO) run ./test/mutants -run '$(RUN)'

night-mutants: ## make mutants
	$(NIGHT) mutants $(MAKE) mutants

night-roll: ## three nodes rolled three times, then to the former program and back, under brokers and a client
	$(NIGHT) roll env EPITAPH_ROLLS=3 $(GO) test -count=1 -timeout 40m -v -run TestRoll ./test/skew

night-fleet: ## make bench-fleet (over two hours; ROUNDS=2 within one)
	$(NIGHT) fleet $(MAKE) bench-fleet

night-clients: ## make bench-clients with five rounds (an hour and a half; needs root)
	$(NIGHT) clients $(MAKE) bench-clients ROUNDS=$(or $(ROUNDS),5)

night-install: ## the packages built and installed in roots of their own, the chart rendered and judged, both rolled
	$(NIGHT) install env EPITAPH_INSTALL=1 $(GO) test -count=1 -timeout 120m -v ./test/install

night-netns: ## make netns-long
	$(NIGHT) netns $(MAKE) netns-long

night-rolling: ## make rolling
	$(NIGHT) rolling $(MAKE) rolling

night-deadhosts: ## make deadhosts
	$(NIGHT) deadhosts $(MAKE) deadhosts

night: ## what does not fit into the gate, one part after another; renews docs/night.md
	for part in "night-sim PART=1/2" "night-sim PART=2/2" "night-whole PART=1/2" "night-whole PART=2/2" night-fuzz night-model "night-vanish PART=1/2" "night-vanish PART=2/2" "night-hosts PART=1/2" "night-hosts PART=2/2" night-claims "night-claims MODEL=largest" \
		night-differential night-mutants night-interop night-wire night-hostile night-hostile-fleet night-output night-kills night-netns night-compose night-race night-roll night-rolling night-deadhosts night-install night-fleet night-clients; do $(MAKE) $$part || failed="$$failed $$part;"; done; \
		[ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

check: ## everything a change must pass, as CI runs it (installs what is missing; under 30 minutes on 2 cores)
	.ci/run
