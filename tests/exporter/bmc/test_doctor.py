from __future__ import annotations

from pathlib import Path

import pytest

from exporter.configuration.config import Config
from exporter.configuration.meter_options import Meters
from exporter.configuration.option_tree import Kube
from exporter.configuration.platform_options import Platform, Redfish
from exporter.doctor.finding import Check, Machine
from exporter.doctor.meter_checks import check_meters, try_meters
from tests.exporter.bmc.conftest import Board

pytestmark = pytest.mark.e2e


def checked(board: Board, folder: Path) -> Check:
    platform = Platform(redfish=Redfish(config_file=board.file))
    config = Config(kube=Kube("node-1"), meters=Meters(("redfish",)), platform=platform)
    return check_meters(try_meters(Machine(folder, folder, folder, None, environ={}), config))


def test_a_board_that_answers_serves_and_its_session_is_ended(board: Board, tmp_path: Path) -> None:
    found = checked(board, tmp_path)
    assert (found.status, found.found) == ("ok", "platform by redfish")
    assert (board.server.opened, board.server.ended) == (1, 1)


def test_a_board_that_refuses_is_told_with_the_mend_and_no_secret(board: Board, tmp_path: Path) -> None:
    board.write(password="wrong-not-for-any-log")
    found = checked(board, tmp_path)
    assert found.status == "warn"
    assert "redfish does not serve: cannot be read: " in found.found
    assert "refuses the user and the password of bmcs.bmc-1" in found.found
    assert "not-for-any-log" not in str(found)
