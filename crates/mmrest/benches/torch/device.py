"""The other side of `cargo xtask bench --backend cuda --against torch`: training steps and epochs of the published method.

Usage: device.py WORK DEVICE PRECISION [quick]. Speaks as speed.py does: prints "ready" when all is set up; then, for every line it
reads, does the work once and prints the seconds it took, read when the device has nothing left to do. The line "memory" gets the
most memory held in MiB (of the device: what PyTorch's allocator reserved), the line "device" what it computes on.

Text is padded to the longest of the batch, sequences are packed, L_MMC is vectorised, matrices are projected by eigh, gradients
clipped, Adam fused. The loss is read each step, as mmrest does. bf16 is autocast. Needs: torch, transformers.
"""

import resource
import sys
import time

import torch
from torch import nn
from transformers import BertConfig, BertModel

WORK, DEVICE, PRECISION = sys.argv[1:4]
QUICK = "quick" in sys.argv[4:]
ON_GPU = DEVICE.startswith("cuda")
HIDDEN, CLUSTERS = 64, 7
torch.manual_seed(1)
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = PRECISION == "tf32"


def bert(width, layers, heads, inner, vocab):
    config = BertConfig(vocab_size=vocab, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
                        intermediate_size=inner, max_position_embeddings=512)
    return BertModel(config, add_pooling_layer=False)


class Model(nn.Module):
    def __init__(self, text, sequences, cached):
        super().__init__()
        self.bert = None if cached else bert(*text)
        self.project = nn.Linear(text[0], HIDDEN)
        self.lstms = nn.ModuleList([nn.LSTM(n, HIDDEN, batch_first=True) for n, _ in sequences])
        self.linear = nn.ModuleList([nn.Linear(HIDDEN, HIDDEN) for _ in sequences])
        widths = [text[0]] + [HIDDEN] * len(sequences)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(d, 50), nn.ReLU()) for d in widths])
        self.joint = nn.Linear(50 * len(widths), 512)
        self.mlp = nn.Sequential(nn.Dropout(0.1), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1))
        self.globally = nn.Parameter(torch.eye(HIDDEN))
        self.locally = nn.Parameter(torch.eye(HIDDEN).repeat(CLUSTERS, 1, 1) * 0.1)

    def metrics(self):
        return self.globally + self.locally + 0.01 * torch.eye(HIDDEN, device=self.globally.device)

    def forward(self, text, sequences, centers):
        first = text
        if self.bert is not None:
            ids, mask = text
            first = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0].float()
        seen = []
        for lstm, linear, (frames, lengths) in zip(self.lstms, self.linear, sequences):
            packed = nn.utils.rnn.pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
            seen.append(torch.relu(linear(lstm(packed)[1][0][-1])).float())
        rows = torch.cat([self.project(first).float(), *seen])
        blocks = torch.cat([b(x) for b, x in zip(self.blocks, (first, *seen))], dim=1)
        score = self.mlp(torch.relu(self.joint(blocks))).squeeze(1).float()
        bias = projection(rows, centers, self.metrics()).view(1 + len(seen), -1).mean(0)
        return rows, score + 0.05 * bias


def distances(rows, centers, metrics):
    d = rows[:, None] - centers[None]
    return torch.einsum("nkd,kde,nke->nk", d, metrics, d)


def projection(rows, centers, metrics):
    near = distances(rows, centers, metrics).topk(2, largest=False).indices
    first, second, metric = centers[near[:, 0]], centers[near[:, 1]], metrics[near[:, 0]]
    axis = second - first
    along = torch.einsum("nd,nde,ne->n", rows - first, metric, axis)
    return along / (torch.einsum("nd,nde,ne->n", axis, metric, axis) + 1e-8)


def mmc_loss(rows, bins, fields, centers, metrics, globally):
    members = rows[fields]  # [K, M, d]
    weight = 2 * (bins[fields][:, :, None] == bins[fields][:, None]).float() - 1
    weight = weight * (1 - torch.eye(weight.shape[1], device=rows.device))
    laplacian = torch.diag_embed(weight.sum(2)) - weight
    spread = members.mT @ laplacian @ members
    intra = torch.relu(3.0 + (metrics * spread).sum((1, 2)) / (weight.shape[1] * (weight.shape[1] - 1))).sum()
    apart = distances(rows, centers, metrics)
    nearest = torch.cdist(rows.detach(), centers).argmin(dim=1)
    margin = torch.cdist(centers, centers)[nearest] ** 2
    inter = torch.relu(apart.gather(1, nearest[:, None]) - apart + margin).sum()
    return (intra + 0.8 * inter + (globally**2).sum()) / len(rows)


def project_psd(m):
    values, vectors = torch.linalg.eigh(((m + m.mT) / 2).double())
    return ((vectors * values.clamp(min=0)[..., None, :]) @ vectors.mT).float()


MINILM, BASE, TINY = (384, 6, 12, 1536, 30522), (768, 12, 12, 3072, 30522), (64, 2, 4, 128, 117)
# Text encoder, sequences (features, longest; as long as the text where that is None), segments, batch, cached, an epoch a round.
WORKS = {
    "step-minilm": (MINILM, [(75, None)], 1284, 64, False, False),
    "step-base": (BASE, [(75, None)], 1284, 64, False, False),
    "step-long": (TINY, [(74, 500), (35, 300)], 1284, 64, False, False),
    "mosei-frozen": (BASE, [(74, None), (35, None)], 16326, 128, True, True),
    "mosei": (BASE, [(74, None), (35, None)], 16326, 128, False, True),
}


class Work:
    def __init__(self):
        text, sequences, segments, size, cached, self.epoch = WORKS[WORK]
        if QUICK:
            text, segments, size = TINY, 32, 8
            sequences = [(features, longest and 20) for features, longest in sequences]
        self.model = Model(text, sequences, cached).to(DEVICE)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4, weight_decay=1e-4, fused=ON_GPU)
        self.centers = torch.randn(CLUSTERS, HIDDEN, device=DEVICE)
        self.edges = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], device=DEVICE)
        self.batches = [self.batch(text, sequences, size, cached) for _ in range(segments // size)]
        self.at = 0

    def batch(self, text, sequences, size, cached):
        """On the host, as a loader has it."""
        tokens = torch.clamp((3 + 11.8 * -torch.log(1 - torch.rand(size) * 0.985)).long(), max=50)
        if cached:
            texts = torch.randn(size, text[0])
        else:
            ids = torch.randint(5, text[4], (size, int(tokens.max())))
            texts = ids, (torch.arange(ids.shape[1])[None] < tokens[:, None]).long()
        seen = []
        for features, longest in sequences:
            lengths = torch.clamp(tokens - 2, min=1)
            if longest is not None:
                lengths = torch.clamp((longest * (0.1 + 0.9 * torch.rand(size))).long(), min=1)
            seen.append((torch.randn(size, int(lengths.max()), features), lengths))
        return texts, seen, torch.rand(size) * 6 - 3

    def step(self):
        text, sequences, labels = self.batches[self.at % len(self.batches)]
        self.at += 1
        text = tuple(part.to(DEVICE) for part in text) if isinstance(text, tuple) else text.to(DEVICE)
        sequences = [(frames.to(DEVICE), lengths) for frames, lengths in sequences]
        labels = labels.to(DEVICE)
        with torch.autocast(DEVICE.split(":")[0], torch.bfloat16, enabled=PRECISION == "bf16"):
            rows, prediction = self.model(text, sequences, self.centers)
        model = self.model
        bins = torch.bucketize(labels, self.edges).repeat(1 + len(sequences))
        count = min(32, len(rows))
        fields = torch.cdist(rows.detach(), self.centers).topk(count, dim=0, largest=False).indices.T
        loss = (prediction - labels).abs().mean() + 0.01 * mmc_loss(
            rows, bins, fields, self.centers, model.metrics(), model.globally
        )
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            model.globally.copy_(project_psd(model.globally))
            model.locally.copy_(project_psd(model.locally))
        return loss.item()

    def round(self):
        for _ in range(len(self.batches) if self.epoch else 1):
            self.step()


def finish():
    if ON_GPU:
        torch.cuda.synchronize()


def memory():
    if ON_GPU:
        return torch.cuda.max_memory_reserved() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    work = Work()
    for _ in range(1 if QUICK else 6):
        work.step()
    finish()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            print(memory(), flush=True)
        elif line.strip() == "device":
            name = torch.cuda.get_device_name(DEVICE) if ON_GPU else "the CPU"
            print(f"{torch.__version__} on {name}", flush=True)
        else:
            start = time.perf_counter()
            work.round()
            finish()
            print(time.perf_counter() - start, flush=True)


main()
