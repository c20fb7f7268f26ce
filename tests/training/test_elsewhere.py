"""Training on other machines: the task file and the notebook hold together, and their commands are ours."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from text_recognizer.training import train

ROOT = Path(__file__).parents[2]
TASK = ROOT / "deploy" / "skypilot.yaml"
NOTEBOOK = ROOT / "notebooks" / "colab.ipynb"
VARIABLES = {"CONFIG": "line-base", "RUN": "line-base", "SKYPILOT_NUM_GPUS_PER_NODE": "2"}


def task() -> dict:
    return yaml.safe_load(TASK.read_text())


def cells() -> list[str]:
    return ["".join(c["source"]) for c in json.loads(NOTEBOOK.read_text())["cells"] if c["cell_type"] == "code"]


def commands(text: str) -> list[list[str]]:
    """Arguments of each `text-recognizer train` in `text`, with its variables filled in."""
    found = re.findall(r"text-recognizer train ((?:fit|test|validate) .+)", text)
    filled = [
        re.sub(r"\$?\{?\b(CONFIG|RUN|SKYPILOT_NUM_GPUS_PER_NODE)\b\}?", lambda m: VARIABLES[m[1]], c) for c in found
    ]
    return [shlex.split(command) for command in filled]


def test_task_recovers_on_spot_machines_of_several_clouds_with_its_checkpoints_in_a_bucket() -> None:
    clouds = {choice["infra"]: choice.get("use_spot", False) for choice in task()["resources"]["any_of"]}
    assert clouds == {"aws": True, "gcp": True, "lambda": False}
    assert task()["resources"]["job_recovery"]["strategy"]
    (mount,) = task()["file_mounts"]
    assert f'--trainer.default_root_dir "{mount}/$RUN"' in task()["run"]
    assert set(re.findall(r"\$\{?([A-Z]+)\b", task()["run"] + task()["file_mounts"][mount]["name"])) <= {
        *task()["envs"], "SKYPILOT",
    }  # fmt: skip


@pytest.mark.parametrize("config", ["line-base", "paragraph"])
def test_each_config_has_checkpoints_of_its_own(config: str, tmp_path: Path) -> None:
    program = tmp_path / "venv" / "bin" / "text-recognizer"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    variables = {**task()["envs"], "CONFIG": config, "HOME": str(tmp_path), "SKYPILOT_NUM_GPUS_PER_NODE": "1"}
    done = subprocess.run(["bash", "-c", task()["run"]], env=variables, capture_output=True, text=True, check=True)
    assert [line.split("--trainer.default_root_dir ")[1].split()[0] for line in done.stdout.splitlines()] == [
        f"/runs/{config}"
    ] * 2


def test_notebook_mounts_a_folder_that_outlives_it() -> None:
    assert "drive.mount" in cells()[0]
    assert 'RUN = "/content/drive/' in "".join(cells())


@pytest.mark.parametrize("place", ["task", "notebook"])
def test_train_commands_are_understood(place: str) -> None:
    found = commands(task()["run"] if place == "task" else "\n".join(cells()))
    assert [command[0] for command in found] == ["fit", "test"]
    for command in found:
        with pytest.raises(SystemExit) as stop:
            train.run([*command, "--print_config"])
        assert stop.value.code == 0, command


def test_both_prepare_the_data_that_the_configs_name() -> None:
    wanted = yaml.safe_load((train.CONFIGS / "line-base.yaml").read_text())["data"]["init_args"]
    for text in (task()["setup"], "\n".join(cells())):
        assert f"data prepare --download --output {wanted['unipen']}" in text
        assert f"data fonts {wanted['fonts']}" in text
        assert f"data texts {wanted['texts']}" in text
