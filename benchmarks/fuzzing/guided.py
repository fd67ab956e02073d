"""One target under atheris, in a process of its own: `python -m benchmarks.fuzzing.guided TARGET OPTIONS...`.

Only Python code is instrumented; a compiled kernel shows the fuzzer nothing. So every line is also parsed by
the json module's Python code, whose branches are those of JSON's grammar.
"""

from __future__ import annotations

import sys
from typing import Any

import atheris

from benchmarks.fuzzing.kernels import INSTRUMENTED, kernels


def main() -> None:
    """Fuzz until libFuzzer's options say so; it ends the process."""
    target = sys.argv.pop(1)
    for name in ("json.decoder", "json.scanner"):
        sys.modules.pop(name, None)
    with atheris.instrument_imports(include=INSTRUMENTED, exclude=kernels()):
        from json import decoder, scanner

        from benchmarks.fuzzing.decoders import TARGETS

    run = TARGETS[target]
    grammar = _grammar(decoder, scanner)

    def once(data: bytes) -> None:
        for line in data.split(b"\n"):
            try:
                grammar(line.decode())
            except (ValueError, RecursionError):
                continue
        run(data)

    run(b"")  # here, so that compiling kernels is not taken for an input that hangs
    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


def _grammar(decoder: Any, scanner: Any) -> Any:
    """The decoder of JSON that is all Python."""
    plain = decoder.JSONDecoder()
    plain.parse_string = decoder.py_scanstring
    plain.scan_once = scanner.py_make_scanner(plain)
    return plain.decode


if __name__ == "__main__":
    main()
