"""NumPy as a contestant: sets a problem up once, then does what each line of standard input asks.

First line: JSON {"spec": einsum, "operands": [files .npy]}; the answer is the version of NumPy and
of its BLAS. `go` runs the einsum once and answers its seconds. `check FILE` answers the largest
error of the tensor in FILE and of NumPy's own result, each relative to the same einsum of the
absolute values in binary64. `save FILE` writes NumPy's own result and answers `saved`.
"""

import json
import sys
import time

import numpy as np


def main() -> None:
    problem = json.loads(sys.stdin.readline())
    spec = problem["spec"]
    operands = [np.load(path) for path in problem["operands"]]
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    print(f"numpy {np.__version__} with {blas['name']} {blas['version']}", flush=True)
    path = np.einsum_path(spec, *operands, optimize="optimal")[0]
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "go":
            start = time.perf_counter()
            np.einsum(spec, *operands, optimize=path)
            print(time.perf_counter() - start, flush=True)
        elif command == "save":
            np.save(argument, np.ascontiguousarray(np.einsum(spec, *operands, optimize=path)))
            print("saved", flush=True)
        else:
            wide = [x.astype(np.float64) for x in operands]
            exact = np.einsum(spec, *wide, optimize=path)
            scale = np.einsum(spec, *[np.abs(x) for x in wide], optimize=path)
            own = np.einsum(spec, *operands, optimize=path)
            errors = [np.max(np.abs(x - exact) / scale) for x in (np.load(argument), own)]
            print(json.dumps([float(e) for e in errors]), flush=True)


main()
