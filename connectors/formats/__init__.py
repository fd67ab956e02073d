"""Log formats, one a file: bytes in, a `Record` or a `DeadLetter` out."""
