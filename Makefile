# Affinity. `make help` lists what there is.
#
# `build` and `test` use one set of objects: the tests never import with @testable, so
# --disable-testable-imports lets `swift test` take what `swift build` made instead of compiling
# the world again with -enable-testing.

SWIFT    ?= swift
DURATION ?=
ARGS     ?=
FILTER   ?=
BIN      := .build/release

.PHONY: help setup build run test simulate bench bench-scaling readme clean
.DEFAULT_GOAL := help

help:
	@echo "make run     build and show a simulated shop with live recommendations (DURATION=30s stops by itself)"
	@echo "make test    set up, build and run all tests (FILTER=EdgeTests runs some)"
	@echo "make simulate  the daemon's loop in simulated worlds, killed again and again (SEEDS=1000; SEED=17 one alone;"
	@echo "               ONLY=killed SEEDS=100: a thousand kills in each mode of delivery)"
	@echo "make build   set up and build $(BIN)/affinityd"
	@echo "make bench   build and run the benchmarks (ARGS=... are passed on)"
	@echo "make bench-scaling  double users, items and events; a plot of each into docs/"
	@echo "make readme  write the table of keys into README.md"
	@echo "make setup   install what the build needs (Debian), if anything is missing"
	@echo "make clean   remove everything that was built"

setup:
	@scripts/setup.sh

build: setup
	$(SWIFT) build -c release --product affinityd

run: build
	@$(BIN)/affinityd demo $(if $(DURATION),--duration $(DURATION)) $(ARGS)

# The executable is built first: the end-to-end tests start it. They run one after the other and by
# themselves: each starts brokers and daemons, which want the cores.
TEST := $(SWIFT) test -c release --disable-testable-imports --disable-xctest
test: build
ifeq ($(FILTER),)
	$(TEST) --skip EndToEndTests </dev/null
	$(TEST) --skip-build --no-parallel --filter EndToEndTests </dev/null
else
	$(TEST) --filter "$(FILTER)" </dev/null
endif

SEEDS ?= 1000
SEED  ?=
ONLY  ?=
simulate: setup
	AFFINITY_SEEDS=$(SEEDS) $(if $(SEED),AFFINITY_SEED=$(SEED)) $(TEST) --filter 'SimulationTests.*$(ONLY)' </dev/null

readme: build
	@{ sed '/<!-- keys -->/q' README.md; $(BIN)/affinityd validate --print-table; \
	  sed -n '/<!-- \/keys -->/,$$p' README.md; } > .build/README.md && mv .build/README.md README.md

bench: setup
	$(SWIFT) build -c release --product affinity-bench
	@$(BIN)/affinity-bench $(ARGS)

bench-scaling: setup
	$(SWIFT) build -c release --product affinity-bench
	@scripts/bench-scaling.py $(ARGS)

clean:
	rm -rf .build
