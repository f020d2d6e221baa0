"""The code location that `workspace.yaml` names."""

import os
import warnings

from dagster import BetaWarning, PreviewWarning

from cdm_assets.operations.variables import load_variables_file
from cdm_assets.orchestration.code_location import build_definitions
from cdm_assets.settings import Settings

load_variables_file(os.environ)
# Range backfills are beta and partitioned checks preview in the pinned Dagster; once a table is enough to know it.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", BetaWarning)
    warnings.simplefilter("ignore", PreviewWarning)
    defs = build_definitions(Settings.from_environment())
