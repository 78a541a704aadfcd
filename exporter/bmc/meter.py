"""The meter of a machine's board over Redfish."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from pathlib import Path

from estimator.meters.boards import Board, BoardPower
from estimator.meters.coarse import CoarseCounter
from estimator.meters.integrated import IntegratedCounter
from estimator.meters.port import MeterError, ZoneReading
from estimator.meters.powercap import boottime_ns
from exporter.bmc.board import Chassis, find_chassis
from exporter.bmc.nodes_file import Bmc, read_bmc
from exporter.bmc.pace import Pace
from exporter.bmc.power import ChassisPower, resolution_kwh
from exporter.bmc.session import NotThere, RedfishSession
from exporter.configuration.file_signature import signature

JOULES_PER_KWH = 3.6e6


class RedfishMeter:
    """What the whole machine draws, by its BMC. It blocks: for a BackgroundMeter.

    Making one reads the file and asks nobody; a file that is replaced is read anew. period_seconds: between
    two readings; fewer where the BMC has nothing newer. boards: where its watts are shown. open_session: to
    the BMC that the file names.
    """

    name = "redfish"
    zones: Set[str] = frozenset({"platform"})

    def __init__(
        self,
        file: Path,
        node: str,
        period_seconds: float,
        boards: BoardPower | None = None,
        clock: Callable[[], int] = boottime_ns,
        open_session: Callable[[Bmc], RedfishSession] = RedfishSession,
    ) -> None:
        self.errors: Sequence[MeterError] = ()
        self._file, self._node, self._period_seconds = file, node, period_seconds
        self._boards, self._clock, self._open_session = boards or BoardPower(), clock, open_session
        self._signature = signature(file)
        self._bmc = read_bmc(file, node)
        self._session = open_session(self._bmc)
        self._chassis: list[Chassis] = []
        self._coarse: dict[str, CoarseCounter] = {}
        self._integrated: dict[str, IntegratedCounter] = {}
        self._pace = Pace(period_seconds)

    def read(self) -> list[ZoneReading]:
        """Each chassis that has something newer. Raises MeterUnavailable where the BMC cannot be asked."""
        self.errors = ()
        self._follow_file()
        if not self._pace.is_due(self._clock()):
            return []
        if not self._chassis:
            self._chassis = find_chassis(self._session.get)
        powers = self._ask()
        self._pace.take(tuple((power.watts, power.energy_kwh) for _, power in powers))
        self._boards.show(self.name, [board for each in powers for board in self._shown(*each)])
        return [reading for each in powers if (reading := self._count(*each))]

    def close(self) -> None:
        """End the session with the BMC."""
        self._session.close()

    def _follow_file(self) -> None:
        now = signature(self._file)
        if now == self._signature:
            return
        self._signature = now
        bmc = read_bmc(self._file, self._node)
        if bmc != self._bmc:
            self._session.close()
            self._bmc, self._session, self._chassis = bmc, self._open_session(bmc), []

    def _ask(self) -> list[tuple[Chassis, ChassisPower]]:
        powers = []
        for chassis in self._chassis:
            try:
                power = chassis.read()
            except NotThere:
                self._chassis = []  # after an update of its firmware it may be elsewhere
                raise
            except ValueError as error:
                self._fail(chassis, str(error))
                continue
            if power is None:
                self._fail(chassis, "tells no power any more")
            else:
                powers.append((chassis, power))
        return powers

    def _count(self, chassis: Chassis, power: ChassisPower) -> ZoneReading | None:
        path, now = self._path(chassis), self._clock()
        if power.energy_kwh is not None:
            joules = float(power.energy_kwh) * JOULES_PER_KWH
            coarse = self._coarse.setdefault(path, CoarseCounter("platform", path))
            coarse.take(joules, resolution_kwh(power.energy_kwh) * JOULES_PER_KWH, power.watts, now)
            return coarse.reading()
        if path in self._coarse or power.watts is None:
            self._fail(chassis, "tells no EnergykWh any more, which was its counter")
            return None
        counter = self._integrated.get(path)
        if counter is None:
            longest = self._pace.longest_seconds
            counter = self._integrated[path] = IntegratedCounter("platform", None, path, longest)
        try:
            late = counter.take(power.watts, now)
        except ValueError as error:
            self._fail(chassis, str(error))
            return None
        if late is not None:
            self.errors = [*self.errors, late]
        return counter.reading()

    def _shown(self, chassis: Chassis, power: ChassisPower) -> list[Board]:
        return [
            Board(self.name, self._bmc.id, chassis.id, each.id, each.name, each.type, each.watts)
            for each in power.sources
        ]

    def _fail(self, chassis: Chassis, message: str) -> None:
        self.errors = [*self.errors, MeterError(self._path(chassis), message, False)]

    def _path(self, chassis: Chassis) -> str:
        return f"redfish/{self._bmc.id}/{chassis.id}"
