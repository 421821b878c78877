"""PyTorch's side of benches/bert.rs: threads and lengths as arguments, names of parts on standard input."""

import sys
import time

import torch
from torch import nn
from torch.nn import functional

torch.set_num_threads(int(sys.argv[1]))
lengths = [int(length) for length in sys.argv[2].split(",")]
HIDDEN, HEADS, WIDE, LAYERS, VOCABULARY = 384, 12, 1536, 6, 30522


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.joined = (nn.Linear(HIDDEN, HIDDEN) for _ in range(4))
        self.wide, self.narrow = nn.Linear(HIDDEN, WIDE), nn.Linear(WIDE, HIDDEN)
        self.first, self.second = nn.LayerNorm(HIDDEN, 1e-12), nn.LayerNorm(HIDDEN, 1e-12)

    def forward(self, x, mask):
        def drop(values):
            return functional.dropout(values, 0.1, self.training)

        def split(values):
            return values.view(*x.shape[:2], HEADS, -1).transpose(1, 2)

        heads = functional.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(x)), split(self.value(x)), mask, 0.1 if self.training else 0.0
        )
        attended = self.first(x + drop(self.joined(heads.transpose(1, 2).reshape(x.shape))))
        return self.second(attended + drop(self.narrow(functional.gelu(self.wide(attended)))))


class Bert(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(VOCABULARY, HIDDEN), nn.Embedding(512, HIDDEN)
        self.types, self.norm = nn.Embedding(2, HIDDEN), nn.LayerNorm(HIDDEN, 1e-12)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, ids, mask):
        places = torch.arange(ids.shape[1])
        x = self.norm(self.words(ids) + self.places(places) + self.types.weight[0])
        x = functional.dropout(x, 0.1, self.training)
        for layer in self.layers:
            x = layer(x, mask)
        return x[:, 0]


bert = Bert()
ids = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
mask = torch.zeros(len(lengths), 1, 1, max(lengths), dtype=torch.bool)
for row, length in enumerate(lengths):
    ids[row, :length] = 1000 + 97 * torch.arange(length)
    mask[row, ..., :length] = True


def forward():
    bert.eval()
    with torch.no_grad():
        bert(ids, mask)


def both():
    bert.train()
    bert.zero_grad(set_to_none=True)
    bert(ids, mask).sum().backward()


for line in sys.stdin:
    run = {"forward": forward, "both": both}[line.strip()]
    start = time.perf_counter()
    run()
    print(time.perf_counter() - start, flush=True)
