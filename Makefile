# Everything that is done with this repository, by name. `make` alone lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools that .ci/need installed for this checkout come first.
export PATH := $(CURDIR)/target/tools/bin:$(PATH)

# For `make demo ARGS='--port-base 9000'`, and for the test runner: `make test ARGS=precedence`.
ARGS ?=

.PHONY: help setup demo test bench fmt fmt-check lint docs schema deny advisories check clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what building needs and a bare Debian with rustup lacks (cmake, clippy, rustfmt)
	@.ci/need cargo cc cmake clippy rustfmt

demo: setup ## Run three small clouds, their edges and their backends on this machine
	cargo run --quiet --bin causeway -- demo $(ARGS)

# Doc tests go first, since nextest does not know them and a test run should close with its own count.
test: setup ## Run every test (with cargo-nextest where it is installed, else with cargo test)
	$(if $(ARGS),,cargo test --workspace --doc --quiet)
	@if command -v cargo-nextest >/dev/null; then \
		set -x; cargo nextest run --workspace --no-fail-fast $(ARGS); \
	else \
		set -x; cargo test --workspace --lib --bins --tests --no-fail-fast $(ARGS); \
	fi

bench: setup ## Measure compile, plan and SNI lookup (optimised: the first build takes minutes)
	cargo bench --package causeway-benches $(ARGS)

fmt: setup ## Format the code
	cargo fmt --all

fmt-check: setup ## Fail on code that is not formatted
	cargo fmt --all --check

lint: setup ## Run clippy on everything; a warning fails
	cargo clippy --workspace --all-targets -- --deny warnings

docs: setup ## Build the API documentation; a broken link fails
	RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps

schema: setup ## Write config/causeway.schema.json anew from the types of the configuration
	cargo run --quiet --package causeway-config --example schema > target/causeway.schema.json
	mv target/causeway.schema.json config/causeway.schema.json

deny: ## Check the licences, sources and bans of all dependencies (deny.toml)
	@.ci/need cargo cargo-deny
	cargo deny --locked check licenses bans sources

advisories: ## Ask the RustSec database about all dependencies (needs the network)
	@.ci/need cargo cargo-deny
	cargo deny --locked check advisories

check: deny fmt-check lint docs test ## Everything that CI checks

clean: ## Remove all that was built, and the tools below target/
	cargo clean
