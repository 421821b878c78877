"""PyTorch's side of benches/lstm.rs: threads and lengths as arguments, names of parts on standard input."""

import sys
import time

import torch
from torch.nn.utils.rnn import pack_padded_sequence

torch.set_num_threads(int(sys.argv[1]))
lengths = torch.tensor([int(length) for length in sys.argv[2].split(",")])
x = torch.randn(len(lengths), 375, 20)
lstm = torch.nn.LSTM(20, 64, batch_first=True)


def last_hidden():
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    return lstm(packed)[1][0][0]


def forward():
    with torch.no_grad():
        last_hidden()


def both():
    lstm.zero_grad(set_to_none=True)
    last_hidden().sum().backward()


for line in sys.stdin:
    run = {"forward": forward, "both": both}[line.strip()]
    start = time.perf_counter()
    run()
    print(time.perf_counter() - start, flush=True)
