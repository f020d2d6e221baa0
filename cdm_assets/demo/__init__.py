"""The demo landing area: one folder of extracts per business date, as a Marketing Data Mart would hand them over.

What lives here: reading the public Complete Journey data (`completejourney`), cutting it into daily extracts (one
module a subject), inventing what the public data lacks from seeded generators (`seeds`), and writing the folders
(`landing_area`, which holds the one entry point, `write_landing_area`).

What does not: anything that reads a landing area. This package imports nothing else of `cdm_assets`, so that what the
platform loads in the demo is made independently of the code that loads it.
"""
