# Runs an ONNX file on prepared inputs and prints the largest difference from the arrays of an archive.
import json, sys
import numpy as np
import onnxruntime

model, inputs, expected = sys.argv[1:4]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options)
segments = json.load(open(inputs))
names = {i.name for i in session.get_inputs()}
rows = len(segments)

def padded(values, width, kind):
    longest = max(1, max(len(v) for v in values))
    shape = (rows, longest) if width is None else (rows, longest, width)
    # What lies beyond a length must not matter.
    array = np.full(shape, 7, dtype=kind)
    for row, value in enumerate(values):
        if len(value):
            array[row, : len(value)] = value
    return array

feed = {}
if "input_ids" in names:
    ids = [s["ids"] for s in segments]
    feed["input_ids"] = padded(ids, None, np.int64)
    mask = np.zeros_like(feed["input_ids"])
    for row, own in enumerate(ids):
        mask[row, : len(own)] = 1
    feed["attention_mask"] = mask
for name in ("vision", "audio"):
    if name in names:
        width = next(i for i in session.get_inputs() if i.name == name).shape[2]
        frames = [np.array(s[name], dtype=np.float32).reshape(-1, width) for s in segments]
        feed[name] = padded(frames, width, np.float32)
        feed[name + "_lengths"] = np.array([len(f) for f in frames], dtype=np.int64)
arrays = np.load(expected)
outputs = [o.name for o in session.get_outputs()]
# The ids of the archive are those of the segments.
assert list(arrays["ids"]) == [s["id"] for s in segments], arrays["ids"]
assert set(outputs) == set(arrays.files) - {"ids"}, (outputs, arrays.files)
largest = 0.0
results = dict(zip(outputs, session.run(None, feed)))
for name in outputs:
    assert results[name].shape == arrays[name].shape, name
    largest = max(largest, float(np.abs(results[name] - arrays[name]).max()))
# A batch of one, of another length, is what it was among the others.
alone = {name: value[:1] for name, value in feed.items()}
for name in outputs:
    (result,) = session.run([name], alone)
    largest = max(largest, float(np.abs(result - arrays[name][:1]).max()))
metadata = session.get_modelmeta().custom_metadata_map
for key in ("model", "label_range", "frames", "sha256sums"):
    assert metadata[key], key
if "input_ids" in names:
    assert metadata["vocabulary"].split("\n")[segments[0]["ids"][0]] == "[CLS]"
    assert int(metadata["max_tokens"]) > 2
print(largest)
