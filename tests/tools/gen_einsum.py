#!/usr/bin/env python3
"""Writes tests/data/einsum/suite.jsonl: einsum expressions with the results NumPy gives.

In: nothing but NumPy; the seed is fixed, so every run writes the same file.
Out: one JSON object a line. Accepted: {"s": text, "t": type, "d": shapes, "o": shape, "v": values}.
Rejected by NumPy: {"s": text, "d": shapes, "reject": its words}.
Element i (row-major) of operand p is ((7 i + 3 p) mod 11) - 5, as the type; `bool` means > 0,
unsigned types wrap. Results are small integers, so that floats are exact as well.

Left out on purpose: a label repeated in one operand with the sizes 0 and n, where NumPy 2 reads
memory outside the array.
"""

import json
import pathlib
import random
import string

import numpy as np

ACCEPTED = 2400
REJECTED = 320
MAX_WORK = 20_000
MAX_OUTPUT = 64
TYPES = {"i64": np.int64, "f64": np.float64, "i32": np.int32, "i8": np.int8, "u8": np.uint8,
         "f32": np.float32, "bool": np.bool_}
KINDS = ["i64"] * 6 + ["f64"] * 4 + ["i32", "i8", "u8", "f32", "bool"]


def operand(p, shape, kind):
    """The operand that both sides compute."""
    count = int(np.prod(shape, dtype=np.int64))
    values = (np.arange(count, dtype=np.int64) * 7 + p * 3) % 11 - 5
    values = values > 0 if kind == "bool" else values.astype(TYPES[kind])
    return values.reshape(shape)


def spaced(rng, text):
    """Puts spaces where NumPy allows them: not inside `...` or `->`."""
    pieces, at = [], 0
    while at < len(text):
        step = 3 if text.startswith("...", at) else 2 if text.startswith("->", at) else 1
        pieces.append(text[at:at + step])
        at += step
    return "".join(" " * rng.choice([0, 0, 0, 1, 2]) + piece for piece in pieces)


def term(rng, labels, ellipsis):
    """One operand: its labels (with repetitions), and where its ellipsis stands, if any."""
    rank = rng.choices(range(7), [6, 20, 30, 22, 12, 6, 4])[0]
    width = rng.randint(0, min(rank, ellipsis)) if ellipsis and rng.random() < 0.7 else None
    names = [rng.choice(labels) for _ in range(rank - (width or 0))]
    if rng.random() < 0.75:
        names = list(dict.fromkeys(names))
    return names, width, rng.randint(0, len(names))


def candidate(rng):
    """A spec with shapes; NumPy decides whether it is valid."""
    pool = string.ascii_letters if rng.random() < 0.2 else "ijkl" + rng.choice("abzAZM")
    labels = rng.sample(pool, rng.randint(1, 5))
    top = 2 if rng.random() < 0.1 else 3
    sizes = {c: rng.choice([0, 1, 2, 2, 3, 3][0 if rng.random() < 0.15 else 1:]) for c in labels}
    sizes = {c: min(size, top) for c, size in sizes.items()}
    ellipsis = rng.choice([0, 0, 0, 1, 2, 3])
    dims = [rng.choice([1, 2, 3, 2, 0 if rng.random() < 0.2 else 2]) for _ in range(ellipsis)]
    terms, shapes, used = [], [], []
    for _ in range(rng.choices([1, 2, 3, 4], [25, 40, 22, 13])[0]):
        names, width, at = term(rng, labels, ellipsis)
        mine = {c: 1 if rng.random() < 0.08 else sizes[c] for c in names}
        shape = [mine[c] for c in names]
        text = "".join(names)
        if width is not None:
            covered = [1 if rng.random() < 0.15 else d for d in dims[ellipsis - width:]]
            shape[at:at] = covered
            text = text[:at] + "..." + text[at:]
        terms.append(text)
        shapes.append(shape)
        used += names
    spec = ",".join(terms)
    if rng.random() < 0.7:
        out = [c for c in dict.fromkeys(used) if rng.random() < 0.5]
        rng.shuffle(out)
        if "..." in spec or rng.random() < 0.05:
            out.insert(rng.randint(0, len(out)), "...")
        spec += "->" + "".join(out)
    return (spaced(rng, spec) if rng.random() < 0.25 else spec), shapes


def work(spec, shapes):
    """Points of the iteration space, at most; and whether a diagonal mixes 0 and n."""
    points, broken = 1, False
    sizes = {}
    for text, shape in zip(spec.replace(" ", "").split("->")[0].split(","), shapes):
        head, _, tail = text.partition("...")
        names = list(head) + ["."] * (len(shape) - len(head) - len(tail)) + list(tail)
        own = {}
        for c, size in zip(names, shape):
            if c == ".":
                points *= max(size, 1)
                continue
            broken |= own.setdefault(c, size) != size
            sizes[c] = max(sizes.get(c, 1), size)
    return points * int(np.prod(list(sizes.values()) or [1])), broken


def evaluate(spec, shapes, kind):
    """NumPy's result, or the words it rejects the expression with."""
    try:
        return np.asarray(np.einsum(spec, *(operand(p, s, kind) for p, s in enumerate(shapes)))), ""
    except (ValueError, TypeError) as error:
        return None, str(error)


def accepted(rng):
    """Cases with results, no two alike."""
    seen, cases = set(), []
    while len(cases) < ACCEPTED:
        spec, shapes = candidate(rng)
        points, broken = work(spec, shapes)
        key = json.dumps([spec, shapes])
        if broken or points > MAX_WORK or key in seen:
            continue
        kind = rng.choice(KINDS)
        result, _ = evaluate(spec, shapes, kind)
        if result is None or result.size > MAX_OUTPUT:
            continue
        assert result.dtype == TYPES[kind], (spec, kind)
        seen.add(key)
        values = [int(v) for v in result.reshape(-1)]
        assert all(abs(v) < 2**24 for v in values), (spec, values)
        cases.append({"s": spec, "t": kind, "d": shapes, "o": list(result.shape), "v": values})
    return cases


def mutate(rng, spec, shapes):
    """Breaks a valid expression somewhere; it may stay valid."""
    shapes = [list(s) for s in shapes]
    at = rng.randint(0, len(spec))
    way = rng.randrange(9)
    if way == 0:
        spec = spec[:at] + rng.choice("019_*+;:!?()[]>.-,é\t\n") + spec[at:]
    elif way == 1:
        spec = spec.replace("...", rng.choice(["..", ".", "....", ". ..", "......"]), 1)
    elif way == 2:
        spec = spec.replace("->", rng.choice(["-", ">", "- >", "=>", "->->", "-->"]), 1)
    elif way == 3:
        spec += ("" if "->" in spec else "->") + rng.choice("QijkW,1.")
    elif way == 4:
        shapes.append([2]) if rng.random() < 0.5 or len(shapes) == 1 else shapes.pop()
    elif way == 5 and shapes:
        rng.choice(shapes).append(rng.choice([1, 2, 3]))
    elif way == 6 and shapes[-1]:
        shapes[-1].pop()
    elif way == 7 and (full := [s for s in shapes if s]):
        rng.choice(full)[0] += rng.choice([1, 2, 4])
    elif way == 8:
        spec = spec[:at] + rng.choice(["...", "i", "ii", ","]) + spec[at:]
    return spec, shapes


def rejected(rng, cases):
    """Cases NumPy rejects, each with its words; at most 24 cases share their first words."""
    seen, found, per_words = set(), [], {}
    while len(found) < REJECTED:
        case = rng.choice(cases)
        spec, shapes = mutate(rng, case["s"], case["d"])
        key = json.dumps([spec, shapes])
        if key in seen:
            continue
        seen.add(key)
        result, words = evaluate(spec, shapes, "i64")
        group = words[:48]
        if result is None and per_words.get(group, 0) < 24:
            per_words[group] = per_words.get(group, 0) + 1
            found.append({"s": spec, "d": shapes, "reject": words[:90].strip()})
    return found


def main():
    """Writes the suite beside this script's folder."""
    rng = random.Random(20260101)
    cases = accepted(rng)
    lines = cases + rejected(rng, cases)
    path = pathlib.Path(__file__).resolve().parent.parent / "data" / "einsum" / "suite.jsonl"
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    print(f"{len(cases)} accepted, {len(lines) - len(cases)} rejected, {len(text)} bytes")


if __name__ == "__main__":
    main()
