"""One life of the exporter on a machine that is made up: the real one, but for its clocks and sources."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field

from ebpf.directory_lock import lock_directory
from estimator.calibration.calibration import Calibration
from estimator.calibration.state import load_state
from estimator.machine.topology import read_topology
from exporter.books.ledger import Ledger
from exporter.books.row_lifetimes import Lifetimes
from exporter.configuration.config import Config
from exporter.configuration.day_schedule import parse_day_parts
from exporter.configuration.option_tree import Host, Kube, State, Web
from exporter.configuration.tariff_options import Carbon, Cost
from exporter.names.container_names import ContainerNames
from exporter.names.resolver import WorkloadResolver
from exporter.restarts.continuity import FILE, Clocks, Continuity
from exporter.serving.http.opening import build_server
from exporter.serving.page.application import Application
from exporter.serving.publisher import PagePublisher, Stage
from exporter.tariffs.choice import known_tariffs
from exporter.tick.calibrated import CalibratedEnergy, CalibrationFile
from exporter.tick.measurement import Measurement, Tick
from exporter.tick.model_watch import CurrentCoefficients
from exporter.tick.power import Power
from exporter.tick.ticker import Round, Ticker
from tests.soak.simulated.clock import TIME_ZONE
from tests.soak.simulated.machine import Machine
from tests.soak.simulated.names import LABELS, Watching, followed

NODE = "simulated"
_CPU = "a CPU that is made up"
_DEARER_AT_NIGHT = ("00:00-02:00=420", "06:00-22:30=180")


@dataclass
class Watched:
    """A publisher whose last tick is kept: None where there was none to be had."""

    publisher: PagePublisher
    tick: Tick | None = None
    failures: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """See Publisher."""
        return self.publisher.is_empty

    def publish(self, tick: Tick, config: Config, when: Callable[[], Round]) -> None:
        """See Publisher."""
        if failure := when().failure:
            self.failures.append(failure)
        else:
            self.tick = tick
        self.publisher.publish(tick, config, when)


def configuration(machine: Machine) -> Config:
    """Defaults, but for where things are, and what energy emits and costs by the time of day."""
    return Config(
        host=Host(machine.sysfs, cgroupfs=machine.folder / "none"),
        state=State(machine.state),
        kube=Kube(NODE, pod_labels=LABELS),
        web=Web(("127.0.0.1:0",)),
        carbon=Carbon(
            intensity=300.0,
            schedule=parse_day_parts(_DEARER_AT_NIGHT, 0.0, 5_000.0),
            time_zone=TIME_ZONE,
        ),
        cost=Cost(0.3, parse_day_parts(("01:00-03:00=0.1",), 0.0, 1e6), TIME_ZONE, "USD"),
    )


class Exporter:
    """From its start on; ends by `end`, or by `kill`, which calls nothing but what the kernel does."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._config = config = configuration(machine)
        stage = Stage()
        self._server = build_server(config.web, Application(stage))
        self._server.bind()
        self._watching = Watching(machine.server)
        self.measurement = self._assembled()
        self.measurement.keeper.restore(self.measurement)
        self._server.start()
        clock = machine.clock.seconds
        publisher = PagePublisher(config, self.measurement, clock)
        self.watched = Watched(publisher)
        self._ticker = Ticker(config, self.measurement, self.watched, clock)
        stage.ticker, stage.publisher = self._ticker, publisher

    @property
    def port(self) -> int:
        """Where it serves."""
        return int(self._server.bound[0].rpartition(":")[2])

    @property
    def longest_seconds(self) -> float:
        """How long the meters may go unread."""
        return self.measurement.longest_seconds

    def poll(self) -> None:
        """Read the meters between two ticks."""
        self.measurement.poll()

    def look_at_pods(self) -> None:
        """What the API server has told by now, or that it does not answer."""
        self._watching.look()

    def list_pods_anew(self) -> None:
        """The API server has forgotten what was watched last."""
        self._watching.forget_version()

    def tick(self) -> Tick | None:
        """One tick now; None where it failed."""
        self._machine.meters.board.answer(self._machine.clock.boottime_ns())
        self.watched.tick = None
        self._ticker.tick()
        return self.watched.tick

    def end(self) -> None:
        """SIGTERM."""
        self._server.stop()
        self.measurement.close()
        self._let_go()

    def kill(self) -> None:
        """Nothing is written, no word is said."""
        self._server.stop()
        self.measurement.pods.close()
        if self.measurement.power.meter is not None:
            self.measurement.power.meter.close()
        self.measurement.keeper.close()
        self._let_go()

    def _let_go(self) -> None:
        self._machine.meters.board.stop()
        del self._server, self.measurement, self.watched, self._ticker
        gc.collect()

    def _assembled(self) -> Measurement:
        machine, config = self._machine, self._config
        clock = machine.clock
        lock = lock_directory(machine.state)
        if lock is None:
            raise RuntimeError(f"{machine.state} is held by a process that has ended")
        pods = followed(self._watching, clock)
        resolver = WorkloadResolver(machine.counts.directory, ContainerNames(machine.folder / "none"), pods)
        lifetimes = Lifetimes(config.monitor.terminated_ttl_seconds, clock=clock.seconds)
        return Measurement(
            config=config,
            source=machine.counts,
            power=self._power(),
            topology=read_topology(machine.sysfs),
            resolver=resolver,
            ledger=Ledger(
                resolver,
                machine.counts.directory.is_alive,
                lifetimes,
                resolver.again,
                lambda: machine.counts.directory.revision,
            ),
            tariffs=known_tariffs(config.carbon, config.cost, clock.wall),
            keeper=Continuity(
                machine.state / FILE,
                NODE,
                machine.boot_id,
                lock,
                Clocks(clock.wall, lambda: clock.monotonic_ns),
            ),
            wall=clock.wall,
            boottime_ns=clock.boottime_ns,
        )

    def _power(self) -> Power:
        machine = self._machine
        meters = machine.meters.opened()
        path = machine.state / "calibration.json"
        calibration = Calibration(read_topology(machine.sysfs).socket_index, {}, load_state(path, _CPU))
        file = CalibrationFile(path, _CPU, machine.clock.seconds)
        energy = CalibratedEnergy(meters, calibration, {}, file)

        def close() -> None:
            energy.save()
            meters.close()

        coefficients = CurrentCoefficients(energy.coefficients)
        return Power(energy, coefficients, close, calibration=calibration, meter=meters)
