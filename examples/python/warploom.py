"""Warploom from Python, by ctypes alone: any library's arrays, by their addresses.

    layer = warploom.Program("mk,kn->mn", sizes="m=4096,n=4096,k=4096", dtypes="bf16")
    layer(a.data_ptr(), b.data_ptr(), c.data_ptr(), stream=torch.cuda.current_stream().cuda_stream)
"""

import ctypes
import os

_FIELDS = ("sizes", "dtypes", "acc", "out_dtype", "schedule", "device", "cache")


class _Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t)] + [(f, ctypes.c_char_p) for f in _FIELDS]


class Array(ctypes.Structure):
    """An array that a program takes (`warploom_array`)."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_char_p),
        ("rank", ctypes.c_size_t),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("bytes", ctypes.c_size_t),
        ("written", ctypes.c_int),
    ]


class Error(Exception):
    """A call that failed: the exit code of the command, and the message."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def load(path=None):
    """Loads libwarploom_c.so, from $WARPLOOM_LIBRARY where no path is given."""
    c = ctypes.CDLL(path or os.environ.get("WARPLOOM_LIBRARY", "libwarploom_c.so"))
    c.warploom_error.restype = ctypes.c_char_p
    c.warploom_schedule.restype = ctypes.c_char_p
    c.warploom_schedule.argtypes = [ctypes.c_void_p]
    c.warploom_arrays.restype = ctypes.c_size_t
    c.warploom_arrays.argtypes = [ctypes.c_void_p]
    c.warploom_describe.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(Array)]
    c.warploom_compile.argtypes = [
        ctypes.c_char_p,
        ctypes.POINTER(_Options),
        ctypes.POINTER(ctypes.c_void_p),
    ]
    c.warploom_run.argtypes = [
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.c_size_t,
        ctypes.c_void_p,
    ]
    c.warploom_free.argtypes = [ctypes.c_void_p]
    return c


class Program:
    """A compiled spec. Calling it with an address for each of `arrays` runs it."""

    def __init__(self, spec, library=None, **options):
        self._c = library or load()
        given = {k: v.encode() for k, v in options.items() if v is not None}
        options = _Options(struct_size=ctypes.sizeof(_Options), **given)
        self._program = ctypes.c_void_p()
        self._check(
            self._c.warploom_compile(
                spec.encode(), ctypes.byref(options), ctypes.byref(self._program)
            )
        )
        self.schedule = self._c.warploom_schedule(self._program).decode()
        self.arrays = []
        for i in range(self._c.warploom_arrays(self._program)):
            array = Array()
            self._check(self._c.warploom_describe(self._program, i, ctypes.byref(array)))
            self.arrays.append(
                {
                    "name": array.name.decode(),
                    "dtype": array.dtype.decode(),
                    "shape": tuple(array.shape[: array.rank]),
                    "written": bool(array.written),
                }
            )

    def __call__(self, *addresses, stream=None):
        pointers = (ctypes.c_void_p * len(addresses))(*addresses)
        self._check(
            self._c.warploom_run(self._program, pointers, len(addresses), stream or None)
        )

    def __del__(self):
        if getattr(self, "_program", None):
            self._c.warploom_free(self._program)
            self._program = None

    def _check(self, code):
        if code:
            raise Error(code, self._c.warploom_error().decode())
