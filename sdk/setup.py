"""The compiled kernel: optional, as numpy stands in where there is no compiler."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "automl.predictor._kernel",
            ["src/automl/predictor/_kernel.c"],
            depends=[
                f"src/automl/predictor/_{name}.h"
                for name in ("columns", "forest", "network", "program", "rows", "shap", "trees")
            ],
            extra_compile_args=["-O3", "-ffp-contract=off"],
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
