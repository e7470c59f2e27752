"""Writes operands for numpy_files.rs and judges the result: `numpy_files.py make|judge FOLDER DTYPE M N K`.

bfloat16, which NumPy does not have, is made by cutting binary32 and goes through safetensors.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np


def write_safetensors(path, bits):
    data = bits.tobytes()
    entry = {"dtype": "BF16", "shape": list(bits.shape), "data_offsets": [0, len(data)]}
    header = json.dumps({"x": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def read_safetensors(path):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    (entry,) = (v for k, v in json.loads(raw[8 : 8 + length]).items() if k != "__metadata__")
    assert entry["dtype"] == "BF16"
    bits = np.frombuffer(raw[8 + length :], dtype=np.uint16).reshape(entry["shape"])
    return (bits.astype(np.uint32) << 16).view(np.float32)


def make(folder, dtype, shapes):
    rng = np.random.default_rng(5)
    for name, shape in zip("ab", shapes):
        values = rng.uniform(-1, 1, shape)
        if dtype == "bf16":
            bits = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
            write_safetensors(folder / f"{name}.safetensors", bits)
        else:
            np.save(folder / f"{name}.npy", values.astype(dtype))


def judge(folder, dtype, k):
    if dtype == "bf16":
        a, b, c = (read_safetensors(folder / f"{n}.safetensors") for n in "abc")
    else:
        a, b, c = (np.load(folder / f"{n}.npy") for n in "abc")
        assert c.dtype == np.dtype(dtype), c.dtype
    a, b, c = (x.astype(np.float64) for x in (a, b, c))
    exact, scale = np.einsum("mk,kn->mn", a, b), np.einsum("mk,kn->mn", abs(a), abs(b))
    # sums in binary32 or wider, one rounding to the result's type
    sums = 2.0**-53 if dtype == "float64" else 2.0**-24
    last = {"float64": 0, "float32": 0, "float16": 2.0**-11, "bf16": 2.0**-8}[dtype]
    bound = (k + 2) * sums * scale + last * abs(exact) * (1 + 2.0**-7)
    worst = np.max(np.abs(c - exact) / bound)
    assert worst <= 1, f"{worst} times the bound"
    print(f"largest error: {worst:.3f} of the bound")


command, folder, dtype, m, n, k = sys.argv[1:]
m, n, k = int(m), int(n), int(k)
if command == "make":
    make(Path(folder), dtype, [(m, k), (k, n)])
else:
    judge(Path(folder), dtype, k)
