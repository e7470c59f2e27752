"""NumPy as a contestant: sets a problem up once, then runs it once per line on standard input.

First line: JSON {"spec": einsum, "shapes": [[...], ...], "dtype": "float32"}; the answer is the
NumPy version and its BLAS. Every further line runs the einsum once; the answer is its seconds.
"""

import json
import sys
import time

import numpy as np


def main() -> None:
    problem = json.loads(sys.stdin.readline())
    rng = np.random.default_rng(1)
    operands = [
        rng.uniform(-1, 1, shape).astype(problem["dtype"]) for shape in problem["shapes"]
    ]
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    print(f"numpy {np.__version__}, {blas['name']} {blas['version']}", flush=True)
    path = np.einsum_path(problem["spec"], *operands, optimize="optimal")[0]
    for _ in sys.stdin:
        start = time.perf_counter()
        np.einsum(problem["spec"], *operands, optimize=path)
        print(time.perf_counter() - start, flush=True)


main()
