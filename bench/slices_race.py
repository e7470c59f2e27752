"""Races Ozaki scheme I against a kernel of cuTile's and PyTorch's product of f64, kernel by kernel.

    warploom ozaki "mk,kn->mn" --scheme 1 --slices 7 --slice-type bf16 > d7.nest
    warploom ozaki ... --schedule-for sm_90a --size M=4096,N=4096,K=4096 > d7.4096.sched
    WARPLOOM_LIBRARY=libwarploom_c.so python3 bench/slices_race.py 4096,8192 d7.nest [CUBINS] > race.csv

In: sizes of squares; nests, each with a schedule NEST.SIZE.sched beside it; and a folder with an index of
cuTile's kernels (`oz` with slices, domain and tile). Out: a line for each size, nest and contestant: median
and percentiles 10 and 90 of the time of its largest kernel in microseconds, the median of all its kernels
together, both as TFLOP/s of 2n³ operations, and the relative error in the Frobenius norm of some rows
against sums in extended precision. Contestants take turns in rounds; times are the GPU's own, by the profiler.
Data is normally distributed, new for each size; results are written over NaN first.
"""

import datetime
import json
import os
import sys

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from ozaki_race import commit, warploom

ROUNDS = 11
ROWS = 8
SLICES, BITS = 7, 45


def ours(path, n, given):
    """A run of the nest with its schedule."""
    with open(f"{path.removesuffix('.nest')}.{n}.sched", encoding="utf-8") as file:
        schedule = file.read()
    program = warploom.Program(path, sizes=f"M={n},N={n},K={n}", schedule=schedule)
    arrays = [given[array["name"]].data_ptr() for array in program.arrays]
    stream = torch.cuda.current_stream().cuda_stream
    return lambda: program(*arrays, stream=stream)


def slices(x):
    """Slices as the article makes them, each with one scale: by repeated rounding of what is left."""
    out, scales = [], []
    rest = x.clone()
    for _ in range(SLICES):
        scale = torch.ceil(torch.log2(rest.abs().max())).item()
        sigma = 0.75 * 2.0 ** (BITS + scale)
        high = (rest + sigma) - sigma
        rest -= high
        out.append((high * 2.0**-scale).to(torch.bfloat16))
        scales.append(2.0**scale)
    return torch.stack(out), torch.tensor(scales, device=x.device, dtype=torch.float64)


def theirs(folder, n, given):
    """Runs of the kernels of cuTile's, by domain and tile."""
    import cupy

    with open(os.path.join(folder, "index.json"), encoding="utf-8") as file:
        index = json.load(file)
    (a, of_a), (b, of_b) = slices(given["A"]), slices(given["B"])
    scales = (of_a[:, None] * of_b[None, :]).contiguous()
    arguments = []
    for tensor in (a, b, scales, given["C"]):
        arguments.append(np.uint64(tensor.data_ptr()))
        arguments += [np.int32(s) for s in (*tensor.shape, *tensor.stride())]
    runs = {}
    for entry in (e for e in index if e["kind"] == "oz"):
        module = cupy.RawModule(path=os.path.join(folder, f"{entry['name']}.cubin"))
        kernel, grid = module.get_function("k"), -(-n // entry["tm"]) * -(-n // entry["tn"])

        def run(kernel=kernel, grid=grid, kept=(a, b, scales)):
            with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
                kernel((grid,), (1,), tuple(arguments))

        runs[f"cutile {entry['name']}"] = run
    return runs


def kernels(run):
    """Microseconds of each kernel of a run."""
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        run()
        torch.cuda.synchronize()
    return [e.device_time for e in seen.events() if e.device_time > 0 and "Mem" not in e.name]


def error(given):
    """The relative error of some rows."""
    rows = torch.randperm(given["A"].shape[0])[:ROWS].to(given["A"].device)
    left = given["A"][rows].cpu().numpy().astype(np.longdouble)
    # an extended product of all columns takes long: as many of them as rows, eight times
    columns = torch.randperm(given["B"].shape[1])[: 8 * ROWS].to(rows.device)
    right = given["B"][:, columns].cpu().numpy().astype(np.longdouble)
    exact = left @ right
    off = given["C"][rows][:, columns].cpu().numpy() - exact
    return float(np.sqrt((off**2).sum() / (exact**2).sum()))


def main():
    sizes = [int(n) for n in sys.argv[1].split(",")]
    nests = [word for word in sys.argv[2:] if word.endswith(".nest")]
    folders = [word for word in sys.argv[2:] if not word.endswith(".nest")]
    gpu = torch.cuda.get_device_name()
    end = f"torch {torch.__version__},{gpu},{commit()},{datetime.date.today()}"
    print(
        "n,contestant,rounds,kernel_us,kernel_p10,kernel_p90,all_us,kernel_tflop_s,all_tflop_s,error,"
        "peer,gpu,commit,date"
    )
    for n in sizes:
        new = [torch.randn(n, n, dtype=torch.float64, device="cuda") for _ in range(2)]
        given = {"A": new[0], "B": new[1], "C": torch.full_like(new[0], torch.nan)}
        runs = {os.path.basename(nest): ours(nest, n, given) for nest in nests}
        for folder in folders:
            runs |= theirs(folder, n, given)
        runs["f64"] = lambda: torch.matmul(given["A"], given["B"], out=given["C"])
        errors, times = {}, {name: [] for name in runs}
        for name, run in runs.items():
            given["C"].fill_(torch.nan)
            run()
            torch.cuda.synchronize()
            errors[name] = error(given)
        for _ in range(ROUNDS):
            for name, run in runs.items():
                times[name].append(kernels(run))
        for name, taken in times.items():
            largest = [max(one) for one in taken]
            middle, low, high = (np.percentile(largest, p) for p in (50, 10, 90))
            total = np.median([sum(one) for one in taken])
            rates = ",".join(f"{2e-6 * n**3 / us:.2f}" for us in (middle, total))
            print(
                f"{n},{name},{ROUNDS},{middle:.1f},{low:.1f},{high:.1f},{total:.1f},{rates},"
                f"{errors[name]:.2e},{end}",
                flush=True,
            )
        del given, runs, new
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
