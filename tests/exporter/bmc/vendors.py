"""What the Redfish services of several vendors show of power: the shapes that their firmware has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Json = dict[str, Any]
Shape = Callable[[float, float], Mapping[str, Json]]
"""From watts and kWh to the documents by path."""

CHASSIS = "/redfish/v1/Chassis"


def _ref(path: str) -> Json:
    return {"@odata.id": path}


def _collection(path: str, *members: str) -> Json:
    return {**_ref(path), "Members": [_ref(each) for each in members], "Members@odata.count": len(members)}


def _root(slash: str = "") -> Json:
    return {
        **_ref("/redfish/v1/"),
        "Chassis": _ref(CHASSIS + slash),
        "SessionService": _ref(f"/redfish/v1/SessionService{slash}"),
        "Links": {"Sessions": _ref(f"/redfish/v1/SessionService/Sessions{slash}")},
    }


def _systems(*names: str) -> Json:
    return {"ComputerSystems": [_ref(f"/redfish/v1/Systems/{name}") for name in names]}


def dell(watts: float, kwh: float) -> Mapping[str, Json]:
    """iDRAC 9: a counter with decimals in EnvironmentMetrics; the backplane is a chassis of its own."""
    path, backplane = f"{CHASSIS}/System.Embedded.1", f"{CHASSIS}/Enclosure.Internal.0-1"
    return {
        "/redfish/v1/": _root(),
        CHASSIS: _collection(CHASSIS, path, backplane),
        path: {
            **_ref(path),
            "Id": "System.Embedded.1",
            "ChassisType": "StandAlone",
            "EnvironmentMetrics": _ref(f"{path}/EnvironmentMetrics"),
            "PowerSubsystem": _ref(f"{path}/PowerSubsystem"),
            "Power": _ref(f"{path}/Power"),
            "Links": {**_systems("System.Embedded.1"), "Contains": [_ref(backplane)]},
        },
        backplane: {
            **_ref(backplane),
            "Id": "Enclosure.Internal.0-1",
            "Links": {**_systems("System.Embedded.1"), "ContainedBy": _ref(path)},
        },
        f"{path}/EnvironmentMetrics": {
            "Id": "EnvironmentMetrics",
            "PowerWatts": {
                "DataSourceUri": f"{path}/Sensors/SystemBoardPwrConsumption",
                "Reading": round(watts),
            },
            "EnergykWh": {
                "DataSourceUri": f"{path}/Sensors/SystemBoardEnergyConsumption",
                "Reading": round(kwh, 3),
            },
        },
    }


def hpe(watts: float, kwh: float) -> Mapping[str, Json]:
    """iLO 5: the old Power alone, and paths that end in a slash."""
    path = f"{CHASSIS}/1/"
    return {
        "/redfish/v1/": _root("/"),
        f"{CHASSIS}/": _collection(f"{CHASSIS}/", path),
        path: {
            **_ref(path),
            "Id": "1",
            "Power": _ref(f"{path}Power/"),
            "Links": _systems("1/"),
        },
        f"{path}Power/": {
            "Id": "Power",
            "PowerControl": [
                {
                    "MemberId": "0",
                    "PowerCapacityWatts": 1600,
                    "PowerConsumedWatts": round(watts),
                    "PowerMetrics": {"AverageConsumedWatts": round(watts), "IntervalInMin": 20},
                }
            ],
            "PowerSupplies": [{"MemberId": "0", "LastPowerOutputWatts": round(watts)}],
        },
    }


def supermicro(watts: float, kwh: float) -> Mapping[str, Json]:
    """Two supplies below PowerSubsystem, a bay that is empty, and a board of GPUs within the chassis."""
    path, board = f"{CHASSIS}/1", f"{CHASSIS}/HGX_Chassis_0"
    supplies = f"{path}/PowerSubsystem/PowerSupplies"
    found: dict[str, Json] = {
        "/redfish/v1/": _root(),
        CHASSIS: _collection(CHASSIS, path, board),
        path: {
            **_ref(path),
            "Id": "1",
            "PowerSubsystem": _ref(f"{path}/PowerSubsystem"),
            "Links": _systems("1"),
        },
        board: {
            **_ref(board),
            "Id": "HGX_Chassis_0",
            "EnvironmentMetrics": _ref(f"{board}/EnvironmentMetrics"),
            "Links": {"ContainedBy": _ref(path)},
        },
        f"{board}/EnvironmentMetrics": {"PowerWatts": {"Reading": 99.0}, "EnergykWh": {"Reading": 12.5}},
        f"{path}/PowerSubsystem": {"Id": "PowerSubsystem", "PowerSupplies": _ref(supplies)},
        supplies: _collection(supplies, *(f"{supplies}/{n}" for n in (1, 2, 3))),
    }
    for n, part in ((1, 0.6 * watts), (2, 0.4 * watts), (3, None)):
        metrics = f"{supplies}/{n}/Metrics"
        found[f"{supplies}/{n}"] = {"Id": str(n), "Name": f"PSU{n}", "Metrics": _ref(metrics)}
        found[metrics] = {"Id": "Metrics", "InputPowerWatts": {"Reading": part}}
    return found


def lenovo(watts: float, kwh: float) -> Mapping[str, Json]:
    """XCC: EnvironmentMetrics without power, and parts of the machine beside the whole in Power."""
    path = f"{CHASSIS}/1"
    controls = (("CPU Sub-system Power", "CPU", 0.3), ("Server Power Control", "Chassis", 1.0))
    return {
        "/redfish/v1/": _root(),
        CHASSIS: _collection(CHASSIS, path),
        path: {
            **_ref(path),
            "Id": "1",
            "EnvironmentMetrics": _ref(f"{path}/EnvironmentMetrics"),
            "Power": _ref(f"{path}/Power"),
            "Links": _systems("1"),
        },
        f"{path}/EnvironmentMetrics": {"Id": "EnvironmentMetrics", "FanSpeedsPercent": []},
        f"{path}/Power": {
            "PowerControl": [
                {
                    "MemberId": str(n),
                    "Name": name,
                    "PhysicalContext": context,
                    "PowerConsumedWatts": watts * part,
                }
                for n, (name, context, part) in enumerate(controls)
            ]
        },
    }


def openbmc(watts: float, kwh: float) -> Mapping[str, Json]:
    """Power and a counter of whole kWh, in a chassis that names no system."""
    path = f"{CHASSIS}/chassis"
    return {
        "/redfish/v1/": _root(),
        CHASSIS: _collection(CHASSIS, path),
        path: {**_ref(path), "Id": "chassis", "EnvironmentMetrics": _ref(f"{path}/EnvironmentMetrics")},
        f"{path}/EnvironmentMetrics": {
            "PowerWatts": {"DataSourceUri": f"{path}/Sensors/total_power", "Reading": watts},
            "EnergykWh": {"Reading": int(kwh)},
        },
    }


VENDORS: Mapping[str, Shape] = {
    "dell": dell,
    "hpe": hpe,
    "supermicro": supermicro,
    "lenovo": lenovo,
    "openbmc": openbmc,
}
