# Two commands: `make up` starts a whole CDN on this machine, `make test` checks everything.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help up test clean-local

# What is needed beyond Rust and make, as program:package of Debian.
# cmake and a C compiler build zlib-ng, zstd and ring, which Pingora and rustls bring along.
TO_BUILD := cc:gcc cc:libc6-dev cmake:cmake
# Players and clients that tests put before the CDN.
TO_TEST := curl:curl ffmpeg:ffmpeg openssl:openssl

# $(call provide,PAIRS): installs the packages whose programs are missing.
define provide
	@missing=(); \
	for pair in $(1); do \
		command -v "$${pair%%:*}" >/dev/null || missing+=("$${pair##*:}"); \
	done; \
	if (( $${#missing[@]} )); then \
		echo "==> installing system packages: $${missing[*]}"; \
		command -v apt-get >/dev/null || { echo "make: $${missing[*]} missing, and there is no apt-get here: install them by hand" >&2; exit 1; }; \
		root=(); \
		if [ "$$(id -u)" != 0 ]; then \
			command -v sudo >/dev/null || { echo "make: $${missing[*]} missing, and there is no sudo: run \`apt-get install $${missing[*]}\` as root" >&2; exit 1; }; \
			root=(sudo); \
		fi; \
		"$${root[@]}" apt-get update -qq; \
		"$${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null \
			|| { echo "make: apt-get could not install $${missing[*]}" >&2; exit 1; }; \
	fi
endef

define need_cargo
	@command -v cargo >/dev/null || { echo "make: cargo is missing: install Rust (https://rustup.rs) and try again" >&2; exit 1; }
endef

help:
	@echo "make up           build, and start a whole CDN on this machine (Ctrl-C stops it)"
	@echo "make test         format check, clippy, build, every test"
	@echo "make clean-local  remove .local/: caches, logs and the certificate of the local CDN"

up:
	$(need_cargo)
	$(call provide,$(TO_BUILD))
	@echo "==> building the daemons (release; the first time takes some minutes)"
	@cargo build --release --locked --bins
	@echo "==> starting the local CDN"
	@exec "$${CARGO_TARGET_DIR:-target}/release/millrace-loadtest" up

test:
	$(need_cargo)
	$(call provide,$(TO_BUILD) $(TO_TEST))
	@echo "==> format"
	@cargo fmt --all --check
	@echo "==> clippy"
	@cargo clippy --workspace --all-targets --locked -- -D warnings
	@echo "==> build"
	@cargo build --workspace --locked
	@echo "==> tests"
	@cargo test --workspace --locked

clean-local:
	@rm -rf .local
	@echo "removed .local/"
