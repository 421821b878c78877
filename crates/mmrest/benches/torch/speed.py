"""The other side of `cargo xtask bench --against torch`: the same work in PyTorch, scikit-learn and tokenizers.

Usage: speed.py WORK THREADS. Prints "ready" when all is set up; then, for every line it reads, does the work once and
prints the seconds it took. The line "memory" gets the most memory the process held at one time, in MiB.

Needs: torch, transformers, tokenizers, scikit-learn, numpy.
"""

import resource
import sys
import time

THREADS = int(sys.argv[2])

import numpy as np
import torch
from torch import nn

torch.set_num_threads(THREADS)
torch.manual_seed(1)

BATCH = 64
SEGMENTS = 1284  # CMU-MOSI's training split
HIDDEN = 64  # the shared space
CLUSTERS = 7


class Mix:
    """SplitMix64: both sides of a comparison draw the same lengths."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    def uniform(self):
        return (self.next() >> 11) / (1 << 53)


def token_lengths(count, seed):
    """Lengths distributed as CMU-MOSI's texts in tokens: mean 14.8, at most 50 (see lengths.rs)."""
    mix = Mix(seed)
    return [min(50, 3 + int(11.8 * -np.log(1.0 - mix.uniform() * 0.985))) for _ in range(count)]


def frame_lengths(count, seed, longest):
    """Lengths of sequences, evenly between a tenth of the longest and the longest (see lengths.rs)."""
    mix = Mix(seed)
    return [max(1, int(longest * (0.1 + 0.9 * mix.uniform()))) for _ in range(count)]


def tokens(lengths, seed):
    mix = Mix(seed)
    return [[1000 + mix.next() % 28000 for _ in range(n)] for n in lengths]


def padded(sequences, to):
    ids = torch.zeros(len(sequences), to, dtype=torch.long)
    mask = torch.zeros(len(sequences), to, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    return ids, mask


def minilm():
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=512,
    )
    return BertModel(config, add_pooling_layer=False)


def mpnet():
    from transformers import MPNetConfig, MPNetModel

    config = MPNetConfig(vocab_size=30527, max_position_embeddings=514, layer_norm_eps=1e-5)
    return MPNetModel(config, add_pooling_layer=False)


ENCODERS = {"bert": (minilm, 384), "mpnet": (mpnet, 768), "cached": (lambda: None, 384)}


def last_hidden(lstm, frames, lengths):
    packed = nn.utils.rnn.pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
    _, (hidden, _) = lstm(packed)
    return hidden[-1]


class Model(nn.Module):
    """Text and audio encoders, attention-free fusion, cluster metrics: the published model without vision."""

    def __init__(self, text):
        super().__init__()
        make, width = ENCODERS[text]
        self.bert = make()
        self.project = nn.Linear(width, HIDDEN)
        self.lstm = nn.LSTM(75, HIDDEN, batch_first=True)
        self.audio = nn.Linear(HIDDEN, HIDDEN)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(d, 50), nn.ReLU()) for d in (width, HIDDEN)])
        self.joint = nn.Linear(100, 512)
        self.mlp = nn.Sequential(
            nn.Dropout(0.1), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1)
        )
        self.globally = nn.Parameter(torch.eye(HIDDEN))
        self.locally = nn.Parameter(torch.eye(HIDDEN).repeat(CLUSTERS, 1, 1) * 0.1)

    def metrics(self):
        return self.globally + self.locally + 0.01 * torch.eye(HIDDEN)

    def forward(self, text, frames, lengths, centers):
        if self.bert is not None:
            ids, mask = text
            first = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        else:
            first = text
        audio = torch.relu(self.audio(last_hidden(self.lstm, frames, lengths)))
        rows = torch.cat([self.project(first), audio])
        blocks = torch.cat([block(x) for block, x in zip(self.blocks, (first, audio))], dim=1)
        score = self.mlp(torch.relu(self.joint(blocks))).squeeze(1)
        bias = projection(rows, centers, self.metrics()).view(2, -1).mean(0)
        return rows, score + 0.05 * bias


def distances(rows, centers, metrics):
    difference = rows[:, None] - centers[None]
    return torch.einsum("nkd,kde,nke->nk", difference, metrics, difference)


def projection(rows, centers, metrics):
    """The geometric projection bias of every row."""
    near = distances(rows, centers, metrics).topk(2, largest=False).indices
    first, second = centers[near[:, 0]], centers[near[:, 1]]
    metric = metrics[near[:, 0]]
    axis = second - first
    along = torch.einsum("nd,nde,ne->n", rows - first, metric, axis)
    length = torch.einsum("nd,nde,ne->n", axis, metric, axis)
    return along / (length + 1e-8)


def mmc_loss(rows, bins, fields, centers, metrics, globally):
    """L_MMC, vectorised over the pairs of a receptive field by their signed graph Laplacian."""
    intra = rows.new_zeros(())
    for cluster, field in enumerate(fields):
        members = rows[field]
        same = (bins[field][:, None] == bins[field][None]).float()
        weight = 2 * same - 1
        weight.fill_diagonal_(0)
        laplacian = torch.diag(weight.sum(1)) - weight
        spread = members.T @ laplacian @ members
        pairs = len(field) * (len(field) - 1)
        intra = intra + torch.relu(3.0 + (metrics[cluster] * spread).sum() / pairs)
    apart = distances(rows, centers, metrics)
    nearest = torch.cdist(rows.detach(), centers).argmin(dim=1)
    own = apart.gather(1, nearest[:, None])
    margin = torch.cdist(centers, centers)[nearest] ** 2
    inter = torch.relu(own - apart + margin).sum()
    return (intra + 0.8 * inter + (globally**2).sum()) / len(rows)


def project_psd(matrices):
    values, vectors = torch.linalg.eigh((matrices + matrices.mT) / 2)
    return (vectors * values.clamp(min=0)[..., None, :]) @ vectors.mT


def nearest_fields(rows, centers, count):
    return torch.cdist(rows, centers).topk(min(count, len(rows)), dim=0, largest=False).indices.T


class Step:
    """One training step of the published method, text fine-tuned or cached."""

    def __init__(self, text, pad_to=None, bucketed=False, batch=BATCH):
        self.model = Model(text)
        self.text, self.pad_to = text, pad_to
        self.bucketed, self.size = bucketed, batch
        lengths = token_lengths(SEGMENTS, 7)
        self.tokens = tokens(lengths, 8)
        self.first = torch.randn(SEGMENTS, 384)
        self.frame_lengths = [max(1, n - 2) for n in lengths]
        self.frames = [torch.randn(n, 75) for n in self.frame_lengths]
        self.labels = torch.rand(SEGMENTS) * 6 - 3
        self.centers = torch.randn(CLUSTERS, HIDDEN)
        metrics = [self.model.globally, self.model.locally]
        own = {id(p) for p in metrics}
        bert = list(self.model.bert.parameters()) if self.model.bert is not None else []
        text_ids = {id(p) for p in bert}
        rest = [p for p in self.model.parameters() if id(p) not in own | text_ids]
        groups = [{"params": rest, "lr": 1e-4}, {"params": metrics, "lr": 1e-4}]
        if bert:
            groups.append({"params": bert, "lr": 5e-5})
        self.optimizer = torch.optim.Adam(groups, weight_decay=1e-4)
        self.batches = self.split()
        self.at = 0

    def split(self):
        order = list(range(SEGMENTS))
        if self.bucketed:
            order.sort(key=lambda row: len(self.tokens[row]))
        return [order[i : i + self.size] for i in range(0, SEGMENTS - self.size + 1, self.size)]

    def batch(self, rows):
        if self.text != "cached":
            chosen = [self.tokens[row] for row in rows]
            text = padded(chosen, self.pad_to or max(map(len, chosen)))
        else:
            text = self.first[rows]
        frames = nn.utils.rnn.pad_sequence([self.frames[row] for row in rows], batch_first=True)
        lengths = torch.tensor([self.frame_lengths[row] for row in rows])
        return text, frames, lengths, self.labels[rows]

    def step(self):
        rows = self.batches[(self.at * 7) % len(self.batches)]
        self.at += 1
        text, frames, lengths, labels = self.batch(rows)
        self.model.train()
        shared, prediction = self.model(text, frames, lengths, self.centers)
        bins = torch.bucketize(labels, torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])).repeat(2)
        fields = nearest_fields(shared.detach(), self.centers, 32)
        loss = (prediction - labels).abs().mean() + 0.01 * mmc_loss(
            shared, bins, fields, self.centers, self.model.metrics(), self.model.globally
        )
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.globally.copy_(project_psd(self.model.globally.double()).float())
            self.model.locally.copy_(project_psd(self.model.locally.double()).float())

    def epoch(self):
        for _ in self.batches:
            self.step()

    def cluster(self):
        """Clusters the representations of the training set, from the centres in force."""
        from sklearn.cluster import KMeans

        self.model.eval()
        with torch.inference_mode():
            rows = [self.model(*self.batch(batch)[:3], self.centers)[0] for batch in self.batches]
        start = self.centers.numpy()
        found = KMeans(CLUSTERS, init=start, n_init=1, max_iter=100).fit(torch.cat(rows).numpy())
        self.centers = torch.tensor(found.cluster_centers_)

    def whole_epoch(self):
        self.cluster()
        self.epoch()


def step_padded():
    return Step("bert", pad_to=50).step


def step_bucketed():
    return Step("bert", bucketed=True).step


def step_mpnet():
    return Step("mpnet", batch=16).step


def epoch():
    return Step("bert", pad_to=50).whole_epoch


def epoch_steps():
    return Step("bert", pad_to=50).epoch


def epoch_frozen():
    return Step("cached").epoch


def lstm():
    lengths = torch.tensor(frame_lengths(BATCH, 3, 375))
    frames = torch.randn(BATCH, 375, 20)
    model = nn.LSTM(20, HIDDEN, batch_first=True)

    def work():
        model.zero_grad()
        last_hidden(model, frames, lengths).sum().backward()

    return work


def forward(model, texts):
    model.eval()
    sequences = tokens(token_lengths(texts, 7), 8)
    sequences.sort(key=len)
    batches = [sequences[i : i + BATCH] for i in range(0, len(sequences), BATCH)]

    def work():
        with torch.inference_mode():
            for batch in batches:
                ids, mask = padded(batch, max(map(len, batch)))
                model(input_ids=ids, attention_mask=mask)

    return work


def kmeans():
    from sklearn.cluster import KMeans

    rows = rows_of(192)

    def work():
        KMeans(CLUSTERS, n_init=10, max_iter=100, tol=1e-4).fit(rows)

    return work


def rows_of(count):
    """Rows around seven centres (see kernels.rs)."""
    mix = Mix(5)
    centers = np.array([[4 * mix.uniform() for _ in range(HIDDEN)] for _ in range(CLUSTERS)])
    noise = np.array([[mix.uniform() for _ in range(HIDDEN)] for _ in range(count)])
    return (centers[np.arange(count) % CLUSTERS] + noise).astype(np.float32)


def mmc(count):
    rows = torch.tensor(rows_of(count), requires_grad=True)
    globally = torch.eye(HIDDEN, requires_grad=True)
    locally = (torch.eye(HIDDEN).repeat(CLUSTERS, 1, 1) * 0.1).requires_grad_()
    bins = torch.arange(count) % 7
    centers = torch.tensor(rows_of(CLUSTERS))
    fields = nearest_fields(rows.detach(), centers, 32)

    def work():
        for leaf in (rows, globally, locally):
            leaf.grad = None
        metrics = globally + locally + 0.01 * torch.eye(HIDDEN)
        mmc_loss(rows, bins, fields, centers, metrics, globally).backward()

    return work


def psd():
    matrices = torch.randn(8, HIDDEN, HIDDEN, dtype=torch.float64)
    return lambda: project_psd(matrices)


def tokenize():
    from tokenizers import BertWordPieceTokenizer

    with open(sys.argv[3], encoding="utf-8") as file:
        texts = file.read().splitlines()
    tokenizer = BertWordPieceTokenizer(sys.argv[4], lowercase=True)
    tokenizer.enable_truncation(50)
    return lambda: tokenizer.encode_batch(texts)


def predict_texts():
    from tokenizers import BertWordPieceTokenizer

    with open(sys.argv[3], encoding="utf-8") as file:
        texts = file.read().splitlines()
    tokenizer = BertWordPieceTokenizer(sys.argv[4], lowercase=True)
    tokenizer.enable_truncation(50)
    model, score = minilm().eval(), nn.Linear(384, 1)

    def work():
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH):
                encoded = tokenizer.encode_batch(texts[start : start + BATCH])
                ids, mask = padded([one.ids for one in encoded], max(len(one.ids) for one in encoded))
                score(model(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]).tolist()

    return work


WORKS = {
    "step-padded": step_padded,
    "step-bucketed": step_bucketed,
    "step-mpnet": step_mpnet,
    "epoch": epoch,
    "epoch-steps": epoch_steps,
    "epoch-frozen": epoch_frozen,
    "lstm": lstm,
    "bert-forward": lambda: forward(minilm(), 512),
    "mpnet-forward": lambda: forward(mpnet(), 128),
    "kmeans": kmeans,
    "mmc-192": lambda: mmc(192),
    "mmc-384": lambda: mmc(384),
    "psd": psd,
    "predict-texts": predict_texts,
    "tokenize": tokenize,
}


def main():
    work = WORKS[sys.argv[1]]()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)
            continue
        start = time.perf_counter()
        work()
        print(time.perf_counter() - start, flush=True)


main()
