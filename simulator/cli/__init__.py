"""The command line: a thin translator to the Python API, so that both give equal numbers.

One file a command, listed in :data:`simulator.cli.main.COMMANDS`. Nothing heavy is imported until a command
runs, which keeps ``xdsim --help`` and the message for a typo under a tenth of a second.
"""
