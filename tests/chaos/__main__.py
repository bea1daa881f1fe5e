"""`make chaos`: SEEDS seeds from SEED on. It goes on after one that fails, and names all of those in
the end.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from .run import chaos_site, run_seed

SEEDS_OF_A_SITE = 25
"""The doubles remember every request with its body: 50 MB a seed."""


def main() -> int:
    first, count = int(os.environ.get("SEED") or 1), int(os.environ.get("SEEDS") or 500)
    run_dir = Path(tempfile.mkdtemp(prefix="chaos-"))
    failed = []
    answers = 0
    seeds = range(first, first + count)
    for batch in (seeds[at : at + SEEDS_OF_A_SITE] for at in range(0, count, SEEDS_OF_A_SITE)):
        with chaos_site(run_dir / str(batch.start)) as replicas:
            for seed in batch:
                report = run_seed(replicas, seed)
                answers += report.answers.total()
                print(report.line(), flush=True)
                if report.problems:
                    failed.append(seed)
                    print(*(f"  {problem}" for problem in report.problems), sep="\n", flush=True)
    print(f"{count - len(failed)} seeds passed, {len(failed)} failed, {answers} answers")
    for seed in failed:
        print(f"replay: make chaos SEED={seed} SEEDS=1   (Envoy's logs: {run_dir}/*/*/edge.log)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
