"""The whole platform as a user has it: `cdm ui` running, files put into a folder, pages looked at in a browser."""
