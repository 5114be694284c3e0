# Everything a person or CI does here. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run build helper libraries test lint race soak bench bench-gateway bench-overload bench-routing bench-scaling bench-slots bench-limits bench-storage bench-failover bench-revocation bench-cancel bench-resume bench-hostile bench-feed bench-cache bench-usage bench-auth bench-pools bench-engine bench-batching bench-eviction bench-planner bench-five check-gpu e2e chaos mutants fuzz generate clean

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
GOBUILD := go build -trimpath -ldflags '$(LDFLAGS)'
# NVML's header marks half of itself as deprecated, and cgo touches all of it.
export CGO_CFLAGS := -O2 -g -Wno-deprecated-declarations
CC_FOUND := $(shell command -v cc || command -v gcc || command -v clang)

# The linter is built by its pinned version, once, into the build cache.
GOLANGCI := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.9.0
PROTOC_GEN := google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12

SEED ?= 1
DURATION ?= 60s
PATIENCE ?= 1
FUZZTIME ?= 10s

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/\1|\2/' | column -t -s '|'

run: build ## three nodes in two regions on this machine, a model, a streamed answer; Ctrl-C ends it
	@bin/lotabots-engine install >/dev/null || echo 'llama.cpp could not be fetched: looking for another engine'
	@exec bin/lotabots dev

build: helper ## bin/lotabots (static) and bin/lotabots-engine
	@CGO_ENABLED=0 $(GOBUILD) -o bin/lotabots ./node/cmd/lotabots

helper:
ifeq ($(CC_FOUND),)
	@echo 'no C compiler: bin/lotabots-engine is built without NVIDIA sensors (install one, and make build again)'
	@CGO_ENABLED=0 $(GOBUILD) -o bin/lotabots-engine ./node/cmd/lotabots-engine
else
	@CGO_ENABLED=1 $(GOBUILD) -o bin/lotabots-engine ./node/cmd/lotabots-engine
endif

libraries: helper
	@bin/lotabots-engine install >/dev/null || echo 'llama.cpp could not be fetched: the tests that need it say so'

test: build libraries ## vet and every test but those of e2e
	go vet ./...
	go test -timeout 9m ./...

lint: ## gofmt, and golangci-lint by .golangci.yml
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs -r gofmt -l); \
	  if [ -n "$$unformatted" ]; then echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; fi
	@if command -v golangci-lint >/dev/null; then golangci-lint run ./...; else $(GOLANGCI) run ./...; fi

race: libraries ## the tests under the race detector
	go test -race -short -timeout 15m ./actors/... ./chaos/... ./cluster/... ./gateway/... ./node/... ./storage/...

soak: build ## an hour of load (SOAK=1h): what a node has of memory, goroutines and files before and after; make e2e has some seconds of it
	LOTABOTS_SOAK=$(or $(SOAK),1h) go test -tags e2e -count=1 -v -timeout 0 -run TestSoak ./chaos/e2e

bench: bench-gateway ## every benchmark
	go test -run '^$$' -bench . -benchtime 200ms ./gateway/... ./cluster/... ./storage/... ./actors/...

bench-gateway: build ## what a request costs through LotaBots, next to a bare fasthttp pass-through
	@go run ./node/bench -binary bin/lotabots

bench-overload: build ## thrice what can be served, and one tenant ten times as much as another: what is served, who is refused, how soon all is well again (80 s)
	@go run ./node/bench -overload -binary bin/lotabots

bench-routing: ## time to first token under the production routing code on virtual time, next to one queue that knows all and to other ways (2 minutes)
	@go run ./node/bench/routing

bench-scaling: ## replicas by the production code on virtual time, next to a plain threshold rule, who knows the future and fixed numbers (20 s)
	@go run ./node/bench/scaling

bench-slots: ## the number of requests at a time that is found for simulated engines, next to the best fixed one (3 minutes)
	@go run ./node/bench/slots

bench-limits: ## how exact limits are over nine gateways, in steady state and when a limit's owner is killed (1 minute)
	@go run ./node/bench/limits

bench-failover: build ## how long nothing can be written when the leader is killed, and when it hands over
	@go run ./chaos/cmd/failover -binary bin/lotabots

bench-revocation: build ## how soon every node of five refuses a revoked key, next to how soon a new one is let in
	@go run ./chaos/cmd/revocation -binary bin/lotabots

bench-cancel: build libraries ## how soon an engine of another node stops when its client leaves: running and queued, streamed and not
	@go run ./chaos/cmd/leaving -binary bin/lotabots

bench-resume: build libraries ## how many streams end whole whose engine, node or link dies under them, 100 times each, and how long they stand still (15 minutes)
	@LOTABOTS_RESUME=full go test -tags e2e -count=1 -v -timeout 50m -run TestStreamsAreResumed ./chaos/e2e

bench-cache: build libraries ## how much faster a kept answer is than the embedded engine, the share of hits over three nodes, one engine call for fifty requests, a million requests within the bound
	@go test -tags e2e -count=1 -v -timeout 5m -run TestKeptAnswers ./chaos/e2e
	@go test -count=1 -v -run TestAMillionRequestsAreBounded ./actors/answers

bench-usage: build ## what it costs a request to be in the usage ledger before its answer ends, by its journal and by syncs of the disk
	@go run ./node/bench -usage -binary bin/lotabots

bench-hostile: build ## 10,000 idle connections, slow readers and writers, floods of headers, bodies and JSON at once: memory, and ordinary requests beside
	@go run ./chaos/cmd/hostile -binary bin/lotabots

bench-auth: ## what it takes to check one of 1,000,000 API keys, a token, a permission (2 GB of memory)
	@go run ./node/bench/auth

bench-pools: ## what each pool of memory, connections and batches on a request's way saves: the same work with it and without (2 minutes)
	@go run ./node/bench/pools

bench-engine: helper ## tokens per second of the embedded engine next to llama-server (go run ./node/bench/engine -install builds it)
	@go run ./node/bench/engine

bench-batching: build libraries ## requests for embeddings that go to the embedded engine together, next to each alone, in turn (1 minute)
	@go run ./node/bench/batching -binary bin/lotabots

bench-feed: ## how long after its acknowledgement a write is applied by 1,000 followers (14 GB of memory)
	@go run ./node/bench/feed

bench-eviction: ## what loading models in turn costs on 8 simulated GPUs, next to who knows the future and to least recently used
	@go test -count=1 -v -run TestEvictionTrace ./actors/gpu -eviction-hours 4

bench-planner: ## how long a plan takes for 1,000 GPUs and 200 deployments: from nothing, at rest, after the death of a node and of a region
	@go test -count=1 -v -run TestPlannerFigures ./cluster/placement -planner-rounds 100

bench-five: build ## five nodes die, are cut off and lose their majority while deployments change, 30 times: how soon what is wanted and what is seen meet again (6 minutes)
	@LOTABOTS_FIVE=full go test -tags e2e -count=1 -v -timeout 30m -run TestFiveNodes ./chaos/e2e

bench-models: build ## how fast a model of 2 GB that is imported on one of three nodes is on the others, next to a plain copy over the loopback; kill -9 on the way, a flipped byte (3 minutes, 20 GB of disk)
	@LOTABOTS_MODELS=full go test -tags e2e -count=1 -v -timeout 20m -run TestModelsTravel ./chaos/e2e

check-gpu: build ## what LotaBots sees of this machine's NVIDIA GPUs, held against nvidia-smi (ends well where there are none)
	@go run ./node/bench/gpu

# The other stores are in a module of their own, so that the program does not depend on them.
bench-storage: ## applies per second of Raft on our store, next to raft-boltdb and raft-wal
	@cd storage/bench && go vet -mod=mod . && go run -mod=mod .

e2e: build libraries ## whole clusters of real processes, with the official clients, Ollama and an OIDC provider
	go test -tags e2e -count=1 -timeout 20m ./chaos/e2e/...
	go test -tags e2e -count=1 -timeout 5m -run Real ./cluster/session

chaos: build libraries mutants ## faults against a running load, and the proof that the harness can fail
	bin/lotabots chaos run --seed $(SEED) --duration $(DURATION) --patience $(PATIENCE)

mutants: build libraries
	CGO_ENABLED=0 go build -trimpath -tags mutant -o bin/lotabots-mutant ./node/cmd/lotabots
	go test -tags mutants -count=1 -timeout 15m ./chaos/...

fuzz: ## every fuzz target for FUZZTIME
	@for pkg in $$(grep -rlE '^func Fuzz' --include '*_test.go' . | xargs -r -n1 dirname | sort -u); do \
	  for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$pkg/*_test.go | sed 's/func //'); do \
	    echo "$$pkg $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x $$pkg; \
	  done; done

generate: ## protobuf code from cluster/wire/*.proto (needs protoc)
	GOBIN=$(CURDIR)/.cache/bin go install $(PROTOC_GEN)
	PATH=$(CURDIR)/.cache/bin:$$PATH go generate ./...

clean: ## remove what the build made
	rm -rf bin dist
