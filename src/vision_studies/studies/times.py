"""How long work takes on this machine: from earlier work of the same shape, from a few steps of it, or from other work.

What has been measured is kept in a file a processor and set of libraries. Work that has been done whole tells more than a few
steps of it, so it is believed first; a shape that was not measured is told from others of its kind by the number of their
operations, and the less is known the wider the range.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from vision_studies.config.study import ExecutionSettings
from vision_studies.costs import Cost, Costs, Measured
from vision_studies.files import hash_json, write_json
from vision_studies.processors import usable
from vision_studies.studies.provenance import library_versions, processor_name

logger = logging.getLogger(__name__)

MEASURING_SECONDS = 45.0
"""That measuring for a study may take."""

_LIKE = 3.0  # work of so many times more or less units than earlier work is still told from it
_KEPT = 8  # latest pieces of work of each shape
_MARGIN_DONE, _MARGIN_MEASURED, _MARGIN_SCALED = 0.1, 0.15, 0.6
_OPERATIONS_A_SECOND = 5e9  # where nothing at all has been measured: two cores
_LEARNING = ("train", "train as one")  # kinds whose operations are counted alike
_ROUGH = 4.0  # how far off that may be
BUSY_MACHINE = 0.25
"""Share of the processors that others may take before times are worth less."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of some work, with the range in which they are expected.

    Attributes:
        seconds: expected.
        low: lowest.
        high: highest.
        disk: bytes that it leaves, as far as they are known.
        memory: bytes that the process has at most, likewise.
        is_rough: some of it is told from the number of its operations alone, on any machine.
        unknown: why some of it is not counted.

    Examples:
        >>> from vision_studies.studies.times import Estimate
        >>> Estimate(60, 50, 90) + Estimate(30, 20, 40)
        Estimate(seconds=90, low=70, high=130, disk=0.0, memory=0.0, is_rough=False, unknown=())
    """

    seconds: float = 0.0
    low: float = 0.0
    high: float = 0.0
    disk: float = 0.0
    memory: float = 0.0
    is_rough: bool = False
    unknown: tuple[str, ...] = ()

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(
            self.seconds + other.seconds,
            self.low + other.low,
            self.high + other.high,
            self.disk + other.disk,
            max(self.memory, other.memory),
            self.is_rough or other.is_rough,
            tuple(dict.fromkeys(self.unknown + other.unknown)),
        )


def total(estimates: Iterable[Estimate]) -> Estimate:
    """All of them together."""
    return sum(estimates, Estimate())


def others_at_work(seconds: float = 0.3) -> float:
    """Share of this process's processors, 0 to 1, that other processes take, watched for so long."""
    import psutil

    here = usable()
    shares = psutil.cpu_percent(seconds, percpu=True)
    return sum(shares[cpu] for cpu in here if cpu < len(shares)) / (100 * len(here))


def setting(execution: ExecutionSettings) -> list[Any]:
    """What decides how long work takes besides machine and libraries."""
    together = [] if execution.backend == "sequential" else [execution.backend, execution.workers]
    return [execution.device, execution.processes_per_run, os.environ.get("OMP_NUM_THREADS"), *together]


def most_memory() -> float:
    """Bytes that this process has had at once so far."""
    import torch

    from vision_studies.training.runtime import peak_memory_mb

    return 1e6 * peak_memory_mb(torch.device("cpu"))


@dataclass
class Speeds:
    """What is known of this machine.

    Attributes:
        file: where it is kept.
        measured: key of a cost -> `seconds` of a unit (a list), bytes on `disk`, `kind`, `operations`, and how `busy` the
            machine was.
        done: key of a piece of work -> pairs of units and seconds.
        busy: share of the processors that others take now; None: nobody has looked.
        counted: key of a cost -> operations of a unit, each shape of which is counted once.
    """

    file: Path
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    done: dict[str, list[list[float]]] = field(default_factory=dict)
    busy: float | None = None
    counted: dict[str, float] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of_this_machine(cls, folder: Path, setting: Sequence[Any] = ()) -> "Speeds":
        """What is kept in a folder of this processor, with these libraries, under a `setting` such as the number of workers."""
        file = folder / f"{hash_json([processor_name(), library_versions(), list(setting)])[:16]}.json"
        return cls.of_file(file)

    def save(self) -> None:
        """Keep it; what other commands have found meanwhile stays."""
        others = Speeds.of_file(self.file)
        write_json(
            self.file,
            {
                "processor": processor_name(),
                "versions": library_versions(),
                "measured": {**others.measured, **self.measured},
                "done": {**others.done, **self.done},
            },
        )

    @classmethod
    def of_file(cls, file: Path) -> "Speeds":
        """What a file has; nothing where it is missing or damaged."""
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            return cls(file, dict(kept["measured"]), dict(kept["done"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(file)

    def note(self, costs: Costs, seconds: float) -> None:
        """Keep how long a piece of work took that was done whole."""
        if costs:
            own = self.done.setdefault(_key(costs), [])
            own.append([costs[0].units, round(seconds, 4)])
            del own[:-_KEPT]

    def estimate(self, costs: Costs) -> Estimate:
        """What a piece of work is expected to take."""
        unknown = tuple(str(cost.shape["reason"]) for cost in costs if cost.kind == "unknown")
        if unknown:
            return Estimate(unknown=unknown)
        known = [self.measured[cost.key] for cost in costs if cost.key in self.measured]
        disk, memory = sum(each["disk"] for each in known), max((each["memory"] for each in known), default=0.0)
        alike = self._done_alike(costs)
        if alike:
            seconds, low, high = median(alike), min(alike), max(alike)
            return Estimate(seconds, low * (1 - _MARGIN_DONE), high * (1 + _MARGIN_DONE), disk, memory)
        whole = total(self._cost(cost) for cost in costs)
        return Estimate(whole.seconds, whole.low, whole.high, disk, memory, whole.is_rough)

    def operations(self, cost: Cost) -> float:
        """Multiply-adds of a unit, at least 1."""
        if cost.key not in self.counted:
            self.counted[cost.key] = max(cost.operations(), 1.0)
        return self.counted[cost.key]

    def _done_alike(self, costs: Costs) -> list[float]:
        if not costs:
            return []
        units, pieces = costs[0].units, self.done.get(_key(costs), [])
        return [seconds * units / of for of, seconds in pieces if of and 1 / _LIKE <= units / of <= _LIKE]

    def _cost(self, cost: Cost) -> Estimate:
        fewest = cost.units if cost.least is None else cost.least
        own = self.measured.get(cost.key)
        if own is not None:
            taken = [float(each) for each in own["seconds"]]
            slower = 1 + max(float(own.get("busy", 0.0)), self.busy or 0.0)
            low = min(taken) / slower * (1 - _MARGIN_MEASURED)
            high = max(taken) * slower * (1 + _MARGIN_MEASURED)
            return Estimate(sum(taken) / len(taken) * cost.units, low * fewest, high * cost.units)
        operations = self.operations(cost)
        known = [each for each in self.measured.values() if each["operations"] > 0]
        same = [each for each in known if each["kind"] == cost.kind]
        if same:
            # The nearest in size: what a step costs besides its operations differs least.
            near = min(same, key=lambda each: abs(_ratio(each["operations"], operations) - 1))
            a_unit = sum(near["seconds"]) / len(near["seconds"]) * operations / near["operations"]
            margin = 1 + _MARGIN_SCALED
            return Estimate(a_unit * cost.units, a_unit * fewest / margin, a_unit * cost.units * margin)
        # Networks that learn in another way tell more of this machine than a number that is the same for all machines.
        networks = [each["operations"] / median(each["seconds"]) for each in known if each["kind"] in _LEARNING]
        a_unit = operations / (median(networks) if networks and cost.kind in _LEARNING else _OPERATIONS_A_SECOND)
        return Estimate(a_unit * cost.units, a_unit * fewest / _ROUGH, a_unit * cost.units * _ROUGH, is_rough=True)


def measure(
    pieces: Sequence[Costs],
    speeds: Speeds,
    *,
    seconds: float = MEASURING_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    watch: Callable[[], float] = others_at_work,
) -> None:
    """Do a little of what has not been measured yet, what takes longest first, until the time is over; and keep what was found.

    Args:
        pieces: of work, that earlier work of the same shape does not tell of.
        speeds: of the machine; gets what is found, and how busy the machine is.
        seconds: that measuring may take; what has begun is ended.
        clock: seconds.
        watch: share of the processors that others take.
    """
    wanted: dict[str, tuple[Cost, float]] = {}
    for costs in pieces:
        if speeds._done_alike(costs):
            continue
        for cost in costs:
            known = speeds.measured.get(cost.key)
            if cost.kind == "unknown" or (known is not None and float(known.get("busy", 0.0)) <= BUSY_MACHINE):
                continue
            first, units = wanted.get(cost.key, (cost, 0.0))
            wanted[cost.key] = (first, units + cost.units)
    if not wanted or seconds <= 0:
        return
    busy = speeds.busy = watch() if speeds.busy is None else speeds.busy
    operations = {key: speeds.operations(cost) for key, (cost, _) in wanted.items()}
    started = clock()
    for key, (cost, _) in sorted(wanted.items(), key=lambda each: -each[1][1] * operations[each[0]]):
        if clock() - started >= seconds:
            break
        if key in speeds.measured and busy > BUSY_MACHINE:
            continue  # it was no quieter then
        found = _measured(cost)
        if found is not None:
            speeds.measured[key] = {
                "kind": cost.kind,
                "seconds": [float(f"{each:.4g}") for each in found.seconds],
                "disk": found.disk,
                "memory": most_memory(),
                "operations": operations[key],
                "busy": round(busy, 2),
            }
    speeds.save()


def _measured(cost: Cost) -> Measured | None:
    try:
        return cost.measure()
    except Exception as error:  # a plan says less then, and the work itself will say why
        logger.warning("what %s takes could not be measured: %s", cost.kind, error)
        return None


def _key(costs: Costs) -> str:
    return hash_json([cost.key for cost in costs])[:16]


def _ratio(first: float, second: float) -> float:
    return max(first, second) / min(first, second)


def duration(seconds: float) -> str:
    """Seconds as one reads them.

    Examples:
        >>> from vision_studies.studies.times import duration
        >>> duration(42), duration(1000), duration(8000), duration(300000)
        ('42 s', '17 min', '2.2 h', '3.5 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def size(disk: float) -> str:
    """Bytes as one reads them.

    Examples:
        >>> from vision_studies.studies.times import size
        >>> size(512_000), size(3_200_000_000)
        ('1 MB', '3.2 GB')
    """
    return f"{disk / 1e9:.1f} GB" if disk >= 1e9 else f"{max(1, round(disk / 1e6))} MB"
