# Everything a fresh Debian 12 machine with git, Rust, gcc and make needs: `make demo`, `make test`.

# cargo may be installed and not yet on the path of this shell.
export PATH := $(PATH):$(HOME)/.cargo/bin

target_dir := $(or $(CARGO_TARGET_DIR),target)
warploom := $(target_dir)/release/warploom

# What `make demo` runs: the main job, checked against the interpreter, and one nest.
demo_einsum := run "mk,kn->mn" --size m=512,n=384,k=640 --dtype f32 --verify
demo_nest := run examples/nests/seidel2d.nest --size T=8,N=64 --verify

.PHONY: help setup build demo test ci clean

help:
	@echo "make demo    set up, build, and run an einsum and a loop nest, both verified"
	@echo "make test    set up and run all tests"
	@echo "make build   set up and build $(warploom)"
	@echo "make setup   install what is missing: LLVM 22, autotools, mold, a Python with NumPy"
	@echo "make ci      what CI runs: tests, formatting, lints, tidy"

setup:
	@scripts/setup.sh

build: setup
	cargo build --release --locked -p warploom-cli

demo: build
	$(warploom) $(demo_einsum)
	$(warploom) $(demo_nest)

# nextest runs the tests side by side and kills one that hangs; plain cargo test does without it.
test: setup
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -x; cargo nextest run --workspace --locked && cargo test --doc --workspace --locked; \
	else \
		set -x; cargo test --workspace --locked; \
	fi

ci:
	.ci/run

clean:
	cargo clean
	rm -rf .venv
