"""The benchmark that chose the shipped weights tries each setting that it names."""

import re
import sys
from dataclasses import replace
from pathlib import Path

from text_recognizer.bundle import Bundle
from text_recognizer.reader import Reader

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import decoding


def test_settings_of_the_sweep_change_what_is_read(bundle_dir, letter, monkeypatch, capsys):
    # The sweep ranks without the neural language model.
    reader = Reader(threads=1, decoding=replace(Bundle.open().description.recognizer.decoding, neural_share=0))
    crops = reader.lay_out(letter).crops[3:6]
    truths = [reading.text for reading in reader.recognizer.read_lines(crops)]
    monkeypatch.setattr(decoding, "calibration_lines", lambda unipen, texts: list(zip(crops, truths, strict=True)))
    sweep = ["--threads", "1", "--language-weights", "0", "0.5", "6", "--length-bonuses", "2", "--ctc-weights", "0.5"]
    monkeypatch.setattr(sys, "argv", ["decoding.py", str(bundle_dir), "--unipen", "none", *sweep])
    decoding.main()
    shown = capsys.readouterr().out
    fast = dict(re.findall(r"language ([\d.]+), bonus 2\.0: fast +([\d.]+) %", shown))
    ranked = {weight: rate for rate, weight in re.findall(r"^ *([\d.]+) % beam 16, language ([\d.]+),", shown, re.M)}
    assert fast.keys() == ranked.keys() == {"0.0", "0.5", "6.0"}
    assert len(set(fast.values())) > 1
    assert ranked["0.5"] == "0.00" != ranked["6.0"]
    assert shown.strip().splitlines()[-1].startswith(" 0.00 %")
