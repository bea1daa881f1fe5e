"""`python -m sample PORT`: the sample origin of envoy/docker-compose.yaml, for all other containers."""

from __future__ import annotations

import signal
import sys

from . import SampleOrigin


def main() -> None:
    ends = {signal.SIGINT, signal.SIGTERM}
    # The signals are blocked, and so waited for: the first process of a container ignores a signal without a
    # handler.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with SampleOrigin(lambda line: print(line, flush=True), ("0.0.0.0", int(sys.argv[1]))):
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
