# Few verbs. Everything but `lint`'s linter needs nothing but Go.

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 600
BENCH    ?= .
ROUNDS   ?= 200
PAUSES   ?= 50
SEED     ?=
COVERED  := ./internal/store/...,./internal/replica,./internal/state/...
COVERSEEDS ?= 100
SIMARGS  ?= -seeds 500 -safety 5m

# Packages with goroutines of their own, or called from several.
RACED := ./internal/store/... ./internal/replica/... ./internal/broker/... ./internal/protocol/... ./internal/server/...

.PHONY: run build test race lint cover bench bench-kafka bench-amqp fuzz sim sim-planted e2e suites oracle crash

run: build ## start a server with the defaults
	./bin/polylog serve

build: ## the one static binary, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/polylog ./cmd/polylog

test: ## every test of the main module
	$(GO) test ./...

race: ## the packages with goroutines, under the race detector
	CGO_ENABLED=1 $(GO) test -race -short $(RACED)

lint: ## vet, format and house rules; golangci-lint where it is installed
	$(GO) vet ./...
	@test -z "$$(gofmt -l cmd internal test bench 2>/dev/null)" || { gofmt -d cmd internal; exit 1; }
	$(GO) test -count=1 ./internal/tidy
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else \
	  echo "golangci-lint is not installed: go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0"; fi

bench: ## Go benchmarks; BENCH=regexp chooses
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./internal/...

bench-kafka: ## Kafka's work on Polylog and on Apache Kafka, side by side; ARGS="-only REGEXP ..."
	cd bench && $(GO) run ./cmd/bench-kafka $(ARGS)

bench-amqp: ## AMQP's work on Polylog and on RabbitMQ, side by side; ARGS="-only REGEXP ..."
	cd bench && $(GO) run ./cmd/bench-amqp $(ARGS)

cover: ## lines of store, replica and state that tests and simulator run together; bin/cover.txt has each
	@rm -rf bin/cover && mkdir -p bin/cover
	$(GO) test -short -count=1 -coverpkg=$(COVERED) ./internal/store/... ./internal/replica ./internal/state/... ./internal/brokertest \
	  -args -test.gocoverdir=$(CURDIR)/bin/cover >bin/cover/log || { cat bin/cover/log; exit 1; }
	$(GO) build -cover -coverpkg=$(COVERED) -o bin/polylog-sim ./internal/sim/cmd/polylog-sim
	GOCOVERDIR=$(CURDIR)/bin/cover ./bin/polylog-sim -seeds $(COVERSEEDS)
	@$(GO) tool covdata textfmt -i=bin/cover -o bin/cover.txt
	@$(GO) tool covdata percent -i=bin/cover

fuzz: ## every fuzz target, FUZZTIME seconds all together
	@FUZZTIME=$(FUZZTIME) .ci/fuzz

sim: ## clusters under faults in virtual time; SEED=n replays one, SIMARGS="-for 5m" says how much
	$(GO) run ./internal/sim/cmd/polylog-sim $(if $(SEED),-seed $(SEED) -trace,$(SIMARGS))

sim-planted: ## plants one bug after the other and shows that the simulator catches it
	$(GO) run -tags planted ./internal/sim/cmd/polylog-sim -planted

e2e: build ## real client libraries against the real binary
	cd test && POLYLOG_BINARY=$(CURDIR)/bin/polylog $(GO) test -count=1 ./...

suites: build ## other people's tests against the binary, compared with test/suites/*.txt; SUITES="kgo java" chooses
	cd test && $(GO) run ./suites -binary $(CURDIR)/bin/polylog $(SUITES)

oracle: build ## DIALOGUES=300 made up with RabbitMQ from SEED=1 on, held with the binary: needs Debian's rabbitmq-server
	cd test && POLYLOG_BINARY=$(CURDIR)/bin/polylog $(GO) test -count=1 -timeout 90m ./oracle -run TestRandom -random $(or $(DIALOGUES),300) -seed $(or $(SEED),1)

crash: build ## kill -9 under load, ROUNDS times, and SIGSTOP, PAUSES times
	cd test && POLYLOG_BINARY=$(CURDIR)/bin/polylog $(GO) test -count=1 -timeout 90m -v ./crash -rounds $(ROUNDS) -pauses $(PAUSES)
