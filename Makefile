# `make help` lists the targets. Cargo decides which parts are rebuilt, and prints its progress to standard error.

LISTEN ?= 127.0.0.1:3000
STATE_DIR ?= .spin

# spin.toml expects the component below target/, whatever the environment sets.
export CARGO_TARGET_DIR := $(CURDIR)/target

COMPONENT := target/wasm32-wasip2/release/volume_snapshots.wasm
DEV_IDENTITY := target/wasm32-wasip2/release/volume_snapshots_dev_identity.wasm
COMPONENTS := --package volume-snapshots --package volume-snapshots-dev-identity
LARGEST_COMPONENT := 3670016
# The embedded host of `make up` and the tests, quick to build. `make bench` builds a faster one with `--profile host`.
HOST_PROGRAM := target/debug/volume-snapshots-host
FAST_HOST_PROGRAM := target/host/volume-snapshots-host

# In CI, Cargo.lock must not change.
LOCKED := $(if $(CI),--locked)

# `make check` installs it if cargo has no `deny` command.
CARGO_DENY := cargo-deny@0.20.2
TOOLS := target/tools

# The program of the wheel, and the tool that makes the wheel. `make dist` installs it from PyPI.
PROGRAM := target/dist/volume-snapshots
MATURIN := maturin-1.16.0
DIST := dist

.DEFAULT_GOAL := help
.PHONY: help build up test dist wheel openapi clients clients-all horizon gophercloud attack attack-short demo bench bench-compare bench-scale check clean toolchain component embedded-host programs fast-host bare guest cargo-deny listen-address

help: ## List the targets
	@echo 'make <target>:'
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r target text; do printf '%-13s %s\n' "$$target" "$$text"; done
	@echo
	@echo '`make up` reads LISTEN=$(LISTEN) and STATE_DIR=$(STATE_DIR). HOST=spin runs the app on Spin instead.'

build: component ## Build both components and print their sizes; fail if the main one is above 3.5 MiB
	@size=$$(wc -c < $(COMPONENT)); \
	echo "$(COMPONENT): $$((size)) bytes of at most $(LARGEST_COMPONENT)"; \
	echo "$(DEV_IDENTITY): $$(($$(wc -c < $(DEV_IDENTITY)))) bytes"; \
	test "$$size" -le $(LARGEST_COMPONENT)

# A component that is switched off does not answer.
PROBES := $(if $(filter on,$(SPIN_VARIABLE_DEV_IDENTITY)),--probe /identity/healthcheck)

# Everybody knows the default passwords of dev-identity.
listen-address:
	@test "$$SPIN_VARIABLE_DEV_IDENTITY" != on || test -n "$$SPIN_VARIABLE_DEV_IDENTITY_SEED" || \
		case '$(LISTEN)' in 127.*|localhost:*|'[::1]:'*) ;; *) echo \
		'make: dev_identity=on needs a dev_identity_seed to listen on $(LISTEN); see docs/dev-identity.md' >&2; exit 1;; esac

ifeq ($(HOST),spin)
up: listen-address component
	@command -v spin >/dev/null || { echo 'make: HOST=spin needs the spin command; see README.md' >&2; exit 1; }
	@exec spin up --from spin.toml --listen '$(LISTEN)' --state-dir '$(STATE_DIR)'
else
up: listen-address programs ## Build and run the app in the foreground until Ctrl-C or SIGTERM
	@exec $(HOST_PROGRAM) --manifest spin.toml --listen '$(LISTEN)' --state-dir '$(STATE_DIR)' --probe /startup $(PROBES)
endif

test: programs build guest ## Run all tests, including those of the component
	cargo test $(LOCKED) --workspace

dist: component ## Build dist/: the components, the program, and the wheel; needs python3 with venv and PyPI
	@test -x $(TOOLS)/$(MATURIN)/bin/maturin || { python3 -m venv --clear $(TOOLS)/$(MATURIN) && \
		$(TOOLS)/$(MATURIN)/bin/pip install --quiet --disable-pip-version-check '$(subst -,==,$(MATURIN))'; }
	@rm -rf $(DIST) && mkdir $(DIST)
	@cd python && '$(CURDIR)/$(TOOLS)/$(MATURIN)/bin/maturin' build $(LOCKED) --out '$(CURDIR)/$(DIST)'
	@cp $(COMPONENT) $(DEV_IDENTITY) $(PROGRAM) $(DIST)/
	@cd $(DIST) && wc -c *

wheel: dist ## Check the wheel: install it, start it, and run the tests of its pytest plugin; needs python3 with venv and PyPI
	@python3 tests/wheel/check.py $(DIST)

openapi: programs ## Check docs/openapi.yaml against the running component; needs python3 with venv and PyPI
	@python3 tests/openapi/check.py $(HOST_PROGRAM)

clients: programs ## Test the running component with real clients and a real Keystone; needs python3 with venv and PyPI
	@python3 tests/clients/check.py $(HOST_PROGRAM)

clients-all: clients ## Also run the test suites of other projects, such as Tempest; takes long; needs python3 with venv and PyPI
	@python3 tests/suites/suite.py $(HOST_PROGRAM)

horizon: programs ## Drive the volume panels of Horizon in a browser, and write docs/horizon; needs Chromium, python3, and PyPI
	@python3 tests/suites/horizon.py $(HOST_PROGRAM)

attack: programs ## Attack the running component for ten minutes; parts need root and libfaketime; needs python3
	@python3 tests/attack/check.py $(HOST_PROGRAM) --long

attack-short: programs ## Attack it for two minutes, as CI does; needs python3
	@python3 tests/attack/check.py $(HOST_PROGRAM)

gophercloud: programs ## Run gophercloud's acceptance tests against it; CHECKOUT= is a checkout of gophercloud 2; needs go
	@test -d '$(CHECKOUT)/internal/acceptance' || { echo 'make: CHECKOUT= must name a checkout of gophercloud 2' >&2; exit 1; }
	@command -v go >/dev/null || { echo 'make: go is not on the PATH' >&2; exit 1; }
	@python3 tests/clients/check.py $(HOST_PROGRAM) '$(CHECKOUT)'

demo: programs ## Take one snapshot through its life with plain HTTP calls
	@docs/demo.sh $(HOST_PROGRAM)

bench: component bare fast-host ## Compare requests per second with a bare component; writes docs/benchmarks.md; needs wrk
	@command -v wrk >/dev/null || { command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && \
		apt-get install --yes --quiet --no-install-recommends wrk >&2; } || \
		{ echo 'make: install wrk, for example with `apt-get install wrk` or `brew install wrk`' >&2; exit 1; }
	@HOST_PROGRAM='$(CURDIR)/$(FAST_HOST_PROGRAM)' HOST='$(HOST)' cargo bench $(LOCKED) --profile host --bench throughput

bench-compare: component bare ## Compare one show in process with a bare component; OTHERS= names manifests of other builds
	@cargo bench $(LOCKED) --profile host --bench compare -- $(OTHERS)

bench-scale: component ## Measure what grows: lists up to 200,000 snapshots, a cascade of as many, and work on 20,000 projects
	@cargo bench $(LOCKED) --profile host --bench scale

check: toolchain cargo-deny ## Check the format, lints, docs, and licences
	cargo fmt --all --check
	cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings
	cargo clippy $(LOCKED) --lib --target wasm32-wasip2 $(COMPONENTS) --package volume-snapshots-bare --package volume-snapshots-guest -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc $(LOCKED) --workspace --no-deps --document-private-items
	@.ci/one-build
	@.ci/paths
	@.ci/adding-a-resource
	PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" cargo deny $(LOCKED) check licenses bans sources

clean: ## Remove all build output; STATE_DIR stays
	rm -rf target $(DIST)

component: toolchain
	@MAKEFLAGS= cargo build $(LOCKED) $(QUIET) --target wasm32-wasip2 --release --lib $(COMPONENTS)

# Built with the features of the whole workspace, so that the tests need not rebuild any dependency.
embedded-host: toolchain
	@MAKEFLAGS= cargo build $(LOCKED) --workspace --exclude volume-snapshots-cli --bins

# Both are built at the same time, since each has steps that use only one core. A terminal shows the progress of the host.
programs:
	@test -x $(HOST_PROGRAM) && test -f $(COMPONENT) && test -f $(DEV_IDENTITY) || printf '%s\n' \
		'Building the component, and the embedded host with its 230 crates, wasmtime among them. On two cores this takes' \
		'about five minutes, and the first start ten seconds more. Later starts take a second.' >&2
	@$(MAKE) --no-print-directory --jobs=2 QUIET=--quiet component embedded-host

fast-host: toolchain
	@cargo build $(LOCKED) --profile host --workspace --bins

bare: toolchain
	@cargo build $(LOCKED) --target wasm32-wasip2 --release --package volume-snapshots-bare

guest: toolchain
	@cargo build $(LOCKED) --target wasm32-wasip2 --release --package volume-snapshots-guest

cargo-deny: toolchain
	@PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" cargo deny --version >/dev/null 2>&1 || \
		CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --debug --no-default-features --root $(TOOLS) $(CARGO_DENY)

# rustup installs the toolchain of rust-toolchain.toml by itself. With RUSTUP_AUTO_INSTALL=0 it must be asked to.
toolchain:
	@command -v cargo >/dev/null || { \
		echo 'make: cargo is not on the PATH. Install rustup (https://rustup.rs) and open a new shell.' >&2; exit 1; }
	@has_target() { test -d "$$(MAKEFLAGS= rustc --print sysroot)/lib/rustlib/wasm32-wasip2"; }; \
	has_target || ! command -v rustup >/dev/null || rustup target add wasm32-wasip2; \
	has_target || { echo 'make: this Rust has no wasm32-wasip2, and there is no rustup to install it.' >&2; exit 1; }
