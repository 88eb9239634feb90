# `make help` lists the targets. Cargo decides what has to be built again; its chatter goes to standard error.

LISTEN ?= 127.0.0.1:3000
STATE_DIR ?= .spin

# spin.toml names the component below target/, whatever the environment says.
export CARGO_TARGET_DIR := $(CURDIR)/target

COMPONENT := target/wasm32-wasip2/release/volume_snapshots.wasm
HOST_PROGRAM := target/host/volume-snapshots-host
# The one that the tests build: slower, and there already.
TEST_HOST_PROGRAM := target/debug/volume-snapshots-host
LARGEST_COMPONENT := 1048576

# In CI, Cargo.lock is the word.
LOCKED := $(if $(CI),--locked)

.DEFAULT_GOAL := help
.PHONY: help build up test openapi clients gophercloud demo bench bench-compare bench-scale check tools clean toolchain component embedded-host

help: ## List the targets
	@echo 'make <target>:'
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r target text; do printf '%-13s %s\n' "$$target" "$$text"; done
	@echo
	@echo 'LISTEN=$(LISTEN) and STATE_DIR=$(STATE_DIR) are for up; HOST=spin runs it on Spin.'

build: component ## Build the component and print its size; more than 1 MiB fails
	@size=$$(wc -c < $(COMPONENT)); \
	echo "$(COMPONENT): $$((size)) bytes of at most $(LARGEST_COMPONENT)"; \
	test "$$size" -le $(LARGEST_COMPONENT)

ifeq ($(HOST),spin)
up: component
	@command -v spin >/dev/null || { echo 'make: HOST=spin needs the spin command; the README says more' >&2; exit 1; }
	@exec spin up --from spin.toml --listen '$(LISTEN)' --state-dir '$(STATE_DIR)'
else
up: component embedded-host ## Build and run the app in the foreground until Ctrl-C or SIGTERM
	@exec $(HOST_PROGRAM) --manifest spin.toml --listen '$(LISTEN)' --state-dir '$(STATE_DIR)' --probe /healthcheck
endif

test: build ## Run all tests, those on the component included
	cargo test $(LOCKED) --workspace

openapi: component ## Check docs/openapi.yaml against the running component; needs python3 with venv, and PyPI
	cargo build $(LOCKED) --package volume-snapshots-host
	@python3 tests/openapi/check.py $(TEST_HOST_PROGRAM)

clients: component ## Drive the running component with real clients and a real Keystone; needs python3 with venv, and PyPI
	cargo build $(LOCKED) --package volume-snapshots-host
	@python3 tests/clients/check.py $(TEST_HOST_PROGRAM)

gophercloud: component ## Run gophercloud's own acceptance tests against it; CHECKOUT= is a checkout of gophercloud 2; needs go
	@test -d '$(CHECKOUT)/internal/acceptance' || { echo 'make: CHECKOUT= must name a checkout of gophercloud 2' >&2; exit 1; }
	@command -v go >/dev/null || { echo 'make: go is not on the PATH' >&2; exit 1; }
	cargo build $(LOCKED) --package volume-snapshots-host
	@python3 tests/clients/check.py $(TEST_HOST_PROGRAM) '$(CHECKOUT)'

demo: component embedded-host ## Walk one snapshot through its life with plain HTTP calls
	@docs/demo.sh $(HOST_PROGRAM)

bench: component embedded-host ## Measure requests in a second beside a bare component; writes docs/benchmarks.md; needs wrk
	@command -v wrk >/dev/null || { command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && \
		apt-get install --yes --quiet --no-install-recommends wrk >&2; } || \
		{ echo 'make: install wrk, such as with `apt-get install wrk` or `brew install wrk`' >&2; exit 1; }
	@cargo build $(LOCKED) --target wasm32-wasip2 --release --package volume-snapshots-bare
	@HOST_PROGRAM='$(CURDIR)/$(HOST_PROGRAM)' HOST='$(HOST)' cargo bench $(LOCKED) --profile host --bench throughput

bench-compare: component ## Measure one show in process beside the bare component; OTHERS= names manifests of other builds
	@cargo build $(LOCKED) --target wasm32-wasip2 --release --package volume-snapshots-bare
	@cargo bench $(LOCKED) --profile host --bench compare -- $(OTHERS)

bench-scale: component ## Measure pages of lists as a project grows to 100,000 snapshots, and after mass deletion
	@cargo bench $(LOCKED) --profile host --bench scale

check: toolchain ## Check format, lints, docs and licences
	cargo fmt --all --check
	cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings
	cargo clippy $(LOCKED) --lib --target wasm32-wasip2 --package volume-snapshots --package volume-snapshots-bare -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc $(LOCKED) --workspace --no-deps --document-private-items
	@if cargo deny --version >/dev/null 2>&1; then \
		echo 'cargo deny check licenses bans sources'; \
		cargo deny check licenses bans sources; \
	else \
		echo 'SKIPPED: licences were not checked, since cargo-deny is not installed; `make tools` installs it.' >&2; \
	fi

tools: toolchain ## Install cargo-deny, which `check` uses where it is there
	cargo install --locked cargo-deny

clean: ## Remove what was built; STATE_DIR stays
	rm -rf target

component: toolchain
	@cargo build $(LOCKED) --target wasm32-wasip2 --release --lib

embedded-host: toolchain
	@cargo build $(LOCKED) --profile host --package volume-snapshots-host

# rustup installs what rust-toolchain.toml names by itself, unless RUSTUP_AUTO_INSTALL=0; then it is asked to.
toolchain:
	@command -v cargo >/dev/null || { \
		echo 'make: cargo is not on the PATH. Install rustup (https://rustup.rs) and open a new shell.' >&2; exit 1; }
	@has_target() { test -d "$$(rustc --print sysroot)/lib/rustlib/wasm32-wasip2"; }; \
	has_target || ! command -v rustup >/dev/null || rustup target add wasm32-wasip2; \
	has_target || { echo 'make: this Rust has no wasm32-wasip2, and there is no rustup to install it.' >&2; exit 1; }
