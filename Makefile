# Parley. `make run` shows it, `make test` proves it; `make help` lists the rest.

GO      ?= go
TOOL    := $(GO) tool -modfile=tools/go.mod
MODULE  := github.com/parley-chat/parley
VERSION := $(or $(VERSION),$(shell git describe --tags --always --dirty 2>/dev/null || echo devel))

# The same sources give the same bytes, wherever they lie.
BUILD   := -trimpath -buildvcs=false -ldflags '-s -w -X $(MODULE)/internal/version.stamped=$(VERSION)'

# For `make build`: "no" leaves out bin/parley-gtk, and what it needs of Debian.
export WINDOW ?= yes
# For `make test`: what to test, and more flags, such as TESTFLAGS='-run Link -v'.
PKG       ?= ./...
TESTFLAGS ?=
# For `make bench`: which ones of bench/ (all when empty), and flags for them, such as BENCHFLAGS='-rounds 2'.
BENCH      ?=
BENCHFLAGS ?=
# For `make microbench`: which benchmarks, how often, and the file to compare with.
MICRO ?= .
COUNT ?= 6
OLD   ?=
# For `make soak`: how long each soak test runs, and each fuzz target.
SOAK ?= 10m
FUZZTIME ?= 30s
# For `make fuzz`: which targets, as a pattern for "package Name"; all when empty.
FUZZ ?=

# In a recipe's shell: of PKG, those that draw, and the others.
SPLIT = widgets=$$(CGO_ENABLED=1 $(GO) list -test -f '{{range .Deps}}{{if eq . "github.com/gotk3/gotk3/glib"}}{{$$.ImportPath}}{{end}}{{end}}' $(PKG) | sed 's/ .*//; s/\.test$$//; s/_test$$//' | sort -u); \
	others=$$($(GO) list $(PKG) | grep -vxF "$${widgets:-none}" || true)

# scripts/setup puts a Go toolchain into .cache/go where the machine has none.
export PATH := $(CURDIR)/.cache/go/bin:$(PATH):/usr/local/go/bin
# Where it has an older one, that fetches what go.mod asks for.
export GOTOOLCHAIN ?= auto
SHELL := /bin/sh

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run build test lint fmt generate bench microbench soak fuzz clean setup-run setup-test setup-lint setup-bench

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

run: build ## build, then the window; without a display, two people chatting in a temporary folder
	@if [ -x bin/parley-gtk ] && [ -n "$${WAYLAND_DISPLAY:-$$DISPLAY}" ]; then set -x; exec bin/parley-gtk; fi; set -x; exec bin/parley demo

build: setup-run ## build bin/parley, bin/parley-server, bin/parley-gtk and bin/plugins/
	@mkdir -p bin/plugins
	CGO_ENABLED=0 $(GO) build $(BUILD) -o bin/ ./cmd/parley ./cmd/parley-server
	@set -e; \
	mains=$$($(GO) list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' ./plugins/...); \
	for main in $$mains; do \
		case $$main in */plugins/sdk/* | */internal/*) continue ;; esac; \
		name=$${main#$(MODULE)/plugins/}; name=$${name%%/*}; \
		echo "CGO_ENABLED=0 $(GO) build -o bin/plugins/parley-plugin-$$name $$main"; \
		CGO_ENABLED=0 $(GO) build $(BUILD) -o "bin/plugins/parley-plugin-$$name" "$$main"; \
	done
	@if [ "$(WINDOW)" = no ]; then exit 0; fi; \
	if pkg-config --exists gtk+-3.0 && command -v gcc >/dev/null; then \
		echo "CGO_ENABLED=1 $(GO) build -o bin/ ./cmd/parley-gtk"; \
		CGO_ENABLED=1 $(GO) build $(BUILD) -o bin/ ./cmd/parley-gtk; \
	else \
		echo "bin/parley-gtk is left out: it needs gcc, pkg-config and GTK 3's headers"; \
	fi

# Modules of their own read files outside of them, which the test cache does not
# see. What `go test` says comes last, so that whoever reads the end of the log sees
# which package failed. Before it come simulations of one goroutine each, in which
# the race detector has nothing to find, and which it makes ten times slower; and
# the packages with widgets, because gotk3 fails checkptr and compiles for minutes,
# which -trimpath lets vet, test and build share. With it vet cannot look at calls of
# C: what cgo made is cached with the name of the folder where it was made first,
# which may be another clone that is gone. The linter looks at them.
test: setup-test build ## vet, then all tests with the race detector
	$(GO) vet -trimpath -cgocall=false $(PKG)
	@set -e; for mod in examples/*/go.mod test/*/go.mod; do \
		[ -e "$$mod" ] || continue; \
		dir=$$(dirname "$$mod"); \
		echo "$$dir: go vet, go test"; \
		(cd "$$dir" && $(GO) vet ./... && CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 5m ./...); \
	done
ifeq ($(PKG),./...)
	$(GO) test -trimpath -timeout 10m ./core/chatlog -run '^(TestConvergence|TestLargeGroup)$$' -args -seeds 1000 -people 200
	$(GO) test -trimpath -timeout 10m ./plugins/group -run '^(TestAllAgree|TestNoRightsWithoutMembership|TestManyAtOnce)$$' -args -seeds 1000 -people 200
	$(GO) test -trimpath -timeout 10m ./core/store -run '^TestPowerLoss$$' -args -crashes 2000
endif
	@set -e; $(SPLIT); \
	if [ -n "$$widgets" ]; then (set -x; CGO_ENABLED=1 $(GO) test -trimpath -timeout 20m $(TESTFLAGS) $$widgets); fi; \
	if [ -n "$$others" ]; then (set -x; CGO_ENABLED=1 $(GO) test -race -timeout 20m $(TESTFLAGS) $$others); fi

lint: setup-lint ## golangci-lint, buf lint, shellcheck
	$(TOOL) golangci-lint run ./...
	$(TOOL) buf lint
	git ls-files -z --cached --others --exclude-standard .ci scripts packaging examples | xargs -0 grep -lZE '^#!.*\b(ba)?sh\b' | xargs -0 shellcheck

fmt: ## format Go and protobuf sources
	$(GO) fmt ./...
	$(TOOL) buf format -w

generate: setup-run ## make the generated code anew from the .proto files
	$(TOOL) buf generate

bench: setup-bench build ## benchmarks into docs/benchmarks.md; BENCH=name for one
	@set -e; \
	for name in $(or $(BENCH),$(patsubst bench/%/main.go,%,$(wildcard bench/*/main.go))); do \
		CGO_ENABLED=0 $(GO) build -o .cache/bench/ ./bench/$$name; \
		.cache/bench/$$name -write docs/benchmarks.md $(BENCHFLAGS); \
	done

microbench: setup-run ## Go benchmarks of packages; OLD=file compares with an earlier run
	@mkdir -p .cache/bench
	$(GO) test -run '^$$' -bench '$(MICRO)' -benchmem -count $(COUNT) -timeout 60m $(PKG) >'.cache/bench/$(VERSION).txt' || { cat '.cache/bench/$(VERSION).txt'; exit 1; }
	$(TOOL) benchstat $(OLD) '.cache/bench/$(VERSION).txt'

soak: setup-test build fuzz ## long tests and all fuzz targets; SOAK=duration, FUZZTIME=duration
	@set -e; $(SPLIT); set -x; PARLEY_SOAK=$(SOAK) CGO_ENABLED=1 $(GO) test -race -count=1 -run '^TestSoak' -timeout 0 -v $$others

fuzz: setup-run ## run all fuzz targets, FUZZTIME each; FUZZ=pattern for some
	FUZZTIME=$(FUZZTIME) scripts/fuzz $(FUZZ)

clean: ## remove what was built
	rm -rf bin .cache/bench

setup-run setup-test setup-lint setup-bench:
	@scripts/setup $(@:setup-%=%)
