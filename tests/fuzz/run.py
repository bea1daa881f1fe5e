"""`make fuzz`: builds the targets of tests/fuzz with coverage feedback, and gives each its share of the time.

Rust's stable compiler has LLVM's coverage pass, which libFuzzer reads. So only a C++ compiler is needed
beside it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
OUT = FOLDER.parents[1] / "target" / "fuzz"
SEEDS = FOLDER / "corpus"

COVERAGE = [
    "-Cpasses=sancov-module",
    *(
        f"-Cllvm-args=-sanitizer-coverage-{option}"
        for option in ("level=4", "inline-8bit-counters", "pc-table", "trace-compares")
    ),
    "-Ccodegen-units=1",
]
"""The options that cargo-fuzz gives the compiler, without a sanitizer: the code has no `unsafe`."""

LONGEST_INPUT = 4096
SHARE_OF_THE_MACHINE = 0.5
"""The share of the time. The machine has the most code, so it gets as much as all readers together."""


def main() -> int:
    seconds = int(os.environ.get("SECONDS", "3600"))
    names = os.environ.get("TARGETS", "").split() or sorted(path.name for path in SEEDS.iterdir())
    binary = build()
    failed = [name for name in names if not fuzz(binary, name, share(name, names, seconds))]
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def share(name: str, names: list[str], seconds: int) -> int:
    if "machine" not in names or len(names) == 1:
        return max(1, seconds // len(names))
    of_the_machine = seconds * SHARE_OF_THE_MACHINE
    return max(1, int(of_the_machine if name == "machine" else (seconds - of_the_machine) / (len(names) - 1)))


def build() -> Path:
    triple = next(
        line.split()[1]
        for line in subprocess.check_output(["rustc", "-vV"], text=True).splitlines()
        if line.startswith("host:")
    )
    # With a target named, build scripts and macros are not instrumented.
    subprocess.run(
        ["cargo", "build", "--quiet", "--locked", "--release", "--target", triple]
        + ["--manifest-path", FOLDER / "coverage" / "Cargo.toml", "--target-dir", OUT / "build"],
        env={**os.environ, "RUSTFLAGS": " ".join(COVERAGE)},
        check=True,
    )
    return OUT / "build" / triple / "release" / "fuzz"


def fuzz(binary: Path, name: str, seconds: int) -> bool:
    """Tells if the target survived. Inputs that reach new code stay in target/fuzz, for the next run."""
    if not (SEEDS / name).is_dir():
        sys.exit(f"TARGETS: {name} is none of {', '.join(sorted(path.name for path in SEEDS.iterdir()))}")
    corpus, failures = OUT / "corpus" / name, OUT / "failures" / name
    corpus.mkdir(parents=True, exist_ok=True)
    failures.mkdir(parents=True, exist_ok=True)
    log = OUT / f"{name}.log"
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}", "-print_final_stats=1"]
    with log.open("w") as output:
        code = subprocess.run(
            [binary, corpus, SEEDS / name, *options, f"-artifact_prefix={failures}/"],
            env={**os.environ, "TARGET": name},
            stdout=output,
            stderr=subprocess.STDOUT,
        ).returncode
    lines = log.read_text(errors="replace").splitlines()
    units = next((line.split()[-1] for line in lines if "number_of_executed_units" in line), "?")
    covered = next((line.split("cov: ")[1].split()[0] for line in reversed(lines) if "cov: " in line), "?")
    print(
        f"{name}: {units} inputs in {seconds} s, {covered} edges, {'no failure' if code == 0 else 'FAILED'}",
        flush=True,
    )
    if code == 0:
        return True
    print("\n".join(lines[-40:]))
    for failure in sorted(failures.iterdir()):
        print(f"replay: cp {failure} {SEEDS / name}/ && cargo test --test fuzz")
    return False


if __name__ == "__main__":
    if not shutil.which("cargo"):
        sys.exit("no cargo: install Rust from https://rustup.rs")
    sys.exit(main())
