"""The servers beside each other: each of them has answered."""

import shutil

import pytest
from server_engines import needs_native

from bench import server


@needs_native
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: cc is not there")
def test_each_server_has_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert server.main(["-c", "3", "--rounds", "1", "--duration", "0.3"]) == 0
    printed = capsys.readouterr().out
    assert "3 connections, 64 bytes, median of 1 rounds" in printed
    rows = [line.split() for line in printed.splitlines()[-3:]]
    assert [row[0] for row in rows] == ["C", "native", "python"]
    assert all(int(row[1].replace(",", "")) > 0 for row in rows)
    assert rows[0][2] == "1.00"
