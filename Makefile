# The two commands of the README: `make run` shows calls, `make test` proves everything.
# Each line of `check` can be run alone: make fmt, make clippy, make docs, make core, make unit, make benches, make instructions, make deny,
# make fuzz-smoke.

CARGO ?= cargo
# cargo-deny and the daemons of the SIPp tests may lie where a plain shell does not look.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH):/usr/sbin:/sbin

.PHONY: run test setup check fmt clippy docs core unit benches instructions deny load fuzz fuzz-smoke

# Calls between a played Genesys trunk and a played Teams hub, on loopback, told as ladders.
run:
	$(CARGO) run --quiet --locked -- demo

test: setup check

setup:
	scripts/setup.sh

# In order of cost: what fails soonest comes first.
check: fmt deny core clippy docs unit benches instructions fuzz-smoke

fmt:
	$(CARGO) fmt --check

deny:
	$(CARGO) deny --locked --all-features check --hide-inclusion-graph licenses bans sources

# The core alone: the compiler holds the line between it and the shell.
core:
	$(CARGO) check --locked --no-default-features

clippy:
	$(CARGO) clippy --locked --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

unit:
	$(CARGO) test --locked

benches:
	$(CARGO) bench --locked --no-run

# What reading a message may cost, counted (docs/performance.md).
instructions:
	$(CARGO) bench --locked --bench parse_instructions

# Every fuzz target for some seconds, from its seeds.
fuzz-smoke:
	scripts/fuzz.sh 5

# Every fuzz target for TIME seconds, from its seeds and from what earlier runs have kept in fuzz/corpus (docs/fuzzing.md).
TIME ?= 600
fuzz:
	KEEP=1 scripts/fuzz.sh $(TIME)

# Figures for docs/performance.md: SIPp over TLS against a release build.
load:
	$(CARGO) bench --locked --bench load
