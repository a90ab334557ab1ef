# What a developer runs; `make help` explains. Only the targets that say so need more than Go.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

# Every directory with a go.mod of its own: a module's ./... does not reach into the others.
MODULES := $(sort $(patsubst %/,%,$(dir $(shell find . -name .cache -prune -o -name testdata -prune -o -name go.mod -print))))

# The race detector needs a C compiler.
RACE := $(if $(shell command -v gcc || command -v clang),-race)

FUZZTIME ?= 30s
SOAK ?= 30m

# The targets in order of this file. One whose description names a path in brackets appears where that path exists.
.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { \
	    split($$2, part, /[][]/); \
	    if (part[1] == "") { if (system("test -e " part[2]) != 0) next; sub(/^\[[^]]*\] */, "", $$2) } \
	    printf "  make %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: ## [examples/flights] run the flights example: real flights as typed events, on an embedded broker
	go -C examples run ./flights

.PHONY: test
test: ## run all tests that need no server, in every module, with the race detector
	@[ -n "$(RACE)" ] || echo "no C compiler found: testing without the race detector"
	@failed=; for module in $(MODULES); do \
	    echo "cd $$module && go test $(RACE) -shuffle=on ./..."; \
	    (cd $$module && go test $(RACE) -shuffle=on ./...) || failed="$$failed $$module"; \
	done; [ -z "$$failed" ] || { echo "tests failed in:$$failed"; exit 1; }

.PHONY: test-kafka
test-kafka: ## conformance and interoperability on a real Apache Kafka (Java, Maven): one is started unless EVENTBUS_TEST_BROKERS names one
	scripts/kafka.sh run -- scripts/integration.sh $(MODULES) -- $(RACE) -shuffle=on

.PHONY: test-postgres
test-postgres: ## [postgres/go.mod] outbox and inbox on a real PostgreSQL, which is started unless EVENTBUS_TEST_POSTGRES names one
	scripts/postgres.sh run -- bash -c 'go -C postgres test $(RACE) -shuffle=on -count=1 -timeout 20m ./... && \
	    go -C cmd/eventbus test $(RACE) -count=1 -run Outbox . && go -C examples test $(RACE) -count=1 ./orders/... ./guide/outbox'

.PHONY: test-registry
test-registry: ## [schema] the codecs on a real Apicurio Registry and beside Confluent's serializers (Java 21, Maven, Python)
	scripts/python.sh
	scripts/registry.sh run -- go -C schema test $(RACE) -count=1 -tags integration ./interop

.PHONY: test-asyncapi
test-asyncapi: ## [catalog] AsyncAPI's own parser on the documents of the examples and of a hostile catalogue (Node.js)
	scripts/asyncapi.sh

.PHONY: test-browser
test-browser: ## [console/browsertest] the console's pages in a real browser (Chromium, Node.js for axe-core, PostgreSQL where there is one); PICTURES=1 takes those of the guide
	scripts/browser.sh run -- scripts/postgres.sh try -- go -C console/browsertest test $(if $(PICTURES),-run TestPictures -pictures $(CURDIR)/docs/guide/console) -count=1 -timeout 10m ./...

.PHONY: test-matrix
test-matrix: ## test-kafka and a short chaos run on Apache Kafka 2.8, 3.9, 4.0, 4.1 and 4.4, one after the other
	scripts/matrix.sh

.PHONY: test-containers
test-containers: ## the conformance suite on Apache Kafka in a container (Docker; an image is built where none can be pulled)
	cd kafkatest/kafkacontainer && ../../scripts/containers.sh go test $(RACE) -count=1 -v ./...

.PHONY: chaos
chaos: ## [chaos/main.go] the fault campaign on three real brokers, about 30 minutes; QUICK=1: about seven
	scripts/kafka.sh fetch >/dev/null
	go run ./chaos $(if $(QUICK),-quick)

.PHONY: chaos-long
chaos-long: ## [chaos/main.go] four rounds of the fault campaign, about two hours, in segments that resume
	scripts/kafka.sh fetch >/dev/null
	go run ./chaos -long

.PHONY: soak
soak: ## [chaos/main.go] a steady load on three real brokers for SOAK (default 30m): no process may grow
	scripts/kafka.sh fetch >/dev/null
	go run ./chaos -soak $(SOAK)

.PHONY: hostile
hostile: ## [chaos/hostile] what consumers take of hostile bytes on a real Apache Kafka, and clients of hostile servers: peak memory and outcome, a minute
	scripts/kafka.sh run -- go run ./chaos/hostile

.PHONY: bench
bench: ## benchmarks of the hot paths, in process
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: bench-peers
bench-peers: ## [bench/go.mod] side by side with other Go clients on a real Apache Kafka; QUICK=1: one short round
	scripts/kafka.sh run -- bash -c 'cd bench && go run . $(if $(QUICK),-quick)'

.PHONY: bench-outbox
bench-outbox: ## [bench/outbox] the outbox beside Watermill's on a real PostgreSQL, with fsync, and Kafka, half an hour; QUICK=1: a minute
	scripts/kafka.sh run -- env PG_FSYNC=on scripts/postgres.sh run -- go -C bench run ./outbox $(if $(QUICK),-rounds 1 -rows 50000 -peer-rows 5000 -for 3s,-peer-rows 50000)
	EVENTBUS_OUTBOX_GROWTH=$(if $(QUICK),1000000,10000000) scripts/postgres.sh run -- go -C postgres test -run TestGrowth -count=1 -timeout 20m -v ./outbox

.PHONY: bench-scale
bench-scale: ## [bench/scale] idle partitions beside franz-go's, and a group of 12,000 partitions and 100 members, on a real Apache Kafka
	KAFKA_HEAP=2g scripts/kafka.sh run -- go -C bench run ./scale

.PHONY: fuzz
fuzz: ## fuzz everything that reads bytes from outside, FUZZTIME (default 30s) each
	scripts/fuzz.sh $(FUZZTIME)

.PHONY: check
check: ## formatting, vet, lint, tidy modules, import directions, words, a rehearsed release, known vulnerabilities
	scripts/check.sh $(MODULES)
