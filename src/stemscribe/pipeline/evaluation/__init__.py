"""Measuring jobs, or what another tool made, against references: the way from a folder to figures.

Where transcripts and stems come from is a `Source`: jobs of ours in one setting, or a folder of results. Jobs are
ordinary jobs: what is done is taken as it is, and an evaluation that was interrupted goes on.
"""
