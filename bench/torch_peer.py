"""PyTorch as a contestant on the GPU: does what each line of standard input asks.

`torch_peer.py eager` runs PyTorch's own kernels, `torch_peer.py compiled` what torch.compile makes.

`version` answers PyTorch's. `copy BYTES` copies that many bytes on the
device and answers a JSON list of seconds. A line of JSON, {"operation", "operands": [{"dtype",
"shape", "file"}], "sets"}, puts the operands on the device in that many sets of arrays, which take
turns, so that no launch meets the arrays of the one before in the cache; the answer is `ready`.
`turn W` makes W launches without a clock and one between two events, and answers its seconds: the
device is kept busy until all are queued, so that the host's time is not part of it. `check FILE`
answers [[error, bound], [error, bound]] of the result in FILE and of PyTorch's own: of the element
that comes closest to its bound, or passes it most. An answer `error: …` says why there is none.

Bounds: u is the unit roundoff of binary32, in which all compute but products of binary64, v that of
the result's type. A
result y is allowed v |y| for its last rounding and u times what its operation says (below): any
order of a sum of n terms is within n u of the sum of the absolute terms, and a function of the
device's library is allowed 8 u.
"""

import json
import sys

import numpy as np
import torch
import torch.nn.functional as F

DTYPES = {
    "f32": torch.float32,
    "bf16": torch.bfloat16,
    "f16": torch.float16,
    "f64": torch.float64,
    "tf32": torch.float32,  # multiplied as such
}
NAMES = {v: k for k, v in DTYPES.items() if k != "tf32"}
COPIES = 15
# about a millisecond of the device's clock, for the host to queue all launches of a turn
AHEAD = 2_000_000
EPSILON = 1e-5
V = {
    torch.float64: 2.0**-53,
    torch.float32: 2.0**-24,
    torch.bfloat16: 2.0**-8,
    torch.float16: 2.0**-11,
}


def permute(order):
    """Permuted in memory."""
    return (lambda x: x.permute(order).contiguous()), None


def softmax_slack(y, x):
    return (x.shape[-1] + 24) * y


def layer_norm_slack(y, x, g, b):
    """The mean is wrong by n u of the mean size; the scale by a relative (n + 16) u."""
    n = x.shape[-1]
    scale = torch.rsqrt(x.var(-1, unbiased=False, keepdim=True) + EPSILON)
    mean_error = n * x.abs().mean(-1, keepdim=True) * scale * g.abs()
    return 2 * mean_error + (n + 16) * ((y - b).abs()) + 4 * b.abs()


# name: what runs, and how many u of error its result may have beside the last rounding; `None`
# where nothing may round
OPERATIONS = {
    "copy": (lambda x: x.clone(), None),
    "axpy": (
        lambda x, y: torch.add(y, x, alpha=2.5),
        lambda z, x, y: 4 * (2.5 * x.abs() + y.abs()),
    ),
    "gelu": (lambda x: F.gelu(x), lambda y, x: 16 * x.abs()),
    "bias-relu": (lambda x, b: torch.relu(x + b), lambda y, x, b: 2 * (x.abs() + b.abs())),
    "softmax": (lambda x: torch.softmax(x, -1), softmax_slack),
    "layer-norm": (
        lambda x, g, b: F.layer_norm(x, (x.shape[-1],), g, b, EPSILON),
        layer_norm_slack,
    ),
    "rms-norm": (
        lambda x, g: F.rms_norm(x, (x.shape[-1],), g, EPSILON),
        lambda y, x, g: (x.shape[-1] + 16) * y.abs(),
    ),
}


def einsum(spec):
    """A contraction with as many roundings as its sums have terms; sums in the result's memory."""
    operands, result = spec.split("->")
    terms = set(operands.replace(",", "")) - set(result)

    def slack(y, *x):
        sizes = {label: n for t, o in zip(operands.split(","), x) for label, n in zip(t, o.shape)}
        n = np.prod([sizes[label] for label in terms])
        return (n + 2) * torch.einsum(spec, *(o.abs() for o in x))

    return (lambda *x: torch.einsum(spec, *x).contiguous()), slack


def load(file, dtype, shape):
    """A tensor of raw bytes, on the device."""
    raw = torch.from_numpy(np.fromfile(file, dtype=np.uint8))
    return raw.cuda().view(DTYPES[dtype]).reshape(shape)


class Problem:
    """An operation and its operands."""

    def __init__(self, wanted, compiled):
        words = wanted["operation"].split()
        if words[0] == "permute":
            self.run, self.slack = permute([int(word) for word in words[1:]])
        elif words[0] == "einsum":
            self.run, self.slack = einsum(words[1])
        else:
            self.run, self.slack = OPERATIONS[wanted["operation"]]
        self.exact = self.run
        if compiled:
            torch._dynamo.reset()
            self.run = torch.compile(self.run, dynamic=False)
        operands = wanted["operands"]
        wide = [o["dtype"] == "tf32" for o in operands]
        torch.backends.cuda.matmul.allow_tf32 = any(wide)
        first = [load(o["file"], o["dtype"], o["shape"]) for o in operands]
        self.sets = [first] + [[x.clone() for x in first] for _ in range(wanted["sets"] - 1)]
        self.results = [self.run(*operands) for operands in self.sets]
        torch.cuda.synchronize()

    def launch(self, k):
        k %= len(self.sets)
        self.results[k] = None  # its memory is the next result's
        self.results[k] = self.run(*self.sets[k])

    def turn(self, warm):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(AHEAD)
        for k in range(warm):
            self.launch(k)
        start.record()
        self.launch(warm)
        end.record()
        end.synchronize()
        return start.elapsed_time(end) * 1e-3

    def judge(self, result, exact, slack):
        if slack is None:
            allowed = torch.zeros_like(exact)
        else:
            # below the least normal number errors are absolute
            tiny = torch.finfo(torch.float32).tiny
            tiny = max(tiny, torch.finfo(result.dtype).tiny * V[result.dtype])
            # the exact result of binary64 is as wrong as any
            unit = 2 * V[torch.float64] if result.dtype == torch.float64 else V[torch.float32]
            allowed = V[result.dtype] * exact.abs() + unit * slack + tiny
        error = (result.double() - exact).abs()
        part = torch.where(error == 0, torch.zeros_like(error), error / allowed)
        worst = int(torch.where(part.isnan(), torch.full_like(part, torch.inf), part).argmax())
        return [float(error.flatten()[worst]), float(allowed.flatten()[worst])]

    def check(self, file):
        own = self.run(*self.sets[0])
        wide = [x.double() for x in self.sets[0]]
        exact = self.exact(*wide)
        slack = self.slack(exact, *wide) if self.slack else None
        del wide
        ours = load(file, NAMES[own.dtype], own.shape)
        return [self.judge(x, exact, slack) for x in (ours, own)]


def copy_seconds(bytes_):
    source = torch.rand(bytes_ // 4, device="cuda")
    target = torch.empty_like(source)
    events = []
    for _ in range(COPIES):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        target.copy_(source)
        end.record()
        events.append((start, end))
    torch.cuda.synchronize()
    return [start.elapsed_time(end) * 1e-3 for start, end in events[2:]]


def number(x):
    """JSON has no infinities and no NaN."""
    return x if np.isfinite(x) else 1e308


def main() -> None:
    mode = sys.argv[1]
    problem = None
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        try:
            if command == "version":
                answer = f"torch {torch.__version__} {mode}"
            elif command == "copy":
                answer = json.dumps(copy_seconds(int(argument)))
            elif command == "turn":
                answer = repr(problem.turn(int(argument)))
            elif command == "check":
                judged = problem.check(argument)
                answer = json.dumps([[number(x) for x in pair] for pair in judged])
            else:
                problem = None  # its memory is free before the next takes any
                torch.cuda.empty_cache()
                problem = Problem(json.loads(line), mode == "compiled")
                answer = "ready"
        except Exception as e:  # noqa: BLE001 - every failure is an answer
            answer = f"error: {type(e).__name__}: {e}".replace("\n", " ")
        print(answer, flush=True)


main()
