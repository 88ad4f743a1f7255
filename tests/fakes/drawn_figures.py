"""What a figure shows, read back from it; and records that have much to show."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from records import HEALTHY, TIMES, distribution

from loadgen.results.instruments import MachineSamples, MonitorRecord, ProcessSamples
from loadgen.results.intervals import IntervalRecord

NOTHING = distribution()
SILENT: dict[str, Any] = {name: NOTHING if TIMES[name] is not None else None for name in TIMES}
"""The times of an interval in which nothing was answered."""


def drawn(figure: Figure | None) -> Figure:
    """The figure, which must be there."""
    assert figure is not None
    return figure


def line(axes: Axes, label: str) -> Line2D:
    return next(line for line in axes.get_lines() if line.get_label() == label)


def labels(axes: Axes) -> list[str]:
    return [str(line.get_label()) for line in axes.get_lines()]


def heights(line: Line2D) -> npt.NDArray[np.float64]:
    return np.asarray(line.get_ydata(), float)


def places(line: Line2D) -> list[float]:
    moments: list[float] = np.asarray(line.get_xdata(), float).tolist()
    return moments


def texts(axes: Axes) -> str:
    return "\n".join([axes.get_title(loc="left"), *(text.get_text() for text in axes.texts)])


def interval(start_s: float, **changes: Any) -> IntervalRecord:
    """A second of load, with the times of the healthy record unless ``changes`` differ."""
    one = msgspec.structs.replace(HEALTHY.intervals[0], start_s=start_s, duration_s=1.0)
    return msgspec.structs.replace(one, **changes)


def processes(name: str, cpu_s: list[float], **changes: Any) -> ProcessSamples:
    count = len(cpu_s)
    samples = ProcessSamples(
        name=name,
        pids=[17],
        cpu_s=cpu_s,
        memory_bytes=[2**25 + number * 2**20 for number in range(count)],
        descriptors=[10 + number for number in range(count)],
        threads=[3] * count,
        context_switches=[100 * number for number in range(count)],
    )
    return msgspec.structs.replace(samples, **changes)


def monitor(**changes: Any) -> MonitorRecord:
    """Samples half a second apart; the target takes twice what the generator takes."""
    at_s = [-0.5, 0.0, 0.5, 1.0, 1.5, 2.0]
    record = MonitorRecord(
        interval_s=0.5,
        at_s=at_s,
        generator=processes("loadgen", [0.0, 0.0, 0.1, 0.2, 0.4, 0.6]),
        target=processes("redis-server", [0.0, 0.0, 0.2, 0.4, 0.8, 1.2]),
        why_no_target="",
        target_ended_at_s=None,
        machine=MachineSamples(
            cpu_share=[0.0, 0.1, 0.5, 0.5, 0.75, 1.0],
            sent_bytes=[0] * len(at_s),
            received_bytes=[0] * len(at_s),
        ),
    )
    return msgspec.structs.replace(record, **changes)
