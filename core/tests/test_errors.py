from __future__ import annotations

import pytest

from automl_core import (
    AutoMLError,
    BudgetError,
    ComponentUnavailable,
    DataError,
    PluginError,
    SettingsError,
    did_you_mean,
)


@pytest.mark.parametrize("error", [BudgetError, ComponentUnavailable, DataError, PluginError, SettingsError])
def test_all_errors_are_of_one_family(error: type[Exception]) -> None:
    assert issubclass(error, AutoMLError)


@pytest.mark.parametrize(
    ("word", "hint"), [("lightgmb", " Did you mean 'lightgbm'?"), ("ray", " Did you mean 'ray'?"), ("quite other", "")]
)
def test_close_word_is_offered(word: str, hint: str) -> None:
    assert did_you_mean(word, ["lightgbm", "ray"]) == hint
