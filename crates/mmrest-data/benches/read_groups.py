"""Reads every entry of a computational sequence with h5py; prints entries, values, CPU seconds and wall seconds."""

import sys
import time

import h5py

cpu, wall = time.process_time(), time.perf_counter()
entries = values = 0
with h5py.File(sys.argv[1], "r") as file:
    (root,) = file.keys()
    data = file[root]["data"]
    for key in data.keys():
        group = data[key]
        values += group["features"][()].size + group["intervals"][()].size
        entries += 1
print(entries, values, time.process_time() - cpu, time.perf_counter() - wall)
