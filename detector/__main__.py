"""The console entry point; `python -m detector` is `querywatch`."""

from __future__ import annotations

from detector import interrupt


def main() -> None:
    """Run the command line, which takes a moment to load."""
    interrupt.end_at_once()
    from detector import cli

    cli.main()


if __name__ == "__main__":
    main()
