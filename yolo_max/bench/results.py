"""The results of a run: the content of bench.json, with the raw samples."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from yolo_max.bench.plan import Case, Plan
from yolo_max.support.errors import SourceError

SCHEMA = 2

RAN, ABSENT, LEFT_OUT, FAILED = "ran", "absent", "left out", "failed"
EMPTY, WARM = "empty", "warm"


@dataclass
class Parity:
    """Whether an engine agrees with PyTorch, on the same pixels in the same run.

    Attributes:
        holds: Whether it agrees, so that a speed-up may be shown.
        difference: Largest difference from PyTorch's f32 head, over all images.
        magnitude: Largest absolute value in that head.
        bound: Bound of the difference.
        text: The verdict in words.
    """

    holds: bool
    difference: float
    magnitude: float
    bound: float
    text: str


@dataclass
class Participant:
    """An engine, even if it did not run.

    Attributes:
        key: Its name on the command line.
        label: Its name in tables.
        precision: The precision it computes in.
        state: `RAN`, `ABSENT`, `LEFT_OUT` or `FAILED`.
        reason: Why it did not run, or failed; empty when it ran.
        log: The end of its process's output, when it failed.
        versions: Versions of its packages.
        parity: Its parity check, or None if it did not get that far.
    """

    key: str
    label: str
    precision: str
    state: str = RAN
    reason: str = ""
    log: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    parity: Parity | None = None

    @property
    def marked(self) -> bool:
        """Whether it computes in another precision than the reference."""
        return self.precision != "f32"

    @property
    def comparable(self) -> bool:
        """Whether its speed may be compared with another engine's."""
        return self.parity is not None and self.parity.holds


@dataclass
class CaseResult:
    """The samples of one case.

    Attributes:
        case: The case.
        orders: The order of the engines in each round.
        samples: By engine, round by round: milliseconds of each inference of one batch.
        warm_up: By engine: the number of inferences, and whether they became stable.
        skipped: By engine: why it has no samples.
    """

    case: Case
    orders: list[list[str]] = field(default_factory=list)
    samples: dict[str, list[list[float]]] = field(default_factory=dict)
    warm_up: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass
class ColdStart:
    """One start of a fresh process.

    Attributes:
        engine: Key of the engine, or `yolo_max.bench.cold.COMMAND`.
        cache: `EMPTY` or `WARM`.
        phases: Milliseconds: process, import, weights, build, first; a whole command has one, "total".
        peak_mib: Peak resident memory after some inferences; None for a command.
    """

    engine: str
    cache: str
    phases: dict[str, float]
    peak_mib: float | None = None

    @property
    def total_ms(self) -> float:
        """From the start of the process to the first result."""
        return sum(self.phases.values())


@dataclass
class StreamPoint:
    """`Predictor.stream` over a number of images, in a process of its own."""

    images: int
    images_per_second: float
    peak_mib: float


@dataclass
class BenchResults:
    """The results of one run.

    Attributes:
        plan: The plan.
        against: Key of the engine that ratios refer to.
        version: Version of yolo_max.
        started: Date and time, ISO 8601, UTC.
        seconds: Length of the run.
        host: See `yolo_max.runtime.host.record`.
        weights: Name, digest and classes of the weights.
        images: The number of images, and which were used for parity.
        engines: All engines, in the registry's order.
        cases: Timings.
        stages: By engine, round by round, image by image: milliseconds by stage.
        cold: Cold starts.
        stream: Growth over the number of images.
        notes: Sentences about what could not be measured.
    """

    plan: Plan
    against: str
    version: str
    started: str
    host: dict[str, Any]
    weights: dict[str, Any]
    images: dict[str, Any]
    engines: list[Participant]
    seconds: float = 0.0
    cases: list[CaseResult] = field(default_factory=list)
    stages: dict[str, list[list[dict[str, float]]]] = field(default_factory=dict)
    cold: list[ColdStart] = field(default_factory=list)
    stream: list[StreamPoint] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def engine(self, key: str) -> Participant:
        """The engine with this key."""
        return next(each for each in self.engines if each.key == key)

    def case(self, case: Case) -> CaseResult | None:
        """The samples of a case, or None if it was not measured."""
        return next((each for each in self.cases if each.case == case), None)

    def to_json(self) -> str:
        """The content of bench.json."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads bench.json.

        Raises:
            SourceError: The file is missing or is not a bench.json.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("schema") != SCHEMA:
                raise SourceError(f"{path} was written by another version of yolo-max bench; measure again.")
            plan: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in content.pop("plan").items()
            }
            return cls(
                plan=Plan(**plan),
                engines=[
                    Participant(**{**each, "parity": each["parity"] and Parity(**each["parity"])})
                    for each in content.pop("engines")
                ],
                cases=[CaseResult(**{**each, "case": Case(**each["case"])}) for each in content.pop("cases")],
                cold=[ColdStart(**each) for each in content.pop("cold")],
                stream=[StreamPoint(**each) for each in content.pop("stream")],
                **content,
            )
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror or error}.") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise SourceError(f"{path} was not written by yolo-max bench ({error!r}).") from error
