import psutil
import pytest
from server_engines import ENGINES

from loadgen.plan import Plan
from loadgen.runner.own_server import serving


@pytest.mark.parametrize("engine", ["auto", *ENGINES])
@pytest.mark.parametrize("tls", [False, True])
def test_the_server_of_a_run_has_the_engine_of_the_run(engine: str, tls: bool) -> None:
    with serving(Plan(engine=engine, tls=tls)) as (server, plan):
        words = psutil.Process(server.pid).cmdline()
        assert words[words.index("--engine") + 1] == engine
    assert plan.engine == engine
    assert server.counts.accepted == 0
