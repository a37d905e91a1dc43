"""What was measured, as Markdown: the page of all tables, and an extract for the README."""

MARK = "<!-- benchmarks: written by `make bench` -->"
SHOWN = ("MLP", "SimpleNN, BN, crop + flip", "SimpleCNN", "cnn4, validated", "ResNet-20, crop + flip")

TEXT = """# Benchmarks

`make bench` takes these numbers and writes this page: on {machine}, torch {torch}, {threads} threads. Data: {data}.
They mean something only when nothing else runs on the machine. {date}.

Two ways to train take turns in one process, {rounds} rounds after a warm-up; a ratio is the median of the rounds'
ratios, with its quartiles. *The courses' way*: torchvision Dataset → PIL → transforms → DataLoader → `loss.item()`
every step, the optimizer as its constructor makes it. *Ours*: `Batches` and `training.train_one_epoch` as `experiment`
calls it: channels-last, pooling before the activation, a fused optimizer, freed memory kept; *at best* the same in
bfloat16 under autocast, by which small networks lose{gains}.

## Against the courses' loop

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
    m = found["machine"]
    loops = [
        [
            f"{r['network']}, {r['batch']}",
            "at best" if r["precision"] == "bfloat16" else "float32",
            *(f"{r[key]:.2f}" for key in ("courses_ms", "courses_2_ms", "ours_ms")),
            *(cell(r[f"ratio_{w}"], bar) for w, bar in zip("02", r["bars"], strict=True)),
            f"{r['gflops']:.0f} ({r['of_peak']:.0%})",
        ]
        for r in found["loops"]
    ]
    sweep = [
        [f"{r['network']}, {r['batch']}", r["how"], *(f"{r[key]:.1f}" for key in ("alone_ms", "stacked_ms"))]
        for r in found["sweeps"]
    ]
    for line, r in zip(sweep, found["sweeps"], strict=True):
        line.append(cell(r["ratio"], r["bar"]))
    evaluations = [
        [r["network"], *(f"{r[key]:.0f}" for key in ("alone_ms", "stacked_ms")), cell(r["ratio"], None)]
        for r in found["evaluations"]
    ]
    costs = [[r["what"], f"{r['value']:.3g}", f"≤ {r['bar']:g} {mark(r['value'] <= r['bar'])}"] for r in found["costs"]]
    scaling = [[r["what"], f"{r['images_per_second']:,.0f}"] for r in found["scaling"]]
    loop_head = ["network, batch", "ours in", "courses, 0 workers: ms/step", "2 workers", "ours"]
    loop_head += ["ratio to 0 workers", "to 2 workers", "GFLOP/s (of peak)"]
    return TEXT.format(
        machine=m["cpu"],
        gains="" if m["bfloat16"] else " (this one does not)",
        fp32=m["peaks"]["float32"],
        bf16=m["peaks"]["bfloat16"],
        loops=table(loop_head, loops),
        sweeps=table(["network, batch", "stacked in", "ms/step of all, in turn", "stacked", "ratio"], sweep),
        evaluations=table(["eight of", "ms in turn", "as one", "ratio"], evaluations),
        costs=table(["what", "measured", "bar"], costs),
        scaling=table(["", "images/s"], scaling),
        **{name: m[name] for name in ("torch", "threads", "data", "date", "rounds")},
    )


def cell(ratio: dict[str, float], bar: float | None) -> str:
    """A ratio with its quartiles, its bar and whether it is met."""
    text = f"{ratio['median']:.1f} ({ratio['low']:.1f}-{ratio['high']:.1f})"
    return text if bar is None else f"{text}, bar {bar:g} {mark(ratio['median'] >= bar)}"


def mark(met: bool) -> str:
    """Pass or fail."""
    return "✓" if met else "✗ missed"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def extract(found: dict) -> str:
    """One line for each network: milliseconds a step the courses' way, and how many times as fast ours is."""
    m, lines = found["machine"], {}
    for row in found["loops"]:
        if row["network"] in SHOWN:
            line = lines.setdefault((row["network"], row["batch"]), [f"{row['courses_ms']:.1f}"])
            line.append(f"{row['ratio_0']['median']:.1f}")
    head = ["network, batch", "courses' loop, ms a step", "ours, times as fast", "in bfloat16"]
    body = table(head, [[f"{name}, {batch}", *line] for (name, batch), line in lines.items()])
    stacked = {}
    for row in found["sweeps"]:
        if row["how"] == "float32, two processes":
            name = f"{row['runs']} learning rates of {row['network'].split(',')[0]}"
            stacked[name] = row["ratio"]["median"]
    sweeps = " and ".join(f"{name} {ratio:.1f} times" for name, ratio in stacked.items())
    where = f"On {m['cpu']}, {m['threads']} threads, {m['date']}"
    return f"{where}:\n\n{body}\n\nTrained as one, in each of two processes and in float32: {sweeps} as fast.\n"
