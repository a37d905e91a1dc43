"""What was measured, as Markdown."""

from collections.abc import Callable, Iterable

from benchmarks import bars

NOT_MEASURED = "Not measured."

TEXT = """# Benchmarks

`make bench` takes these numbers and writes this page: on {machine}, torch {torch}, {threads} threads. Data: {data}.
Measured: {dates}. Wall times mean something only when nothing else runs on the machine.

Those who are compared take turns, and a ratio is the median of the rounds' ratios, with its quartiles. *Ours* is
`Batches` and `training.train_one_epoch` as `experiment` calls it: channels-last, pooling before the activation, a fused
optimizer, freed memory kept.

## The bars

They were set before the measurement. {met}

{verdicts}

## Against the libraries that do the same

Ratios ours / theirs: below 1 ours is faster. Each library trains in a process of its own in the form that is quickest
for it. JAX: one compiled function of a step, or a `lax.scan` over an epoch, with resident data, `vmap` over the runs of
a sweep. (A `scan` over convolutions is several times slower than single steps, so it is left out.) Keras on JAX:
`fit` on arrays, for the MLP with 16 steps per execution. Lightning, fastai, skorch: their own loops, without logging,
fed our resident batches. The network, its first weights, the batch size and the update rule are the same, which
`tests/test_benchmarks.py` checks; the libraries count no accuracy, we do. cnn4 is trained by plain SGD here.{left_out}

With one thread on one core, by the CPU time of the process:

{one_thread}

CPU seconds for preparing, compiling and the first step, which the other tables leave out:

{starts}

Wall time with as many threads as each takes by itself (ours: as many as it finds quickest), nothing else running:

{quiet}

The same beside one busy neighbour, a loop in plain Python. OMP_WAIT_POLICY is PASSIVE for all, as `import coursekit`
sets it.

{beside}

What that costs both sides: our wall time beside the neighbour against one thread on the quiet machine, and how fast the
neighbour's loop is, in million rounds a second.

{neighbour}

## Against the courses' loop

*The courses' way*: torchvision Dataset → PIL → transforms → DataLoader → `loss.item()` every step, the optimizer as its
constructor makes it. *At best* is ours in bfloat16 under autocast, by which small networks lose{gains}. All threads,
wall time.

{loops}

Peak of this machine, square matrices: {fp32:.0f} GFLOP/s in float32, {bf16:.0f} in bfloat16. A step counts six
operations for each multiply-add of the network and image. cnn4 validated: every tenth step, the courses on 5,000
images, we on the first 1,000.

## Eight learning rates at once

Eight runs one after another in float32 with all threads, against the same eight stacked (`coursekit.stacked`): all
in one process, or four in each of two processes with one thread.

{sweeps}

After every epoch each of them is evaluated on the validation images, here 5,000: one network after the other, or the
stack as one. All threads, float32.

{evaluations}

## Costs

{costs}

## As the work grows

{scaling}
"""


def whole(found: dict) -> str:
    """docs/benchmarks.md."""
    machine, peers = found["machine"], found.get("peers") or {}
    verdicts = bars.verdicts(found)
    tables = {name: make(found.get(name, [])) for name, make in TABLES.items()}
    tables |= {name: matrix(peers.get(name, []), compared) for name in ("one_thread", "quiet", "beside")}
    return TEXT.format(
        machine=machine["cpu"],
        dates=", ".join(f"{part} {date}" for part, date in found["dates"].items()),
        met=f"{sum(v.met for v in verdicts)} of {len(verdicts)} are met.",
        verdicts=table(["what", "measured", "bar", ""], [[*v[:3], mark(v.met)] for v in verdicts]),
        left_out="".join(f" Left out: {name} ({why})." for name, why in peers.get("left_out", {}).items()),
        starts=matrix(peers.get("one_thread", []), lambda row: f"{row['start']:.1f}"),
        neighbour=neighbour(peers.get("neighbour", [])),
        gains="" if machine["bfloat16"] else " (this one does not)",
        fp32=machine["peaks"]["float32"],
        bf16=machine["peaks"]["bfloat16"],
        **tables,
        **{name: machine[name] for name in ("torch", "threads", "data")},
    )


def matrix(rows: list[dict], cell: Callable[[dict], str]) -> str:
    """A line for each contestant, a column for each workload."""
    columns = list(dict.fromkeys(f"{row['network']}, {row['batch']}" for row in rows))
    names = list(dict.fromkeys(row["contestant"] for row in rows))
    cells = {(row["contestant"], f"{row['network']}, {row['batch']}"): cell(row) for row in rows}
    return table(["", *columns], [[name, *(cells.get((name, column), "–") for column in columns)] for name in names])


def compared(row: dict) -> str:
    """µs an image, and the ratio where it is not ours to ours."""
    text = f"{row['us']:.1f} µs"
    return text if row["contestant"] == "ours" else f"{text}; {bars.words(row['ratio'])}"


def neighbour(rows: list[dict]) -> str:
    """Both sides."""
    keys = ("alone", "one_thread", "ours")
    lines = [[r["network"], bars.words(r["slower"]), *(f"{r[key]:.1f}" for key in keys)] for r in rows]
    head = [
        "network",
        "ours, times as slow",
        "the neighbour alone",
        "beside one thread",
        "beside our choice of threads",
    ]
    return table(head, lines)


def loops(rows: list[dict]) -> str:
    """The courses' loop and ours."""
    lines = [
        [
            f"{r['network']}, {r['batch']}",
            "at best" if r["precision"] == "bfloat16" else "float32",
            *(f"{r[key]:.2f}" for key in ("courses_ms", "courses_2_ms", "ours_ms")),
            *(spread(r[f"ratio_{workers}"]) for workers in "02"),
            f"{r['gflops']:.0f} ({r['of_peak']:.0%})",
        ]
        for r in rows
    ]
    head = ["network, batch", "ours in", "courses, 0 workers: ms/step", "2 workers", "ours"]
    return table([*head, "ratio to 0 workers", "to 2 workers", "GFLOP/s (of peak)"], lines)


def sweeps(rows: list[dict]) -> str:
    """In turn and stacked."""
    lines = [
        [
            f"{r['network']}, {r['batch']}",
            r["how"],
            f"{r['alone_ms']:.1f}",
            f"{r['stacked_ms']:.1f}",
            spread(r["ratio"]),
        ]
        for r in rows
    ]
    return table(["network, batch", "stacked in", "ms/step of all, in turn", "stacked", "ratio"], lines)


def evaluations(rows: list[dict]) -> str:
    """In turn and as one."""
    lines = [[r["network"], f"{r['alone_ms']:.0f}", f"{r['stacked_ms']:.0f}", spread(r["ratio"])] for r in rows]
    return table(["eight of", "ms in turn", "as one", "ratio"], lines)


TABLES: dict[str, Callable[[list[dict]], str]] = {
    "loops": loops,
    "sweeps": sweeps,
    "evaluations": evaluations,
    "costs": lambda rows: table(["what", "measured"], [[r["what"], f"{r['value']:.3g}"] for r in rows]),
    "scaling": lambda rows: table(["", "images/s"], [[r["what"], f"{r['images_per_second']:,.0f}"] for r in rows]),
}


def spread(ratio: dict[str, float]) -> str:
    """How many times as fast, with quartiles."""
    return f"{ratio['median']:.1f} ({ratio['low']:.1f}-{ratio['high']:.1f})"


def mark(met: bool) -> str:
    """Pass or fail."""
    return "✓ met" if met else "✗ missed"


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table; of nothing, a word that it was not measured."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) if len(lines) > 2 else NOT_MEASURED
