"""Run the attack: ``python -m benchmarks.attack --kind arrays --cases 10000 --seed 7``.

Without ``--kind``, all kinds. Each round of cases has a seed of its own, which is printed: with it,
and as many cases, the same ones come again.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time

from benchmarks.attack.rounds import KINDS, ROUND, Findings, run_round


def main() -> int:
    """Attack, and return 1 where a promise broke."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description=__doc__)
    parser.add_argument("--kind", choices=list(KINDS), action="append", help="default: all")
    parser.add_argument("--cases", type=int, default=100, help="of each kind; default: 100")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    findings = Findings()
    with tempfile.TemporaryDirectory() as models:
        os.environ["NAPARI_BARYIR_MODELS"] = models
        for kind in args.kind or KINDS:
            start, known = time.monotonic(), len(findings.cases)
            for first in range(0, args.cases, ROUND):
                seed, count = args.seed + first // ROUND, min(ROUND, args.cases - first)
                run_round(kind, seed, count, findings)
                new = list(findings.cases.items())[known:]
                known = len(findings.cases)
                took = time.monotonic() - start
                sys.stdout.write(
                    f"{kind}: {first + count} cases in {took:.0f} s; --seed {seed} --cases {count}"
                    f"{f' broke {len(new)} promises more' if new else ''}\n"
                )
                sys.stdout.writelines(f"  {place}: {case}\n" for place, (case, _) in new)
                sys.stdout.flush()
    sys.stdout.write(f"{findings}\n" if findings.cases else "all promises were kept\n")
    return int(bool(findings.cases))


if __name__ == "__main__":
    sys.exit(main())
