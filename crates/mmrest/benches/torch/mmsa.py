"""The other side of `cargo xtask bench --against mmsa`: MMSA's own trainers, step by step, on made-up batches.

Usage: mmsa.py MODEL THREADS. Prints "ready" once a first batch is asked for; then, for every line it reads, lets the trainer
take one step and prints the seconds it took. The line "memory" gets the most memory the process held, in MiB.

A step is what the trainer does between two batches that it takes from its loader; what it does at the end of an epoch does
not count. Needs: MMSA, transformers 4.38.
"""

import os
import queue
import resource
import sys
import tempfile
import threading
import time

os.environ["TQDM_DISABLE"] = "1"
NAME, THREADS = sys.argv[1], int(sys.argv[2])

import numpy as np
import torch

torch.set_num_threads(THREADS)
torch.manual_seed(1)

from easydict import EasyDict
from MMSA.config import get_config_regression
from MMSA.models import AMIO
from MMSA.trains import ATIO
from transformers import BertConfig, BertModel

PLATEAU = torch.optim.lr_scheduler.ReduceLROnPlateau
PLATEAU_INIT = PLATEAU.__init__


def without_verbose(self, *args, verbose=None, **kwargs):
    """PyTorch has dropped an argument that MMSA still gives."""
    PLATEAU_INIT(self, *args, **kwargs)


PLATEAU.__init__ = without_verbose

# As systems.rs has them.
BATCH, BATCHES = 32, 8
AUDIO, VISION = 5, 20
FRAMES = (150, 120)
TOKENS, HIDDEN = 50, 768

MODELS = {
    "tfn": "tfn",
    "lmf": "lmf",
    "mult": "mult",
    "misa": "misa",
    "self-mm": "self_mm",
    "mag-bert": "bert_mag",
    "mmim": "mmim",
}


class Mix:
    """SplitMix64: both sides of a comparison draw the same lengths."""

    def __init__(self, seed):
        self.state = seed

    def uniform(self):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return ((z ^ (z >> 31)) >> 11) / (1 << 53)


def token_lengths(count):
    mix = Mix(7)
    return [min(TOKENS, 3 + int(11.8 * -np.log(1.0 - mix.uniform() * 0.985))) for _ in range(count)]


def frame_lengths(count, longest):
    mix = Mix(3)
    return [max(1, int(longest * (0.1 + 0.9 * mix.uniform()))) for _ in range(count)]


def encoder(folder):
    """A BERT of four layers with the width of BERT-base, as files that MMSA loads. MAG-BERT asks for this name."""
    folder = os.path.join(folder, "bert-base-uncased")
    config = BertConfig(num_hidden_layers=4, hidden_size=HIDDEN)
    BertModel(config).save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += [f"word{i}" for i in range(config.vocab_size - len(words))]
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(words))
    return folder


def padded(lengths, longest, width):
    frames = torch.zeros(len(lengths), longest, width)
    for row, length in enumerate(lengths):
        frames[row, :length] = 2 * torch.rand(length, width) - 1
    return frames


def batches(aligned, states):
    """Batches as MMSA's loader makes them: everything padded to a fixed length."""
    count = BATCH * BATCHES
    tokens = token_lengths(count)
    lengths = {"audio": frame_lengths(count, FRAMES[0]), "vision": frame_lengths(count, FRAMES[1])}
    longest = {"audio": FRAMES[0], "vision": FRAMES[1]}
    if aligned:
        lengths, longest = dict.fromkeys(lengths, tokens), dict.fromkeys(longest, TOKENS)
    for first in range(0, count, BATCH):
        rows = slice(first, first + BATCH)
        own = tokens[rows]
        if states:
            text = padded(own, TOKENS, HIDDEN)
        else:
            text = torch.zeros(BATCH, 3, TOKENS)
            for row, length in enumerate(own):
                text[row, 0, :length] = torch.randint(1000, 29000, (length,)).float()
                text[row, 1, :length] = 1
        audio = padded(lengths["audio"][rows], longest["audio"], AUDIO)
        vision = padded(lengths["vision"][rows], longest["vision"], VISION)
        if NAME in ("tfn", "lmf"):
            # MMSA's loader averages over time before training.
            audio, vision = audio.mean(1, keepdim=True), vision.mean(1, keepdim=True)
        yield {
            "text": text,
            "audio": audio,
            "vision": vision,
            "audio_lengths": lengths["audio"][rows],
            "vision_lengths": lengths["vision"][rows],
            "index": torch.arange(first, first + BATCH),
            "id": [str(row) for row in range(first, first + BATCH)],
            "labels": {"M": 6 * torch.rand(BATCH) - 3},
        }


class Loader:
    """Gives the trainer a batch when it may take a step, and tells when it asks for the next one."""

    def __init__(self, own):
        self.own, self.go, self.done = own, queue.Queue(), queue.Queue()

    def __len__(self):
        return len(self.own)

    def __iter__(self):
        for batch in self.own:
            self.go.get()
            start = time.perf_counter()
            yield batch
            self.done.put(time.perf_counter() - start)


class Warm:
    """A loader that trainers read before and after training steps, at once."""

    def __init__(self, own):
        self.own = own

    def __len__(self):
        return len(self.own)

    def __iter__(self):
        return iter(self.own)


def arguments(folder):
    args = EasyDict(get_config_regression(MODELS[NAME], "mosi"))
    args.update(
        model_name=MODELS[NAME],
        dataset_name="mosi",
        train_mode="regression",
        device="cpu",
        feature_dims=[HIDDEN, AUDIO, VISION],
        seq_lens=[TOKENS, *FRAMES],
        train_samples=BATCH * BATCHES,
        batch_size=BATCH,
        early_stop=1 << 30,
        pretrained=encoder(folder),
        text_out=HIDDEN if NAME == "self-mm" else args.get("text_out"),
        model_save_path=os.path.join(folder, "model.pth"),
        cur_seed=1,
        KeyEval="Loss",
    )
    if NAME == "mag-bert":
        args.update(need_data_aligned=True, need_model_aligned=False, seq_lens=[TOKENS] * 3)
    return args


def main():
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    args = arguments(folder)
    own = list(batches(NAME == "mag-bert", NAME in ("tfn", "lmf", "mult")))
    model = AMIO(args).to("cpu")
    trainer = ATIO().getTrain(args)
    first = Loader(own)
    loaders = {"train": first, "valid": Warm(own[:1]), "test": Warm(own[:1])}
    if NAME == "self-mm":
        # It reads the training split once for its labels.
        reads = iter([Warm(own)])

        class Twice(dict):
            def __getitem__(self, split):
                return next(reads, first) if split == "train" else super().__getitem__(split)

        loaders = Twice(loaders)
    failed = []

    def train():
        try:
            trainer.do_train(model, loaders)
        except Exception as error:  # told by the process, not by a thread
            failed.append(error)
            first.done.put(None)
            raise

    threading.Thread(target=train, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)
            continue
        first.go.put(None)
        seconds = first.done.get()
        if seconds is None:
            raise failed[0]
        print(seconds, flush=True)
    os._exit(0)


main()
