"""Races emulated products of f64 or f32 against PyTorch's, on one GPU, in alternating pairs.

    warploom ozaki "mk,kn->mn" --moduli 14 > d.nest
    WARPLOOM_LIBRARY=libwarploom_c.so python3 bench/ozaki_race.py 4096,8192 d.nest > race.csv

In: sizes of squares, and nests that compute C from A and B. Out: a line for each size and nest: median and
percentiles 10 and 90 of the times of both in microseconds, the median of the pairs' ratios, and the
largest error of both in a sample of elements, relative to the sum of absolute products, against sums in
extended precision. Contestants take turns in rounds; a turn is one run between two events, after as many
without. Data is random, new for each size; results are written over NaN first.
"""

import datetime
import os
import subprocess
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "examples", "python"))
import warploom  # noqa: E402

ROUNDS = 21
ROWS, COLUMNS = 4, 64
TYPES = {"f64": torch.float64, "f32": torch.float32}


def timed(run):
    """Microseconds of one run, after one without a clock."""
    run()
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    run()
    last.record()
    last.synchronize()
    return 1e3 * first.elapsed_time(last)


def error(a, b, c):
    """The largest error in a sample, relative to the sum of absolute products."""
    rows = torch.randperm(a.shape[0])[:ROWS].to(a.device)
    columns = torch.randperm(b.shape[1])[:COLUMNS].to(a.device)
    left = a[rows].cpu().numpy().astype(np.longdouble)
    right = b[:, columns].cpu().numpy().astype(np.longdouble)
    found = c[rows][:, columns].cpu().numpy().astype(np.longdouble)
    off = np.abs(found - left @ right)
    return float((off / (np.abs(left) @ np.abs(right))).max())


def spread(times):
    """Median and percentiles 10 and 90."""
    return ",".join(f"{np.percentile(times, p):.1f}" for p in (50, 10, 90))


def commit():
    """What is run: the commit of a bundle, or of the repository."""
    if os.path.exists("commit"):
        with open("commit", encoding="utf-8") as file:
            return file.read().strip()
    return subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True
    ).stdout.strip()


def main():
    sizes, nests = [int(n) for n in sys.argv[1].split(",")], sys.argv[2:]
    gpu = torch.cuda.get_device_name()
    end = f"torch {torch.__version__},{gpu},{commit()},{datetime.date.today()}"
    print(
        "n,nest,pairs,ours_us,ours_p10,ours_p90,native_us,native_p10,native_p90,native_over_ours,"
        "tflop_s,ours_error,native_error,peer,gpu,commit,date"
    )
    for n in sizes:
        stream = torch.cuda.current_stream().cuda_stream
        for nest in nests:
            program = warploom.Program(nest, sizes=f"M={n},N={n},K={n}")
            dtype = TYPES[program.arrays[0]["dtype"]]
            a, b = (torch.rand(n, n, dtype=dtype, device="cuda") - 0.5 for _ in range(2))
            c, native = (torch.full_like(a, torch.nan) for _ in range(2))
            given = {"A": a, "B": b, "C": c}
            arrays = [given[array["name"]].data_ptr() for array in program.arrays]
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(timed(lambda: program(*arrays, stream=stream)))
                theirs.append(timed(lambda: torch.matmul(a, b, out=native)))
            ratio = np.median(np.array(theirs) / np.array(ours))
            rate = 2e-6 * n**3 / np.median(ours)
            errors = f"{error(a, b, c):.2e},{error(a, b, native):.2e}"
            times = f"{spread(ours)},{spread(theirs)},{ratio:.3f},{rate:.1f}"
            print(f"{n},{os.path.basename(nest)},{ROUNDS},{times},{errors},{end}", flush=True)


if __name__ == "__main__":
    main()
