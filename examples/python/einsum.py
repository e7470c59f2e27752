"""A product on arrays of Python's own (the processor) or of PyTorch's (a GPU).

    python3 einsum.py LIBRARY cpu        needs nothing but Python
    python3 einsum.py LIBRARY cuda       PyTorch's arrays on its own stream, and its own product's time
"""

import array
import sys
import time

import warploom


def on_processor(library):
    m, n, k = 30, 20, 40
    product = warploom.Program(
        "mk,kn->mn", library, sizes=f"m={m},n={n},k={k}", dtypes="f64", device="cpu"
    )
    a = array.array("d", (i * 7 % 9 - 4 for i in range(m * k)))
    b = array.array("d", (i * 5 % 7 - 3 for i in range(k * n)))
    c = array.array("d", [float("nan")] * (m * n))
    product(*(x.buffer_info()[0] for x in (a, b, c)))
    for i in range(m):
        for j in range(n):
            assert c[i * n + j] == sum(a[i * k + l] * b[l * n + j] for l in range(k))
    try:
        warploom.Program("mk,kn->mx", library)
        raise SystemExit("an einsum that is none was compiled")
    except warploom.Error as e:
        assert e.code == 1, e
    print(f"{len(c)} elements are equal")


def on_gpu(library):
    import torch

    size = 4096
    product = warploom.Program(
        "mk,kn->mn", library, sizes=f"m={size},n={size},k={size}", dtypes="bf16", device="cuda"
    )
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    c = torch.full((size, size), float("nan"), device="cuda", dtype=torch.bfloat16)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())

    def ours():
        product(a.data_ptr(), b.data_ptr(), c.data_ptr(), stream=stream.cuda_stream)

    with torch.cuda.stream(stream):
        ours()
        want = a.double() @ b.double()
        error = ((c.double() - want).abs().max() / want.abs().max()).item()
        assert error < 2**-7, error
        times = {"warploom": [], "torch": []}
        for _ in range(40):
            for name, run in (("warploom", ours), ("torch", lambda: torch.mm(a, b, out=c))):
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                begin.record(stream)
                run()
                end.record(stream)
                end.synchronize()
                times[name].append(begin.elapsed_time(end))
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(16):  # fewer than the driver's queue has places for
            ours()
        host = (time.perf_counter() - begin) / 16
    medians = {name: sorted(t)[len(t) // 2] for name, t in times.items()}
    print(f"largest error {error:.1e} of the largest element; milliseconds {medians}")
    print(f"{host * 1e6:.1f} microseconds of the host's time for a launch")


if __name__ == "__main__":
    where = warploom.load(sys.argv[1])
    (on_gpu if sys.argv[2] == "cuda" else on_processor)(where)
