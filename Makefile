# SPDX-License-Identifier: Apache-2.0
#
# Everything that people and machines type. The work is done by Meson and by the scripts in tools/.
# `make help` prints the lines that carry two hashes.

.DEFAULT_GOAL := help
.PHONY: help setup setup-run build run test check asan ubsan tsan fuzz chaos sim bench docs clean
MAKEFLAGS += --no-print-directory
# Two of these at once would build one folder twice.
.NOTPARALLEL:

# Seconds of `make fuzz`, over all targets together.
SECONDS ?= 60
# Of `make chaos`: a name in chaos/scenarios, the seed to repeat (else a new one), rounds (else the scenario's own),
# RESUME=1 to go on with the run of that scenario and seed.
SCENARIO ?= mix
SEED ?=
ROUNDS ?=
RESUME ?=
# Seeds of `make sim`; there, too, SEED=n repeats one and says what happens in it.
SEEDS ?= 1000
# DEMO=0: `make run` without the demo load.
DEMO ?= 1
# Data of `make run`.
DATA ?= ./observex-data

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: Debian packages, the storage engine, what the tests need
	@tools/setup.sh all

# What building and running needs, without the tests' browser, SDK and checkers.
setup-run:
	@tools/setup.sh

build: setup-run ## Build build/observex
	@tools/build.sh build

# Of what is built only the program, a third of the work: who runs it first should not wait for tests and benchmarks.
run: setup-run ## Run ObserveX in development mode with the demo load; DEMO=0 without, DATA=dir elsewhere
	@TARGET=observex tools/build.sh build
	@DEMO='$(DEMO)' DATA='$(DATA)' exec tools/run.sh

test: setup build ## Run every test: unit, integration, stress, end to end
	@tools/test.sh

check: setup ## Warnings as errors, clang-format, cppcheck, shell syntax
	@tools/check.sh

asan: setup ## Unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/sanitize.sh asan

ubsan: setup ## Unit tests under UndefinedBehaviorSanitizer alone, built by clang
	@tools/sanitize.sh ubsan

tsan: setup ## Stress programs under ThreadSanitizer
	@tools/sanitize.sh tsan

fuzz: setup ## Fuzz every decoder; SECONDS=n in all
	@tools/fuzz.sh '$(SECONDS)'

chaos: build ## Harm running processes and count; SCENARIO=name SEED=n ROUNDS=n RESUME=1, chaos/README.md
	@SCENARIO='$(SCENARIO)' SEED='$(SEED)' ROUNDS='$(ROUNDS)' RESUME='$(RESUME)' tools/chaos.sh

sim: build ## Simulate nodes, disks and storage in virtual time; SEEDS=n of them, or SEED=n in full
	@tools/sim.sh '$(SEEDS)' '$(SEED)'

bench: build ## Print every figure of docs/performance.md, in some ten minutes
	@tools/bench.sh

# Only what has changed in a table changes here; the unit tests compare.
docs: build ## Write the pages of docs/ that come from tables anew
	@tools/docs.sh

clean: ## Remove what was built; data and fetched packages stay
	@rm -rf build build-check build-check-clang build-asan build-ubsan build-tsan build-fuzz
