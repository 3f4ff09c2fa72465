"""What all conformance suites share: checks cannot be redefined, and expected failures are strict."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

import pytest

__all__ = ["Conformance", "at_once"]

T = TypeVar("T")


class Conformance:
    """Base of the suites. Inherit one in a test module, and override the fixture named as the kind.

    Attributes:
        expected_failures: {check: reason} for checks that this implementation does not meet; each becomes a strict
            xfail, so that one which passes after all is reported. First-party plugins have none.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        owners: dict[str, str] = {}
        for base in cls.__mro__:
            for name in (name for name in vars(base) if name.startswith("test_")):
                if name in owners:
                    raise TypeError(
                        f"{owners[name]} redefines the check {base.__name__}.{name}; a failure that is known belongs "
                        f"in expected_failures, with its reason"
                    )
                owners[name] = base.__name__
        for name, reason in cls.expected_failures.items():
            if name not in owners:
                raise TypeError(f"{cls.__name__}.expected_failures names {name!r}, which is no check")
            if not reason:
                raise TypeError(f"{cls.__name__}.expected_failures gives no reason for {name!r}")

    @pytest.fixture(autouse=True)
    def _expect_failures(self, request: pytest.FixtureRequest) -> None:
        reason = self.expected_failures.get(request.function.__name__)
        if reason:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """Run `work(0) .. work(count - 1)` in as many threads, which all start together."""
    gate = threading.Barrier(count)

    def wait_and_work(number: int) -> T:
        gate.wait(30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(wait_and_work, range(count)))
