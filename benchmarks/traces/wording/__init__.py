"""Texts as people and programs write them: what they are taken from, who sends them, and how they are edited.

The data set `text` holds vectors only, and its clients and attackers add vectors of words to them. Here
everybody edits strings, as one must who can send nothing else; the log still holds the vectors that the
detector makes of them.
"""
