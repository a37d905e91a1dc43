"""What the measurements have to reach, written down before they were taken."""

from typing import NamedTuple

# Ours / peer, at most, by the first word of the peer's name: with one thread, and with all on a quiet machine.
PEERS = {"JAX": 0.6, "Keras": 0.6, "Lightning": 0.9, "fastai": 0.9}
PEERS_OF = {"MLP": {"JAX": 1.0, "Keras": 0.8}, "8 × MLP": {"JAX": 0.9}}  # instead of those
# Times as fast as a course's loop with its loader in the same process, at least, by network, batch and precision.
COURSES = {
    ("MLP", 128, "float32"): 10,
    ("SimpleNN, BN, crop + flip", 128, "float32"): 2.7,
    ("cnn4, validated", 50, "float32"): 6,
    ("ResNet-20, crop + flip", 128, "bfloat16"): 2.2,
}
# Wall time beside one busy neighbour / that of one thread on the quiet machine, at most.
SLOWER = {"MLP": 1.5, "SimpleNN, BN, crop + flip": 1.5, "ResNet-20, crop + flip": 1.5}
KEPT = 0.9  # of the neighbour's speed beside one thread of ours, when we choose the threads: noise is below 10 %
# Of `costs`, at most, by the beginning of what is measured.
COSTS = {
    "data pipeline, share of a step of SimpleNN": 0.10,
    "data pipeline, share of a step of ResNet-20": 0.02,
    "GB of memory above torch's import": 1.2,
    "seconds for import after torch": 0.3,
    "seconds for `coursekit --help`": 0.5,
}


class Verdict(NamedTuple):
    """One measurement against its bar."""

    what: str
    measured: str
    bar: str
    met: bool

    def __str__(self) -> str:
        return f"{'met   ' if self.met else 'MISSED'} {self.what}: {self.measured}, {self.bar}"


def verdicts(found: dict) -> list[Verdict]:
    """All bars of the parts that were measured."""
    return [*_peers(found.get("peers") or {}), *_courses(found.get("loops", [])), *_costs(found.get("costs", []))]


def _peers(peers: dict) -> list[Verdict]:
    made = []
    for how, words in (("one_thread", "one thread, CPU time"), ("quiet", "all threads, wall time")):
        for row in peers.get(how, []):
            bar = PEERS_OF.get(row["network"], PEERS).get(row["contestant"].split(",")[0].split()[0])
            if bar is not None:
                what = f"{row['network']}, {row['batch']}: ours / {row['contestant']}, {words}"
                made.append(_at_most(what, row["ratio"], bar))
    for row in peers.get("neighbour", []):
        if row["network"] in SLOWER:
            what = f"{row['network']}: beside a neighbour / one thread on the quiet machine"
            made.append(_at_most(what, row["slower"], SLOWER[row["network"]]))
            what = f"{row['network']}: the neighbour's speed beside our choice of threads / beside one thread"
            made.append(_at_least(what, row["kept"], KEPT))
    return made


def _courses(loops: list[dict]) -> list[Verdict]:
    made = []
    for row in loops:
        bar = COURSES.get((row["network"], row["batch"], row["precision"]))
        if bar is not None:
            what = f"{row['network']}, {row['batch']}, {row['precision']}: times as fast as a course's loop"
            made.append(_at_least(what, row["ratio_0"], bar))
    return made


def _costs(costs: list[dict]) -> list[Verdict]:
    bars = {row["what"]: bar for row in costs for start, bar in COSTS.items() if row["what"].startswith(start)}
    return [
        Verdict(row["what"], f"{row['value']:.3g}", f"at most {bars[row['what']]:g}", row["value"] <= bars[row["what"]])
        for row in costs
        if row["what"] in bars
    ]


def _at_most(what: str, ratio: dict[str, float], bar: float) -> Verdict:
    return Verdict(what, words(ratio), f"at most {bar:g}", ratio["median"] <= bar)


def _at_least(what: str, ratio: dict[str, float], bar: float) -> Verdict:
    return Verdict(what, words(ratio), f"at least {bar:g}", ratio["median"] >= bar)


def words(ratio: dict[str, float]) -> str:
    """Median and quartiles, to two digits."""
    return "{median:.2f} ({low:.2f}–{high:.2f})".format(**ratio)
