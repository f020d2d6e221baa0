"""`python -m cdm_assets` is the `cdm` command."""

from cdm_assets.cli import main

main()
