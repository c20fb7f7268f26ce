"""Threads follow the processor time that a container gets, not the cores of its host."""

import os
from pathlib import Path

import pytest

from text_recognizer.service import cores as module
from text_recognizer.service.cores import cores
from text_recognizer.service.settings import Settings

HOST = 64


@pytest.fixture(autouse=True)
def large_host(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(HOST)), raising=False)


def system(folder: Path, **files: str) -> Path:
    """A root folder with the lines of /proc/self/cgroup and files below /sys/fs/cgroup."""
    for name, content in files.items():
        file = folder / ("proc/self/cgroup" if name == "groups" else f"sys/fs/cgroup/{name}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("150000 100000\n", 2),
        ("50000 100000\n", 1),
        ("400000 100000\n", 4),
        ("9900000 100000\n", HOST),
        ("max 100000\n", HOST),
        ("0 0\n", HOST),
        ("", HOST),
    ],
)
def test_container_gets_as_many_threads_as_its_limit_of_processor_time_rounded_up(tmp_path, limit, expected):
    assert cores(system(tmp_path, groups="0::/\n", **{"cpu.max": limit})) == expected


def test_older_control_groups_are_read_too(tmp_path):
    files = {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}
    groups = "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"
    assert cores(system(tmp_path, groups=groups, **files)) == 3
    assert cores(system(tmp_path, **{"cpu/cpu.cfs_quota_us": "-1\n"})) == HOST


def test_limit_of_a_group_around_this_one_counts(tmp_path):
    # A service of systemd with CPUQuota= in a slice that has less.
    files = {"a.slice/cpu.max": "200000 100000", "a.slice/b.service/cpu.max": "800000 100000"}
    assert cores(system(tmp_path, groups="0::/a.slice/b.service\n", **files)) == 2


def test_groups_of_others_do_not_count(tmp_path):
    files = {"other/cpu.max": "100000 100000", "mine/cpu.max": "300000 100000"}
    assert cores(system(tmp_path, groups="0::/mine\n", **files)) == 3


@pytest.mark.parametrize("groups", ["", "nonsense", "0::", "\n\n:::", "0::/../../.."])
def test_without_other_limits_the_affinity_decides(tmp_path, groups):
    assert cores(tmp_path) == HOST
    assert cores(system(tmp_path, groups=groups)) == HOST


def test_limit_never_gives_more_than_the_affinity(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5})
    assert cores(system(tmp_path, **{"cpu.max": "800000 100000"})) == 2


def test_service_starts_as_many_threads_unless_told_otherwise(monkeypatch):
    assert Settings().reading_threads == module.cores() >= 1
    assert Settings(threads=7).reading_threads == 7
