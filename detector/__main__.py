"""The console entry point; `python -m detector` is `querywatch`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; Ctrl-C, also while it is still being loaded, is one line and exit code 130."""
    try:
        from detector import cli

        cli.main()
    except KeyboardInterrupt:
        sys.stderr.write("querywatch: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
