"""The other side of `cargo xtask bench sims33 --against torch`: the same features by librosa, in a process per thread.

Usage: sound.py sims33 THREADS FILE... Answers as speed.py does. Needs: librosa, numpy.
"""

import sys
import time
from concurrent.futures import ProcessPoolExecutor

import librosa
import numpy


def sims33(path):
    sound, rate = librosa.load(path, sr=22050)
    zcr = librosa.feature.zero_crossing_rate(sound, hop_length=512)
    mfcc = librosa.feature.mfcc(y=sound, sr=rate, n_mfcc=20, hop_length=512, htk=True)
    chroma = librosa.feature.chroma_cqt(y=sound, sr=rate, hop_length=512)
    return numpy.concatenate([zcr, mfcc, chroma]).T


def main():
    files = sys.argv[3:]
    pool = ProcessPoolExecutor(int(sys.argv[2]))
    list(pool.map(sims33, files))  # librosa compiles some of its functions at their first call
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        list(pool.map(sims33, files))
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
