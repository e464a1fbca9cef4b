"""Run a module and profile its main thread between two signals: `python -m tests.bench.profiled <file> <module>`.

SIGUSR1 begins, SIGUSR2 ends and writes the file: so neither start nor end, nor what is done once, is in it.
"""

from __future__ import annotations

import cProfile
import runpy
import signal
import sys


def main() -> None:
    path, module = sys.argv[1:]
    profile = cProfile.Profile()

    def begin(*_: object) -> None:
        profile.enable()

    def end(*_: object) -> None:
        profile.disable()
        profile.dump_stats(path)

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
