"""Makes the pickles in this folder, and what they hold as JSON.

    python make.py            with NumPy 1 installed: values-np1-p{2..5}.pkl
                              with NumPy 2 installed: values-np2-p{2..5}.pkl, and everything else

The same values whatever the version; `values.json` and `releases.json` say what a reader must find.
"""

import json
import pickle
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
MAJOR = np.__version__.split(".")[0]


def values():
    numbers = np.array([[0, 1, 2, 100], [3, 120, 1, 0], [7, 8, 9, 10]])
    held = {}
    for name in ["f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"]:
        for order in "<>":
            dtype = np.dtype(name).newbyteorder(order)
            held[f"c{order}{name}"] = numbers.astype(dtype)
            held[f"f{order}{name}"] = np.asfortranarray(numbers.astype(dtype))
    cube = np.arange(24, dtype="f4").reshape(2, 3, 4)
    held["transposed"] = cube.transpose(1, 2, 0)
    held["strided"] = cube[:, ::2, 1:3]
    held["negative"] = np.array([-1.5, np.float32(3e38), 2.0**-149], dtype="f4")
    held["text"] = np.array(["", "a", "你好", "naïve 🙂"])
    held["text>"] = held["text"].astype(">U7")
    held["bytes"] = np.array([b"", b"ab", b"abcd"])
    held["objects"] = np.array([["a", "你"], ["long " * 20, b"b"]], dtype=object)
    held["objects_f"] = np.asfortranarray(held["objects"])
    held["zero_d"] = np.array(2.5)
    held["zero_d_text"] = np.array("ab")
    held["empty"] = np.zeros((0, 3), dtype="f4")
    held["empty_inside"] = np.zeros((2, 0, 3), dtype="i8")
    return held


def plain():
    shared = ["again", 1]
    return {
        "none": None,
        "true": True,
        "false": False,
        "ints": [0, 255, 256, 65535, 65536, -1, -(2**31), 2**31, 2**63 - 1, -(2**63)],
        "floats": [0.0, -2.5, 1e300],
        "text": ["", "ascii", "你好 🙂", "x" * 300],
        "nested": ((), ((1,), (1, (2, (3, 4, 5, 6)))), []),
        "repeats": [shared, shared, (shared,)],
        "dict": {"b": 1, "a": {"c": [2]}},
    }


def others():
    return {
        "bytes": [b"", b"abc", bytes(range(256))],
        "bytearray": [bytearray(), bytearray(b"\x00\xffa")],
        "scalars": [np.float32(2.5), np.float64(-1), np.int64(-7), np.uint8(200), np.bool_(True)],
        "named": [np.str_("你"), np.bytes_(b"ab")],
        "long": 2**64 - 1,
        "dtype": np.dtype(">f4"),
    }


def expected_array(array):
    flat = array.reshape(-1).tolist()
    texts = [v.decode() if isinstance(v, bytes) else v for v in flat]
    return {"shape": list(array.shape), "dtype": array.dtype.str, "values": texts}


def write(name, value, protocol=4):
    (HERE / name).write_bytes(pickle.dumps(value, protocol))


def frames(rng, count, length, width):
    array = np.zeros((count, length, width), dtype="f4")
    for i in range(count):
        array[i] = rng.integers(1, 100, (length, width))
    return array


def right_padded(array, lengths):
    array = array.copy()
    for i, length in enumerate(lengths):
        array[i, length:] = 0
    return array


def left_padded(array, lengths):
    array = array.copy()
    for i, length in enumerate(lengths):
        array[i, : array.shape[1] - length] = 0
    return array


def expected(ids, texts, labels, vision, audio):
    pairs = zip(ids, texts, labels, vision, audio)
    return [
        {"id": i, "text": t, "label": float(y), "vision": v.tolist(), "audio": a.tolist()}
        for i, t, y, v, a in pairs
    ]


def mmsa(rng, texts, labels, lengths, *, ids, lists):
    vision_lengths, audio_lengths = lengths
    count = len(texts)
    vision = right_padded(frames(rng, count, 4, 2).astype("f8"), vision_lengths)
    audio = right_padded(frames(rng, count, 5, 3), audio_lengths)
    if audio_lengths[0] >= 3:
        audio[0, 1] = 0  # silence in the middle
    part = {
        "raw_text": np.array(texts),
        "audio": audio,
        "vision": vision,
        "id": ids if lists else np.array(ids),
        "text": np.zeros((count, 6, 4), dtype="f4"),
        "text_bert": np.zeros((count, 3, 6)),
        "annotations": ["Positive"] * count,
        "classification_labels": np.ones(count, dtype="f4"),
        "regression_labels": np.array(labels, dtype="f4"),
        "audio_lengths": list(audio_lengths) if lists else np.array(audio_lengths),
        "vision_lengths": list(vision_lengths) if lists else np.array(vision_lengths),
    }
    cut = lambda array, lengths: [row[:n] if row[:n].any() else row[:0] for row, n in zip(array, lengths)]
    return part, expected(ids, texts, part["regression_labels"], cut(vision, vision_lengths), cut(audio, audio_lengths))


def mmsa_releases(rng):
    english = {
        "train": (["good film", "don't", "très bien"], [3.0, -0.4, 1.2], ([4, 1, 2], [5, 3, 1])),
        "valid": (["fine"], [0.2], ([3], [2])),
        "test": (["bad , very", ""], [-3.0, 0.0], ([2, 4], [1, 5])),
    }
    chinese = {
        "train": (["我不想去", "嗯。"], [-0.8, 0.2], ([4, 2], [5, 3])),
        "valid": (["太好了！"], [1.0], ([3], [2])),
        "test": (["没事"], [0.0], ([2], [1])),
    }
    for name, splits, lists, rename in [
        ("mmsa-unaligned", english, True, {}),
        ("sims", chinese, False, {"valid": "dev"}),
    ]:
        file, found = {}, {}
        for split, (texts, labels, lengths) in splits.items():
            ids = [f"{split}_{i // 2}$_${i + 1}" for i in range(len(texts))]
            part, found[split] = mmsa(rng, texts, labels, lengths, ids=ids, lists=lists)
            file[rename.get(split, split)] = part
        yield name, file, found


def aligned(rng):
    file, found = {}, {}
    for split, count in [("train", 3), ("valid", 1), ("test", 1)]:
        ids = [f"v{split}$_${i}" for i in range(count)]
        texts, labels = [f"text {i}" for i in range(count)], [0.5] * count
        vision, audio = frames(rng, count, 4, 2), frames(rng, count, 4, 3)
        vision[0, 3:] = 0
        audio[0, :2] = 0
        if count > 1:
            vision[1] = 0
            audio[1, 1] = 0
        part = {"raw_text": np.array(texts), "id": ids, "audio": audio, "vision": vision}
        part["regression_labels"] = np.array(labels, dtype="f8")
        file[split] = part
        cut = lambda rows: [row[slice(*span(row))] for row in rows]
        found[split] = expected(ids, texts, labels, cut(vision), cut(audio))
    return file, found


def span(row):
    kept = np.flatnonzero(row.any(axis=1))
    return (kept[0], kept[-1] + 1) if len(kept) else (0, 0)


def mult(rng, splits, ids_of, clips):
    """Left-padded frames; `splits` has (video, clip, text, label) rows, `ids_of` what the release writes for ids."""
    file, found = {}, {}
    for split, rows in splits.items():
        count = len(rows)
        lengths = [1 + i % 4 for i in range(count)]
        vision = left_padded(frames(rng, count, 4, 2), lengths)
        audio = left_padded(frames(rng, count, 5, 3), lengths)
        labels = np.array([row[3] for row in rows], dtype="f4")
        file[split] = {
            "text": np.ones((count, 3, 2), dtype="f4"),
            "audio": audio,
            "vision": vision,
            "labels": labels.reshape(count, 1, 1),
            "id": ids_of(split, rows),
        }
        cut = lambda array: [row[-n:] for row, n in zip(array, lengths)]
        ids = [f"{video}$_${clip}" for video, clip, _, _ in rows]
        found[split] = expected(ids, [row[2] for row in rows], labels, cut(vision), cut(audio))
    table = "video_id,clip_id,text,label,mode\n"
    for split, rows in reversed(splits.items()):
        table += "".join(f"{v},{c},{t},{y},{split}\n" for v, c, t, y in reversed(rows))
    return file, found, table


def mult_releases(rng):
    mosi = {
        "train": [("a_b-", 1, "one", 1.5), ("a_b-", 2, "two", -1.0), ("c", 1, "three", 0.0)],
        "valid": [("d", 10, "four", 2.0)],
        "test": [("e", 3, "five", 3.0), ("e", 1, "six", -3.0)],
    }
    ids = lambda split, rows: np.array([[f"{v}_{c}".encode()] for v, c, _, _ in rows])
    yield ("mult-mosi", *mult(rng, mosi, ids, None))
    mosei = {
        "train": [("-v", 10, "ten", 1.0), ("-v", 2, "two", 0.5), ("-v", 7, "seven", 0.5), ("w", 1, "w one", -1 / 3)],
        "valid": [("x", 1, "x one", 0.0)],
        "test": [("y", 5, "y five", 2.0)],
    }
    ids = lambda split, rows: np.array([[v, str(c * 9.5), str(c * 9.5 + 5)] for v, c, _, _ in rows])
    yield ("mult-mosei", *mult(rng, mosei, ids, None))


def main():
    held = {"arrays": values(), "plain": plain(), "others": others()}
    for protocol in range(2, 6):
        write(f"values-np{MAJOR}-p{protocol}.pkl", held, protocol)
    if MAJOR == "1":
        return
    known = {
        "arrays": {k: expected_array(a) for k, a in held["arrays"].items()},
        "plain": held["plain"],
    }
    (HERE / "values.json").write_text(json.dumps(known, ensure_ascii=False, separators=(",", ":")) + "\n")
    rng = np.random.default_rng(1)
    releases = {}
    for name, file, found in mmsa_releases(rng):
        write(f"{name}.pkl", file)
        releases[name] = found
    file, releases["mmsa-aligned"] = aligned(rng)
    write("mmsa-aligned.pkl", file, 5)
    for name, file, found, table in mult_releases(rng):
        write(f"{name}.pkl", file, 3 if name == "mult-mosi" else 2)
        (HERE / f"{name}.csv").write_text(table)
        releases[name] = found
    (HERE / "releases.json").write_text(json.dumps(releases, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
