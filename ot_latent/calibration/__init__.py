"""Self-calibration of the extended map: its numbers chosen from the training codes alone.

A part of the training codes is held out; candidates are judged by how codes made from the rest
compare with it. Test data play no part. The criterion is a heuristic, its figures are estimates.
"""
