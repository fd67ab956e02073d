"""Every decoder of foreign bytes, fuzzed under the guidance of its coverage by atheris (libFuzzer)."""
