# Everything that is done with this repository, by name. `make` alone lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools that .ci/need installed for this checkout come first.
export PATH := $(CURDIR)/target/tools/bin:$(PATH)

# For `make demo ARGS='--port-base 9000'`, and for the test runner: `make test ARGS=precedence`.
ARGS ?=

.PHONY: help setup demo test conformance fuzz manifests soak failover-wan handover bench bench-follow bench-compare pgo failover-report instructions peers \
	fmt fmt-check lint docs schema deny advisories check clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what building needs and a bare Debian with rustup lacks (cmake, clippy, rustfmt)
	@.ci/need cargo cc cmake clippy rustfmt

demo: setup ## Run three small clouds, their edges and their backends on this machine (ARGS=--kube: from API servers)
	@if [[ ' $(ARGS) ' == *' --kube '* ]]; then \
		.ci/need unshare ip; set -x; \
		cargo build --quiet --package causeway --package causeway-test-apiserver; \
		"$${CARGO_TARGET_DIR:-target}/debug/causeway" demo $(ARGS); \
	else \
		set -x; cargo run --quiet --bin causeway -- demo $(ARGS); \
	fi

# Doc tests go first, since nextest does not know them and a test run should close with its own count.
test: setup ## Run every test (with cargo-nextest where it is installed, else with cargo test)
	$(if $(ARGS),,cargo test --workspace --doc --quiet)
	@.ci/need unshare ip
	@rm -rf "$${CARGO_TARGET_DIR:-target}/tmp/servers"
	@if command -v cargo-nextest >/dev/null; then \
		set -x; cargo nextest run --workspace --no-fail-fast $(ARGS); \
	else \
		set -x; cargo test --workspace --lib --bins --tests --no-fail-fast $(ARGS); \
	fi
	@.ci/servers

manifests: ## Hold everything below deploy/ against the OpenAPI schemas of Kubernetes
	@.ci/need kubernetes-schemas
	@target/tools/schemas/bin/python -W ignore tests/deploy/validate.py

soak: setup ## Play the simulation of faults with a thousand seeds a scenario (an hour or two), and send a gibibyte through two edges
	SIMULATION_SEEDS=1000 cargo test --package causeway-simulation $(ARGS)
	cargo test --package causeway-tests --test peers -- --ignored --nocapture

failover-wan: setup ## Break a cloud in six ways under mixed traffic over a slow network, and print what it cost (five minutes)
	FAILOVER_WAN_TABLES=$(CURDIR)/target cargo test --package causeway-tests --test wan -- --ignored --nocapture --test-threads 1

handover: setup ## Ten upgrades in a row under load, process by process (a minute)
	cargo test --package causeway-tests --test handover -- --ignored --nocapture

# All packages, as for the other tests: with fewer some dependencies would be built once more, with fewer features.
conformance: setup ## Run what third parties wrote against an edge: sslyze, h2load, grpcio, websockets (installs them)
	@.ci/need h2load sslyze conformance-python
	cargo test --workspace --test conformance -- --ignored --test-threads 1

fuzz: setup ## Fuzz the parsers of outside bytes with libFuzzer (ARGS='path --seconds 600', or ARGS=all)
	@.ci/need c++
	@fuzz/run $(ARGS)

bench: setup ## Measure compile, plan and SNI lookup (optimised: the first build takes minutes)
	cargo bench --package causeway-benches $(ARGS)

peers:
	@.ci/need nginx haproxy envoy traefik caddy wrk h2load openssl

pgo: setup ## Build with profile-guided optimisation and BOLT: target/pgo/causeway (two release builds, four minutes of load)
	@.ci/need nginx wrk h2load openssl llvm-profdata llvm-bolt
	@benches/pgo

bench-compare: setup peers ## Measure Causeway beside its peers; writes docs/performance.md (ARGS=--pgo: what `make pgo` built)
	$(if $(findstring --pgo,$(ARGS)),,cargo build --release --package causeway --package causeway-bare-engine)
	PYTHONPATH=benches python3 -m peers.compare $(ARGS)

failover-report: setup peers ## Give Causeway and its peers the same faults; writes docs/reliability.md
	cargo build --release --package causeway
	PYTHONPATH=benches python3 -m peers.failover $(ARGS)

instructions: setup ## Count what a request costs in instructions; 5 % more than benches/instructions.json fails
	@.ci/need nginx openssl valgrind
	cargo build --release --package causeway
	PYTHONPATH=benches python3 -m peers.instructions $(ARGS)

bench-follow: setup ## Measure what following three API servers costs; ARGS='--seconds 60' for how long
	cargo bench --package causeway-benches --bench follow -- $(ARGS)

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

check: deny fmt-check manifests lint docs conformance instructions test ## Everything that CI checks

clean: ## Remove all that was built, and the tools below target/
	cargo clean
