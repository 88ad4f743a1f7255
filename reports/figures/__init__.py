"""The figures of a report, each made from a RunRecord, in the order of the page.

`PANELS` show one run; `COMPARED` set several side by side.
"""

from typing import Final

from loadgen.results.record import RunRecord
from reports.figures import (
    compared_figures,
    compared_latency,
    compared_throughput,
    connections,
    latency_by_percentile,
    latency_over_time,
    resources,
    throughput,
)
from reports.figures.panel import Panel, Sides

__all__ = ["COMPARED", "PANELS", "Panel", "Sides"]

PANELS: Final[tuple[Panel[RunRecord], ...]] = (
    latency_by_percentile.PANEL,
    latency_over_time.PANEL,
    throughput.PANEL,
    resources.PANEL,
    connections.PANEL,
)

COMPARED: Final[tuple[Panel[Sides], ...]] = (
    compared_latency.PANEL,
    compared_throughput.PANEL,
    compared_figures.PANEL,
)
