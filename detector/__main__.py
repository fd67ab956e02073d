"""`python -m detector` is `querywatch`."""

from detector.cli import main

main()
