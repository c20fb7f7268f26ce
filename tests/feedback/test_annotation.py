"""Readings to annotators and back: what they are given, what comes of it, what is wrong with it."""

import base64
import copy
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from text_recognizer.errors import DataInvalid, UsageError
from text_recognizer.evaluation.sets import load_set
from text_recognizer.feedback.annotation import annotate
from text_recognizer.feedback.annotation_import import import_annotations
from text_recognizer.feedback.cli import main
from text_recognizer.feedback.export import Selection, export
from text_recognizer.feedback.ranking import flagged, ranked
from text_recognizer.feedback.store import Store
from text_recognizer.monitoring.quality import corrected_page

PAGE = "{http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15}"
ALTO = "{http://www.loc.gov/standards/alto/ns-v4#}"


def encoded(kind="PNG", **options):
    out = io.BytesIO()
    Image.new("RGB", (300, 200), "white").save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def store(tmp_path):
    opened = Store.open(tmp_path / "feedback")
    yield opened
    opened.close()


@pytest.fixture
def kept(store, reading, said):
    """Two readings of two lines that were flagged, each with its image."""
    for number in (1, 2):
        image = encoded(dpi=(100 + number, 100 + number))
        known = reading(f"read-{number}", image, lines=("one line", f"line {number}"))
        store.flag(said(f"f{number}", f"read-{number}", flag="incorrect", comment="hm"), known, image)
    return store


@pytest.fixture
def tasks(kept, tmp_path):
    annotate(kept, flagged(kept.records()), tmp_path / "out", "label-studio")
    return json.loads((tmp_path / "out" / "tasks.json").read_text())


def annotated(task, results=None, **more):
    """A task as Label Studio exports it when its first draft, or something else, was submitted."""
    task = copy.deepcopy(task)
    result = task["predictions"][0]["result"] if results is None else results
    annotation = {"id": 7, "was_cancelled": False, "updated_at": "2026-11-24T13:00:00Z", "result": result, **more}
    return {"id": 1, "data": task["data"], "annotations": [annotation]}


def write(folder, *tasks, name="export.json"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(tasks))
    return folder / name


def texts(task, *new):
    """The draft's results with other texts."""
    results = copy.deepcopy(task["predictions"][0]["result"])
    for result, text in zip([r for r in results if r["type"] == "textarea"], new, strict=True):
        result["value"]["text"] = [text]
    return results


def region(name, points, text):
    value = {"points": points}
    return [
        {"id": name, "type": "polygonlabels", "from_name": "polygon", "value": {**value, "polygonlabels": ["Line"]}},
        {"id": name, "type": "textarea", "from_name": "transcription", "value": {**value, "text": [text]}},
    ]


# There


def test_tasks_hold_the_image_and_what_was_read(tasks, page):
    task = tasks[0]
    assert (task["data"]["request_id"], task["data"]["flags"], task["data"]["comment"]) == ("read-1", "incorrect", "hm")
    kind, _, data = task["data"]["ocr"].partition(",")
    assert kind == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (300, 200)
    prediction = task["predictions"][0]
    assert (prediction["model_version"], prediction["score"]) == ("pen@0.2", 0.9)
    where, what = prediction["result"][:2]
    assert where["id"] == what["id"]
    assert (where["type"], what["type"], what["value"]["text"]) == ("polygonlabels", "textarea", ["one line"])
    assert (where["original_width"], where["original_height"]) == (300, 200)
    assert where["value"]["points"][1] == pytest.approx([100 * 290 / 300, 100 * 20 / 200])


def test_configuration_names_what_the_tasks_use(tasks, tmp_path):
    config = ET.fromstring((tmp_path / "out" / "labels.xml").read_text())
    names = {tag.get("name") for tag in config.iter()}
    assert {result["from_name"] for result in tasks[0]["predictions"][0]["result"]} <= names
    assert config.find(".//Image").get("value") == "$ocr"
    assert {result["to_name"] for result in tasks[0]["predictions"][0]["result"]} == {
        config.find(".//Image").get("name")
    }


def test_images_can_be_files_whose_address_label_studio_gets(kept, tmp_path):
    annotate(kept, flagged(kept.records()), tmp_path / "out", "label-studio", "https://example.org/scans/")
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert [task["data"]["ocr"] for task in tasks] == [f"https://example.org/scans/read-{n}.png" for n in (1, 2)]
    assert sorted(file.name for file in (tmp_path / "out" / "images").iterdir()) == ["read-1.png", "read-2.png"]


@pytest.mark.parametrize("to", ["page", "alto"])
def test_xml_lies_beside_its_image_and_names_it(kept, tmp_path, to):
    annotate(kept, flagged(kept.records()), tmp_path / "out", to)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        *("read-1.png", "read-1.xml", "read-2.png", "read-2.xml")
    ]
    found = load_set(tmp_path / "out").pages
    assert [page.image.name for page in found] == ["read-1.png", "read-2.png"]
    assert [line.text for line in found[1].lines] == ["one line", "line 2"]


def test_image_that_exif_turns_is_given_upright(store, reading, said, tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    image = encoded("JPEG", exif=exif)
    store.flag(said("f", "turned", flag="other"), reading("turned", image), image)
    annotate(store, store.records(), tmp_path / "out", "page")
    with Image.open(tmp_path / "out" / "turned.jpg") as given:
        assert given.size == (200, 300)
        assert given.getexif().get(0x112, 1) == 1


def test_flagged_pages_that_somebody_corrected_are_not_asked_for_again(kept, said):
    kept.flag(said("c", "read-1", lines=("a", "b")))
    assert [record.reading.request_id for record in flagged(kept.records())] == ["read-2"]


def test_least_certain_pages_come_first(store, reading, page):
    for name, confidence in (("sure", 0.95), ("unsure", 0.2), ("middling", 0.5)):
        content = page("one", "two")
        for line in content["lines"]:
            line["confidence"] = confidence
        image = encoded(dpi=(confidence * 1000,) * 2)
        store.log([(reading(name, image, page=content), image)])
    store.log([(reading("without image", b"none"), None)])
    assert [record.reading.request_id for record in ranked(store.records(), 2)] == ["unsure", "middling"]


def test_pages_to_annotate_are_uncertain_and_unlike_each_other(store, reading, page):
    def keep(name, confidence, brightness, image=b""):
        content = page("one")
        content["lines"][0]["confidence"] = confidence
        picture = encoded() + (image or name.encode())
        numbers = {"brightness": brightness, "width": 300.0}
        store.log([(reading(name, picture, page=content, statistics=numbers), picture)])

    for number in range(6):
        keep(f"dark-{number}", 0.30 + number / 100, 0.2 + number / 1000)
    keep("bright", 0.45, 0.9)
    keep("sure", 0.99, 0.95)
    keep("same", 0.30, 0.2, b"dark-0")
    order = [record.reading.request_id for record in ranked(store.records())]
    assert order[:2] in (["dark-0", "bright"], ["same", "bright"])  # not six dark pages first
    assert len(order) == 8  # one a picture
    # Only what is uncertain is looked at: the most unlike page is also the surest, and not worth a person's time.
    assert "sure" not in [record.reading.request_id for record in ranked(store.records(), 1)]
    assert order == [record.reading.request_id for record in ranked(store.records())]


def test_nothing_to_annotate_has_no_order(store):
    assert ranked(store.records()) == []


def test_draft_is_the_latest_correction(kept, said, tmp_path):
    kept.flag(said("c", "read-1", lines=("", "corrected")))
    annotate(kept, kept.records(), tmp_path / "out", "page")
    assert [line.text for line in load_set(tmp_path / "out").pages[0].lines] == ["corrected"]


def test_reading_without_image_is_left_out_and_reported(kept, reading, said, tmp_path):
    kept.flag(said("f3", "bare", flag="other"), reading("bare", b"gone"))
    done = annotate(kept, flagged(kept.records()), tmp_path / "out", "alto")
    assert done.pages == 2
    assert [request_id for request_id, _ in done.skipped] == ["bare"]


def test_nothing_to_annotate_and_a_folder_in_use_are_reported(store, kept, tmp_path):
    with pytest.raises(DataInvalid, match="nothing to annotate"):
        annotate(kept, [], tmp_path / "empty", "alto")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        annotate(kept, kept.records(), tmp_path / "used", "alto")
    assert [file.name for file in (tmp_path / "used").iterdir()] == ["mine.txt"]


# Back


def test_submitted_draft_says_that_all_lines_were_right(kept, tasks, tmp_path):
    done = import_annotations(kept, write(tmp_path / "in", annotated(tasks[0])))
    assert (done.stored, done.known, done.problems) == (1, 0, [])
    correction = kept.get("read-1").correction
    assert correction.lines == ("one line", "line 1")
    assert correction.checked


def test_corrected_texts_are_stored_line_by_line(kept, tasks, tmp_path):
    import_annotations(kept, write(tmp_path / "in", annotated(tasks[0], texts(tasks[0], "One  line", "li\u0301ne 1"))))
    correction = kept.get("read-1").correction
    assert correction.lines == ("One line", "l\u00edne 1")
    assert correction.page is None


def test_deleted_line_is_empty(kept, tasks, tmp_path):
    import_annotations(kept, write(tmp_path / "in", annotated(tasks[0], tasks[0]["predictions"][0]["result"][2:])))
    assert kept.get("read-1").correction.lines == ("", "line 1")


def test_added_line_makes_a_page_of_its_own_in_reading_order(kept, tasks, tmp_path):
    between = [[5.0, 28.0], [95.0, 28.0], [95.0, 29.5], [5.0, 29.5]]
    results = tasks[0]["predictions"][0]["result"] + region("new", between, "between them")
    import_annotations(kept, write(tmp_path / "in", annotated(tasks[0], results)))
    correction = kept.get("read-1").correction
    assert correction.lines is None
    assert correction.text == "one line\nbetween them\nline 1"
    lines = correction.page["lines"]
    assert lines[1]["polygon"] == [[15.0, 56.0], [285.0, 56.0], [285.0, 59.0], [15.0, 59.0]]
    assert lines[0]["baseline"] == kept.get("read-1").reading.page["lines"][0]["baseline"]


def test_line_that_was_outlined_anew_keeps_its_new_place_and_goes_to_training(kept, tasks, tmp_path):
    results = copy.deepcopy(tasks[0]["predictions"][0]["result"])
    for result in results[:2]:
        result["value"]["points"] = [[0, 5], [99, 5], [99, 30], [0, 30]]
    import_annotations(kept, write(tmp_path / "in", annotated(tasks[0], results)))
    export(kept, tmp_path / "set", Selection())
    rows = [json.loads(row) for row in (tmp_path / "set" / "lines.jsonl").read_text().splitlines()]
    assert [(row["text"], row["polygon"][0]) for row in rows] == [("one line", [0.0, 10.0]), ("line 1", [10.0, 60.0])]
    found = load_set(tmp_path / "set").pages[0].lines
    assert found[0].polygon == ((0, 10), (297, 10), (297, 60), (0, 60))


def test_quality_counts_the_text_of_an_annotated_page(kept, tasks, tmp_path):
    results = texts(tasks[0], "one line", "line 9") + region("new", [[1, 90], [9, 90], [9, 99]], "xyz")
    import_annotations(kept, write(tmp_path / "in", annotated(tasks[0], results)))
    assert corrected_page(kept.get("read-1")).edits == 1 + len(" xyz")


def test_rectangle_may_be_turned(kept, tasks, tmp_path):
    value = {"x": 50, "y": 10, "width": 20, "height": 30, "rotation": 90, "rectanglelabels": ["Line"]}
    results = [
        {"id": "r", "type": "rectanglelabels", "from_name": "rectangle", "value": value},
        {"id": "r", "type": "textarea", "from_name": "transcription", "value": {**value, "text": "down"}},
    ]
    import_annotations(kept, write(tmp_path / "in", annotated(tasks[0], results)))
    line = kept.get("read-1").correction.page["lines"][0]
    assert line["polygon"] == [[150.0, 20.0], [150.0, 80.0], [90.0, 80.0], [90.0, 20.0]]


def test_importing_twice_keeps_it_once_and_a_later_change_once_more(kept, tasks, tmp_path):
    first = annotated(tasks[0], texts(tasks[0], "a", "b"))
    assert import_annotations(kept, write(tmp_path / "in", first)).stored == 1
    again = import_annotations(kept, write(tmp_path / "in", first))
    assert (again.stored, again.known) == (0, 1)
    for number, text in enumerate(("c", "a")):  # back to what it was before, too
        later = annotated(tasks[0], texts(tasks[0], text, "b"), updated_at=f"2026-11-25T1{number}:00:00Z")
        assert import_annotations(kept, write(tmp_path / "in", later)).stored == 1
        assert kept.get("read-1").correction.lines == (text, "b")
    assert len(kept.get("read-1").feedback) == 4


def test_of_several_annotations_the_latest_counts_unless_one_is_the_truth(kept, tasks, tmp_path):
    one = annotated(tasks[0], texts(tasks[0], "early", "x"), updated_at="2026-11-20T00:00:00Z")
    one["annotations"] += annotated(tasks[0], texts(tasks[0], "late", "x"))["annotations"]
    one["annotations"] += annotated(tasks[0], texts(tasks[0], "skipped", "x"), was_cancelled=True)["annotations"]
    two = annotated(tasks[1], texts(tasks[1], "truth", "x"), updated_at="2026-11-20T00:00:00Z", ground_truth=True)
    two["annotations"] += annotated(tasks[1], texts(tasks[1], "late", "x"))["annotations"]
    import_annotations(kept, write(tmp_path / "in", one, two))
    assert [kept.get(f"read-{number}").correction.lines[0] for number in (1, 2)] == ["late", "truth"]


def test_tasks_that_nobody_annotated_are_counted(kept, tasks, tmp_path):
    done = import_annotations(kept, write(tmp_path / "in", *tasks))
    assert (done.stored, done.untouched, done.problems) == (0, 2, [])


def test_json_min_is_understood_where_places_and_texts_are_as_many(kept, tasks, tmp_path):
    shapes = [r["value"] for r in tasks[0]["predictions"][0]["result"] if r["type"] == "polygonlabels"]
    minimal = {"request_id": "read-1", "ocr": "x", "id": 1, "annotation_id": 3, "polygon": shapes}
    done = import_annotations(kept, write(tmp_path / "in", {**minimal, "transcription": ["A", "B"]}))
    assert (done.stored, kept.get("read-1").correction.lines) == (1, ("A", "B"))
    done = import_annotations(kept, write(tmp_path / "in", {**minimal, "transcription": "one"}))
    assert "2 outlines and 1 texts" in done.problems[0]


@pytest.mark.parametrize("to", ["page", "alto"])
def test_xml_comes_back_with_what_people_changed(kept, tmp_path, to):
    annotate(kept, flagged(kept.records()), tmp_path / "out", to)
    file = tmp_path / "out" / "read-1.xml"
    # Programs put numbers before names.
    (tmp_path / "out" / "0007_read-1.xml").write_text(file.read_text().replace("one line", "ONE LINE"))
    file.unlink()
    done = import_annotations(kept, tmp_path / "out")
    assert (done.stored, done.problems) == (2, [])
    assert kept.get("read-1").correction.lines == ("ONE LINE", "line 1")
    assert import_annotations(kept, tmp_path / "out").known == 2


def test_xml_line_with_another_outline_makes_a_page_of_its_own(kept, tmp_path):
    annotate(kept, flagged(kept.records()), tmp_path / "out", "page")
    file = tmp_path / "out" / "read-2.xml"
    tree = ET.parse(file)
    line = tree.findall(f".//{PAGE}TextLine")[1]
    line.find(f"{PAGE}Coords").set("points", "0,0 100,0 100,50 0,50")
    line.find(f"{PAGE}Baseline").set("points", "0,40 100,40")
    tree.write(file)
    assert import_annotations(kept, tmp_path / "out").problems == []
    lines = kept.get("read-2").correction.page["lines"]
    assert (lines[1]["text"], lines[1]["baseline"]) == ("line 2", [[0.0, 40.0], [100.0, 40.0]])


def test_bad_files_and_tasks_are_named_and_the_others_are_stored(kept, tasks, tmp_path):
    folder = tmp_path / "in"
    foreign = {"data": {"image": "x.png"}, "annotations": [{"result": []}]}
    unknown = annotated({**tasks[0], "data": {**tasks[0]["data"], "request_id": "nobody"}})
    broken = annotated(tasks[0], [{"id": "x", "type": "textarea"}])
    steering = annotated(tasks[0], texts(tasks[0], "\x1b[2J", "b"))
    write(folder, foreign, "no task", unknown, broken, steering, annotated(tasks[1]))
    (folder / "cut.json").write_text("[{")
    (folder / "number.json").write_text("3")
    (folder / "nested.json").write_text("[" * 100_000)
    (folder / "x.xml").write_text("<html/>")
    entity = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><PcGts>&b;</PcGts>'
    (folder / "y.xml").write_text(entity)
    (folder / "mets.xml").write_text("<mets/>")
    annotate(kept, flagged(kept.records()), tmp_path / "xml", "page")
    other = (tmp_path / "xml" / "read-1.xml").read_text().replace('imageWidth="300"', 'imageWidth="600"')
    (folder / "read-1.xml").write_text(other)
    done = import_annotations(kept, folder)
    assert done.stored == 1
    told = "\n".join(sorted(problem.removeprefix(f"{folder}/") for problem in done.problems))
    for words in (
        r"cut.json: not JSON",
        r"export.json: task 1: no request_id",
        r"export.json: task 2: not a task",
        r"export.json: task 3: the store has no reading 'nobody'",
        r"export.json: task 4: not as Label Studio writes it \('value' is missing\)",
        r"export.json: task 5: a control character, U\+001B",
        r"nested.json: not JSON",
        r"number.json: neither a task nor a list",
        r"read-1.xml: it is for an image of 600 × 200",
        r"x.xml: neither ALTO nor PAGE",
        r"y.xml: .*[Ee]ntit",
    ):
        assert re.search(f"^{words}", told, re.MULTILINE), words
    assert len(done.problems) == 11
    assert kept.get("read-1").correction is None


def test_nothing_to_import_is_reported(kept, tmp_path):
    with pytest.raises(DataInvalid, match="holds no"):
        import_annotations(kept, tmp_path / "nowhere")


def test_commands_go_there_and_back(kept, tmp_path, capsys):
    place = ["--store", str(tmp_path / "feedback")]
    assert main(["annotate", *place, "--to", "label-studio", "--files", str(tmp_path / "out")]) == 0
    assert "2 pages" in capsys.readouterr().out
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert tasks[0]["data"]["ocr"] == "/data/local-files/?d=images/read-1.png"
    file = write(tmp_path / "in", annotated(tasks[0]), annotated(tasks[1], [{"id": "x"}]))
    with pytest.raises(DataInvalid, match="1 annotations could not be stored"):
        main(["import", *place, str(file)])
    out, err = capsys.readouterr()
    assert "1 pages stored" in out
    assert "task 2" in err
    with pytest.raises(UsageError, match="--files"):
        main(["annotate", *place, "--to", "page", "--files", str(tmp_path / "other")])


# With Label Studio's own programs


@pytest.fixture(scope="module")
def label_studio_sdk():
    """The environment of a process that has Label Studio's SDK, which `make install` puts beside the environment."""
    folder = Path(os.environ.get("TEXT_RECOGNIZER_LABEL_STUDIO_SDK", Path(sys.prefix) / "label-studio"))
    if not (folder / "label_studio_sdk").is_dir():
        missing = f"Label Studio's SDK is not in {folder}; run: make install"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return os.environ | {"PYTHONPATH": str(folder)}


def asked(environment, code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_label_studio_finds_no_fault_with_the_configuration_and_the_drafts(label_studio_sdk, tasks, tmp_path):
    code = """
import json, sys
from label_studio_sdk.label_interface import LabelInterface
interface = LabelInterface(open(sys.argv[1]).read())
interface.validate()
faults = []
for task in json.load(open(sys.argv[2])):
    for prediction in task["predictions"]:
        faults += interface.validate_prediction(prediction, return_errors=True)
    faults += [] if interface.validate_task({"data": task["data"]}) else ["task"]
print(json.dumps(faults))
"""
    out = tmp_path / "out"
    assert asked(label_studio_sdk, code, out / "labels.xml", out / "tasks.json") == []
    wrong = tasks
    wrong[0]["predictions"][0]["result"][0]["from_name"] = "nothing"
    assert asked(label_studio_sdk, code, out / "labels.xml", write(tmp_path / "wrong", *wrong))


def test_what_label_studio_s_converter_makes_of_it_comes_back(label_studio_sdk, kept, tasks, tmp_path):
    code = """
import json, sys
from label_studio_sdk.converter import Converter
converter = Converter(open(sys.argv[1]).read(), sys.argv[4], download_resources=False)
for kind, folder in (("JSON", sys.argv[2]), ("JSON_MIN", sys.argv[3])):
    converter.convert(sys.argv[5], folder, kind, is_dir=False)
print(json.dumps(True))
"""
    source = write(tmp_path / "in", annotated(tasks[0], texts(tasks[0], "A", "B")), annotated(tasks[1]))
    outs = tmp_path / "json", tmp_path / "json-min"
    assert asked(label_studio_sdk, code, tmp_path / "out" / "labels.xml", *outs, tmp_path, source)
    assert import_annotations(kept, outs[0]).stored == 2
    assert kept.get("read-1").correction.lines == ("A", "B")
    minimal = import_annotations(kept, outs[1])
    assert minimal.problems == []
    assert minimal.stored + minimal.known == 2
    assert kept.get("read-1").correction.lines == ("A", "B")
