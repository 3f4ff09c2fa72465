from __future__ import annotations

import pytest

from automl_core.testing import CacheConformance

pytest_plugins = ["pytester"]

SUITE = """
import pytest
from automl_core.testing import CacheConformance
from automl_core import Cache

class Forgetful(Cache):
    def get(self, key): return None
    def set(self, key, value, *, ttl=None): pass
    def delete(self, key): pass

class TestForgetful(CacheConformance):
    supports_ttl = False
    expected_failures = {expected}

    @pytest.fixture
    def cache(self): return Forgetful()
"""
KEEPING = ("value_comes_back_byte_for_byte", "set_replaces", "odd_key_works", "new_value_takes_a_new_time")


def run(pytester: pytest.Pytester, expected: dict[str, str]) -> dict[str, int]:
    pytester.makepyfile(SUITE.replace("{expected}", repr(expected)))
    return pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider").parseoutcomes()


def test_checks_that_are_not_met_fail(pytester: pytest.Pytester) -> None:
    outcomes = run(pytester, {})
    assert outcomes["failed"] == 4 + 1 + 6 + 1
    assert outcomes["passed"] > 0


def test_expected_failures_are_no_failures(pytester: pytest.Pytester) -> None:
    outcomes = run(pytester, {f"test_{name}": "it forgets" for name in KEEPING})
    assert outcomes["xfailed"] == 12
    assert "failed" not in outcomes


def test_expected_failure_that_passes_fails(pytester: pytest.Pytester) -> None:
    outcomes = run(pytester, {f"test_{name}": "it forgets" for name in (*KEEPING, "unknown_key_is_a_miss")})
    assert outcomes["failed"] == 1


def test_failing_check_shows_what_it_compared(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE.replace("{expected}", "{}"))
    result = pytester.runpytest_inprocess("-q", "-k", "set_replaces")
    result.stdout.fnmatch_lines(["*assert None == b'new'*"])


def test_fixture_that_was_not_overridden_is_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("from automl_core.testing import CacheConformance\nclass TestCache(CacheConformance): pass")
    pytester.runpytest_inprocess("-q").stdout.fnmatch_lines(["*NotImplementedError: override the fixture `cache`*"])


@pytest.mark.parametrize("value", [None, lambda self, cache: None], ids=["none", "function"])
def test_redefined_check_is_an_error(value: object) -> None:
    with pytest.raises(TypeError, match=r"Mine redefines the check CacheConformance\.test_set_replaces"):
        type("Mine", (CacheConformance,), {"test_set_replaces": value})


def test_check_that_a_mixin_redefines_is_an_error() -> None:
    mixin = type("Mixin", (), {"test_set_replaces": lambda self: None})
    with pytest.raises(TypeError, match=r"Mixin redefines the check CacheConformance\.test_set_replaces"):
        type("Mine", (mixin, CacheConformance), {})


def test_unknown_expected_failure_is_an_error() -> None:
    with pytest.raises(TypeError, match="names 'test_nothing', which is no check"):
        type("Mine", (CacheConformance,), {"expected_failures": {"test_nothing": "reason"}})


def test_expected_failure_without_a_reason_is_an_error() -> None:
    with pytest.raises(TypeError, match="gives no reason for 'test_set_replaces'"):
        type("Mine", (CacheConformance,), {"expected_failures": {"test_set_replaces": ""}})


def test_own_checks_may_be_added() -> None:
    added = type("Mine", (CacheConformance,), {"test_of_my_own": lambda self: None})
    assert issubclass(added, CacheConformance)
