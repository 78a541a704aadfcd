"""`podjoule train`, `evaluate` and `models`: power models made, judged and looked at.

Training and judging need scikit-learn and pandas, which `podjoule[train]` installs; nothing else here does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace, _SubParsersAction
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebpf.errors import ModelInvalid, ModelUnavailable, UsageError
from exporter.config import Config

if TYPE_CHECKING:
    from estimator.training.samples import Samples
    from estimator.training.train import Title

_FAILED = 1
_OF_THE_EXTRA = (
    "sklearn",
    "pandas",
    "pyarrow",
    "threadpoolctl",
    "prometheus_api_client",
    "requests",
    "tqdm",
)


def add_model_commands(commands: _SubParsersAction[Any], add: Callable[..., Any]) -> None:
    """Add the subcommands; add is the command line's own way to add one that takes the usual flags."""
    parser = add(commands, "train", "make a power model from samples tables", train)
    _add_input(parser)
    parser.add_argument(
        "--zones", metavar="LIST", help="such as package,dram (default all that were measured)"
    )
    parser.add_argument(
        "--features", metavar="LIST", help="such as cycles,instructions (default the counters)"
    )
    parser.add_argument("--kind", choices=("linear", "trees", "auto"), default="auto", help="default auto")
    parser.add_argument("--microarchitecture", metavar="NAME", help="of the machine, if it is not this one")
    parser.add_argument("--output", required=True, metavar="FILE", help="where the model goes")
    _add_evaluate(commands, add)
    models = commands.add_parser("models", help="look at the shipped models", allow_abbrev=False)
    parts = models.add_subparsers(metavar="COMMAND", required=True)
    add(parts, "list", "name the shipped models", list_shipped)
    add(parts, "show", "print a model's card", show).add_argument("name", help="a shipped model, or a file")
    add(parts, "verify", "check model files; 1 if one must not be used", verify).add_argument(
        "files", nargs="+", metavar="FILE"
    )


def _add_input(parser: Any) -> None:
    parser.add_argument(
        "--input",
        nargs="+",
        required=True,
        metavar="TABLE",
        help="CSV, Parquet or a recording; or one Prometheus by its http(s) address",
    )
    parser.add_argument("--range", default="24h", help="how far back a Prometheus is asked (default 24h)")


def _add_evaluate(commands: _SubParsersAction[Any], add: Callable[..., Any]) -> None:
    parser = add(commands, "evaluate", "score a model on samples tables", evaluate)
    parser.add_argument("file", nargs="?", metavar="MODEL", help="a model file or the name of a shipped one")
    _add_input(parser)
    parser.add_argument(
        "--online", action="store_true", help="score the online calibration one step ahead; takes no MODEL"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table", help="default table")


def train(arguments: Namespace, config: Config) -> int:
    """Write a model file, whole or not at all, and print how good it is."""
    output = Path(arguments.output)
    with _training_installed():
        from estimator.training.train import Recipe
        from estimator.training.train import train as train_model
    from estimator.model_file import parse_model, render_model
    from exporter.model_tables import scores_table

    samples = _read(arguments)
    recipe = Recipe(_listed(arguments.zones), _listed(arguments.features), arguments.kind)
    content = train_model(samples, recipe, _title(output, samples, arguments.microarchitecture, config))
    text = render_model(content)
    parse_model(str(output), text)
    _write(output, text)
    sys.stdout.write(scores_table(content, samples.set_aside))
    return 0


def evaluate(arguments: Namespace, config: Config) -> int:  # noqa: ARG001  a command's signature
    """Print the scores of DESIGN section 7 and which rows lay outside the envelope."""
    from exporter.model_tables import evaluation_table

    document = _online(arguments) if arguments.online else _offline(arguments)
    in_json = json.dumps(document, indent=1, allow_nan=False) + "\n"
    sys.stdout.write(in_json if arguments.format == "json" else evaluation_table(document))
    return 0


def list_shipped(arguments: Namespace, config: Config) -> int:  # noqa: ARG001
    """One line a model: name, machine, zones with their kinds, features."""
    from estimator.model_file import list_models, load_shipped
    from exporter.model_tables import models_table

    sys.stdout.write(models_table([load_shipped(name) for name in list_models()]))
    return 0


def show(arguments: Namespace, config: Config) -> int:  # noqa: ARG001
    """The card of a shipped model as it is, or one made from a model file."""
    from importlib import resources

    from estimator.model_card import render_card
    from estimator.model_file import list_models, load_model

    if arguments.name in list_models():
        card = resources.files("models").joinpath(f"{arguments.name}.md").read_text(encoding="utf-8")
    else:
        model = _load(arguments.name)
        document = json.loads(Path(arguments.name).read_text(encoding="utf-8"))
        card = render_card(load_model(Path(arguments.name)), document, f"podjoule models show {model.name}")
    sys.stdout.write(card)
    return 0


def verify(arguments: Namespace, config: Config) -> int:  # noqa: ARG001
    """One line a file: its name and hash, or the field that is wrong; 1 if one must not be used."""
    from estimator.model_file import load_model

    code = 0
    for name in arguments.files:
        try:
            model = load_model(Path(name))
        except (ModelInvalid, ModelUnavailable) as error:
            sys.stdout.write(f"refused  {error}\n")
            code = _FAILED
        else:
            sys.stdout.write(f"ok       {name}: {model.name}, sha256 {model.sha256}\n")
    return code


def _offline(arguments: Namespace) -> dict[str, Any]:
    if not arguments.file:
        raise UsageError("evaluate: no MODEL given; name a model file or a shipped model, or give --online")
    model = _load(arguments.file)
    with _training_installed():
        from estimator.training.evaluate import evaluate as evaluate_model
    samples = _read(arguments)
    evaluation = evaluate_model(model, samples.frame)
    if not evaluation.scores:
        raise UsageError(
            f"evaluate: {model.name} predicts {', '.join(model.zones)} from {', '.join(model.features)}; "
            f"{samples.source} measures {', '.join((*samples.zones, *samples.features))}"
        )
    return evaluation.document(samples)


def _online(arguments: Namespace) -> dict[str, Any]:
    if arguments.file:
        raise UsageError("evaluate: --online takes no MODEL: the calibration learns from the table itself")
    from estimator.calibration_replay import score
    from estimator.scores import as_plain

    samples = _read(arguments)
    columns = {name: samples.frame[name].to_numpy() for name in samples.frame}
    return {"zones": {zone: as_plain(found) for zone, found in score(columns).items()}}


def _read(arguments: Namespace) -> Samples:
    """The table: of files, or of one Prometheus over the range that ends now."""
    servers = [name for name in arguments.input if name.startswith(("http://", "https://"))]
    with _training_installed():
        if not servers:
            from estimator.training.samples import read_samples

            return read_samples([Path(name) for name in arguments.input])
        from estimator.training.prometheus_source import Range, read_prometheus
    if len(arguments.input) > 1:
        raise UsageError("--input: one Prometheus, or files; not both, and not two")
    from exporter.durations import parse_duration

    try:
        seconds = parse_duration(arguments.range)
    except ValueError:
        raise UsageError(
            f"--range: found {arguments.range!r}; allowed: a duration such as 30m or 24h"
        ) from None
    now = time.time()
    return read_prometheus(servers[0], Range(now - seconds, now))


def _load(name: str) -> Any:
    from estimator.model_file import list_models, load_model, load_shipped

    return load_shipped(name) if name in list_models() else load_model(Path(name))


def _title(output: Path, samples: Samples, microarchitecture: str | None, config: Config) -> Title:
    from estimator.training.train import Title

    seconds = float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    created = time.strftime("%Y-%m-%d", time.gmtime(seconds))
    return Title(output.stem or "model", created, _machine(samples, microarchitecture, config))


def _machine(samples: Samples, microarchitecture: str | None, config: Config) -> dict[str, Any]:
    """This machine, if the table is its own; else nothing but what was told."""
    from estimator.cpu_identity import read_identity, recognise
    from estimator.training.train import UNKNOWN_MACHINE

    machine = dict(UNKNOWN_MACHINE)
    if set(samples.frame["node"]) == {config.kube.node_name}:
        identity = read_identity(config.host.procfs)
        recognition = recognise(identity)
        machine["vendor"] = identity.vendor or None
        machine["family"], machine["model"] = identity.family, identity.model
        machine["microarchitecture"] = recognition.name if recognition.exact else None
    return {**machine, **({"microarchitecture": microarchitecture} if microarchitecture else {})}


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()


def _write(output: Path, text: str) -> None:
    """Under another name first: whoever reads meanwhile finds the old file or the new one."""
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(output)
    except OSError as error:
        raise UsageError(f"--output {output}: cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _training_installed() -> Iterator[None]:
    """Turn a missing library into an error that names the mend."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        raise UsageError(
            f"training and judging models needs {error.name}, which is not installed; "
            "pip install podjoule[train]"
        ) from error
